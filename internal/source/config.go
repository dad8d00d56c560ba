package source

import (
	"context"
	"net"
	"strconv"
	"strings"
	"time"
)

// TLSMode says how a connection is protected; the modes are those of the mysql client's --ssl-mode.
type TLSMode string

// The TLS modes.
const (
	TLSDisabled       TLSMode = "disabled"
	TLSPreferred      TLSMode = "preferred"       // encrypt if the server can, verify nothing
	TLSRequired       TLSMode = "required"        // encrypt or fail, verify nothing
	TLSVerifyCA       TLSMode = "verify-ca"       // and the certificate must come from a known authority
	TLSVerifyIdentity TLSMode = "verify-identity" // and be made out to the host that was dialled
)

// Config says how to reach a server.
type Config struct {
	Host     string // name or address, or the path of a Unix socket
	Port     uint16 // default 3306
	User     string
	Password func(context.Context) (string, error) // asked at every connect, so that secrets may rotate; nil: no password
	Logins   Logins                                // in place of Password, and of Host, Port and User where they are empty

	refused string // what to do where the server refuses the present login; "": what one does for a password

	TLS            TLSMode // default preferred
	TLSCA          string  // file of PEM certificates; "": the system's authorities
	TLSRoots       Roots   // in place of TLSCA
	TLSCert        string  // client certificate and key files, both or neither
	TLSKey         string
	ConnectTimeout time.Duration // for dial, TLS and login together; default 10s
}

// verifies reports whether the mode finds out who the server is.
func (m TLSMode) verifies() bool { return m == TLSVerifyCA || m == TLSVerifyIdentity }

const (
	defaultPort           = 3306
	defaultConnectTimeout = 10 * time.Second
)

// withDefaults is c with every unset field that has a default filled in.
func (c Config) withDefaults() Config {
	if c.Port == 0 {
		c.Port = defaultPort
	}
	if c.TLS == "" {
		c.TLS = TLSPreferred
	}
	if c.ConnectTimeout <= 0 {
		c.ConnectTimeout = defaultConnectTimeout
	}
	return c
}

// socket reports whether Host is the path of a Unix socket.
func (c Config) socket() bool { return strings.Contains(c.Host, "/") }

// network and address are what a dialer wants to hear.
func (c Config) network() string {
	if c.socket() {
		return "unix"
	}
	return "tcp"
}

func (c Config) address() string {
	if c.socket() {
		return c.Host
	}
	return net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
}
