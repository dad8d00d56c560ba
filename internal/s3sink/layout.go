package s3sink

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// LayoutConfig is everything that decides under which key, and in which form, a run is stored. It is saved with the
// version it has in the keys, since changing any of it changes the keys of runs that may be stored already.
type LayoutConfig struct {
	Name              string      `json:"name"`                // Firehose's delivery stream name
	Prefix            string      `json:"prefix,omitempty"`    // Firehose's grammar
	Compression       Compression `json:"compression"`         // "" means UNCOMPRESSED
	TimeZone          string      `json:"time_zone,omitempty"` // IANA name; "" means UTC
	Extension         string      `json:"extension,omitempty"` // replaces the compression's own
	AppendDelimiter   bool        `json:"append_delimiter,omitempty"`
	Deduplicate       bool        `json:"deduplicate,omitempty"` // decides which record is a run's first
	ErrorOutputPrefix string      `json:"-"`
}

// Layout makes keys.
type Layout struct {
	config LayoutConfig
	prefix prefix
	zone   *time.Location
}

var extensionForm = regexp.MustCompile(`^(|\.[0-9a-z!\-_.*'()]+)$`)

const maxExtension = 128

// NewLayout checks the configuration and reports all its faults.
func NewLayout(c LayoutConfig) (*Layout, error) {
	if c.Compression == "" {
		c.Compression = Uncompressed
	}
	if c.TimeZone == "" {
		c.TimeZone = "UTC"
	}
	var faults []error
	fault := func(key string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("delivery.%s: %w", key, err))
		}
	}
	l := &Layout{config: c}
	var err error
	l.prefix, err = parsePrefix(c.Prefix, false)
	fault("prefix", err)
	_, err = parsePrefix(c.ErrorOutputPrefix, true)
	fault("error_output_prefix", err)
	l.zone, err = time.LoadLocation(c.TimeZone)
	fault("custom_time_zone", err)
	fault("compression_format", c.Compression.check())
	if !extensionForm.MatchString(c.Extension) || len(c.Extension) > maxExtension {
		fault("file_extension", fmt.Errorf("%q must begin with a dot and hold only 0-9 a-z ! - _ . * ' ( ), %d characters at most", c.Extension, maxExtension))
	}
	if c.Name == "" {
		faults = append(faults, errors.New("name: it must not be empty, as object keys carry it"))
	}
	return l, errors.Join(faults...)
}

// Config is what the layout was made of.
func (l *Layout) Config() LayoutConfig { return l.config }

// Same reports whether two configurations give the same objects.
func (c LayoutConfig) Same(other LayoutConfig) bool {
	a, errA := json.Marshal(c)
	b, errB := json.Marshal(other)
	return errA == nil && errB == nil && string(a) == string(b)
}

// Chain is what a shard's objects have in common.
type Chain struct {
	Stream  string
	Created time.Time // when the stream was made
	Shard   string
}

// namespace is the UUID under which the objects' name-based UUIDs are made.
var namespace = uuid.MustParse("8f2b6a52-9c1e-5d0b-b7a4-3e6f1c0d9a57")

// id is the UUID of the run that begins with the record of a sequence number.
func (c Chain) id(first string) uuid.UUID {
	name := c.Stream + "\n" + strconv.FormatInt(c.Created.Unix(), 10) + "\n" + c.Shard + "\n" + first
	return uuid.NewSHA1(namespace, []byte(name))
}

// Key is the object key of the run that begins with the given record.
func (l *Layout) Key(c Chain, version int, first string, arrival time.Time) string {
	id := c.id(first)
	t := arrival.In(l.zone)
	return l.prefix.format(t, id[:], "") + l.config.Name + "-" + strconv.Itoa(version) + "-" +
		t.Format("2006-01-02-15-04-05") + "-" + id.String() + l.extension()
}

// ProbeKey is where the destination is tried out: beside the objects, under a name that query engines skip.
func (l *Layout) ProbeKey() string {
	return l.prefix.literal() + ".binlogstreamer-probe-" + l.config.Name
}

func (l *Layout) extension() string {
	if l.config.Extension != "" {
		return l.config.Extension
	}
	return l.config.Compression.extension()
}
