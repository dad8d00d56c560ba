package config

import (
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// checker looks at values that were read: their ranges, what is missing, and what contradicts each other. It fills
// in the defaults that follow from other values.
type checker struct {
	*decoder
	*Pipeline
	dir string // of the file: relative paths start here
}

func (c *checker) all() {
	c.console()
	if c.Halves == Console || c.Halves == Control {
		return
	}
	c.service()
	if c.Halves&Replicate != 0 {
		c.source()
		c.replication()
		c.before()
	}
	c.stream()
	if c.Halves&Deliver != 0 {
		c.delivery()
	}
}

// fault adds a fault, unless the value could not even be read: then what stands in its place means nothing.
func (c *checker) fault(path, problem, cure string) {
	if !c.unread[path] {
		c.decoder.fault(path, problem, cure)
	}
}

// missing adds a fault for a key without which nothing works, unless a fault says already what is wrong with it.
func (c *checker) missing(path, cure string) {
	for _, f := range c.faults.List {
		if f.Path == path {
			return
		}
	}
	if c.has(path) {
		c.fault(path, "is empty", cure)
		return
	}
	c.faults.add(Fault{Path: path, Problem: "is missing", Cure: cure})
}

// later adds a fault for a setting that a coming version understands.
func (c *checker) later(path, cure string) {
	c.fault(path, "is not available yet", cure)
}

// inRange adds a fault unless low ≤ n ≤ high.
func (c *checker) inRange(path string, n, low, high int, unit string) {
	if n < low || n > high {
		c.fault(path, fmt.Sprintf("is not from %d to %d", low, high), "choose a number of "+unit+" in that range")
	}
}

// path makes a path of the file absolute: it starts at the folder of the configuration.
func (c *checker) path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.dir, p)
}

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// service checks what both halves need: name, checkpoints, limits.
func (c *checker) service() {
	const nameCure = "choose up to 64 letters, digits, dots, dashes and underscores, such as tickets"
	if c.Name == "" {
		c.missing("name", nameCure)
	} else if !validName.MatchString(c.Name) {
		c.fault("name", "is not a name", nameCure)
	}
	c.checkpoint()
	c.verify()
	if c.MemoryLimit < 64*MiB {
		c.fault("memory_limit", "is too small to work in", "write at least 64MiB; 256MiB is the default")
	}
	if c.ShutdownGrace < time.Second || c.ShutdownGrace > time.Hour {
		c.fault("shutdown_grace", "is not from 1s to 1h", "write 25s, or a little less than what the supervisor waits before it kills")
	}
}

// MinToken is how long a token must be. 22 characters of openssl rand -base64 are 128 bits; nobody guesses 16 either.
const MinToken = 16

func (c *checker) console() {
	h := &c.HTTP
	if h.Token.IsSet() && len(h.Token.Reveal()) < MinToken && c.needed("http.token") {
		c.faults.add(Fault{Path: "http.token", Problem: fmt.Sprintf("is shorter than %d characters", MinToken), Cure: "take one that cannot be guessed: openssl rand -base64 24"})
	}
	if h.TokenFile != "" {
		if h.Token.IsSet() {
			c.fault("http.token_file", "stands beside token", "keep one of the two")
		}
		h.TokenFile = c.path(h.TokenFile)
	}
	if h.Listen == "" {
		return
	}
	if _, port, err := net.SplitHostPort(c.HTTP.Listen); err != nil || !validPort(port) {
		c.fault("http.listen", "is not an address to listen on", `write host:port, such as 127.0.0.1:9187, or "" for no console`)
	}
}

// What a failover time may be. The shortest one leaves 667 ms between renewals: room for a request, a second one after
// a refused or lost one, and a pause of process or network. With less, processes that live would take each other's place,
// and every time a half begins anew. With more than the longest one an operator is faster.
const (
	shortestFailover = 2 * time.Second
	longestFailover  = 10 * time.Minute
)

// checkpoint checks where checkpoints are kept, and that nothing is said of another kind of store.
func (c *checker) checkpoint() {
	k := &c.Checkpoint
	if k.Store == (Store{}) {
		c.missing("checkpoint.store", "write file:///var/lib/binlogstreamer/state, dynamodb://table, or s3://bucket/prefix")
		return
	}
	if k.Store.Dir != "" {
		for _, key := range []struct {
			path string
			set  bool
		}{
			{"checkpoint.region", k.Region != ""}, {"checkpoint.endpoint", k.Endpoint != ""},
			{"checkpoint.failover_time", c.has("checkpoint.failover_time")},
		} {
			if key.set {
				c.fault(key.path, "has no effect with a file:// store", "remove it, or keep checkpoints in dynamodb://table or s3://bucket/prefix")
			}
		}
	}
	if k.FailoverTime < shortestFailover || k.FailoverTime > longestFailover {
		c.fault("checkpoint.failover_time", "is not from 2s to 10m", "write 10s; a shorter time takes a process that is only slow for one that is gone")
	}
	if k.UsePathStyle && k.Store.Bucket == "" {
		c.fault("checkpoint.use_path_style", "has no effect without an s3:// store", "remove it")
	}
	if k.Endpoint != "" && !validURL(k.Endpoint) {
		c.fault("checkpoint.endpoint", "is not an endpoint", "write http://host:port or https://host:port of what speaks DynamoDB or S3, or leave it empty for AWS")
	}
}

// verify fills in where the command verify works.
func (c *checker) verify() {
	switch w := &c.Verify; {
	case w.WorkDir != "":
		w.WorkDir = c.path(w.WorkDir)
	case c.Checkpoint.Store.Dir != "":
		w.WorkDir = filepath.Join(filepath.Dir(c.path(c.Checkpoint.Store.Dir)), "verify")
	default:
		w.WorkDir = filepath.Join(os.TempDir(), "binlogstreamer-verify-"+c.Name)
	}
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && (n > 0 || s == "0")
}

// source checks the server's address, the credentials and the protection of the connection.
func (c *checker) source() {
	s := &c.Source
	if s.Host == "" && !s.Kept() {
		c.missing("source.host", "name the MySQL or MariaDB server")
	}
	if s.User == "" && !s.Kept() {
		c.missing("source.user", "name a user with REPLICATION SLAVE, REPLICATION CLIENT and SELECT")
	}
	c.inRange("source.port", s.Port, 1, 65535, "port")
	if s.Host == "" && !c.has("source.port") {
		s.Port = 0 // it stands beside the host
	}
	c.login()
	c.tls()
	if c.has("source.server_id") && s.ServerID == 0 {
		c.fault("source.server_id", "is not a server id", "write a number that no other server or replica of this source uses, or leave the key out")
	}
	if s.ServerID == 0 {
		s.ServerID = serverID(c.Name)
	}
	if s.ConnectTimeout < 100*time.Millisecond || s.ConnectTimeout > 10*time.Minute {
		c.fault("source.connect_timeout", "is not from 100ms to 10m", "write 10s")
	}
}

// serverID derives a replica's server id from the pipeline's name. It lies above 1,000,000,000, where people who
// number their servers by hand, or by the last bytes of an address, seldom are.
func serverID(name string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return 1_000_000_000 + h.Sum32()%3_000_000_000
}

func (c *checker) tls() {
	s := &c.Source
	for _, f := range []struct {
		path string
		file *string
	}{{"source.tls_ca", &s.TLSCA}, {"source.tls_cert", &s.TLSCert}, {"source.tls_key", &s.TLSKey}} {
		path, file := f.path, f.file
		if *file == "" || path == "source.tls_ca" && *file == RDSBundle {
			continue
		}
		*file = c.path(*file)
		if err := readable(*file); err != nil {
			c.fault(path, "can't be read: "+cause(err), "name a PEM file that the daemon's user may read")
		}
		if s.TLS == "disabled" {
			c.fault(path, "has no effect with tls: disabled", "choose another tls mode, or remove the key")
		}
	}
	if s.TLSCA == RDSBundle && s.TLS == "disabled" {
		c.fault("source.tls_ca", "has no effect with tls: disabled", "write tls: verify-identity, or remove the key")
	}
	if s.TLSCA != "" && !s.TLS.Verifies() && s.TLS != "disabled" {
		c.fault("source.tls_ca", "has no effect with tls: "+string(s.TLS)+", which does not look at the server's certificate", "write tls: verify-identity or verify-ca")
	}
	if (s.TLSCert == "") != (s.TLSKey == "") {
		c.fault("source.tls_cert", "and tls_key belong together, but only one is given", "give both, or neither")
	}
}

func readable(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	return f.Close()
}
