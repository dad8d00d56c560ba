package s3sink

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// LayoutConfig is everything that decides under which keys, and in which form, a run is stored. It is saved with the
// version it has in the keys, since changing any of it changes the keys of runs that may be stored already.
type LayoutConfig struct {
	Name              string      `json:"name"`                // Firehose's delivery stream name
	Prefix            string      `json:"prefix,omitempty"`    // Firehose's grammar
	Compression       Compression `json:"compression"`         // "" means UNCOMPRESSED
	TimeZone          string      `json:"time_zone,omitempty"` // IANA name; "" means UTC
	Extension         string      `json:"extension,omitempty"` // replaces the compression's own
	AppendDelimiter   bool        `json:"append_delimiter,omitempty"`
	Deduplicate       bool        `json:"deduplicate,omitempty"` // decides which record is a run's first
	Partitioned       bool        `json:"dynamic_partitioning,omitempty"`
	Query             string      `json:"metadata_extraction_query,omitempty"`
	PartitionTime     string      `json:"partition_time,omitempty"`      // ByCommit, or "" for ByArrival
	ErrorOutputPrefix string      `json:"error_output_prefix,omitempty"` // kept only if Partitioned: nothing else is stored there
}

// What the timestamp expressions of a prefix are evaluated for.
const (
	ByArrival = "arrival" // of the run's first record
	ByCommit  = "commit"  // of each record's transaction
)

// Layout makes keys.
type Layout struct {
	config      LayoutConfig
	prefix      prefix
	errorPrefix prefix
	query       *query // nil if no partition key needs one
	owns        bool   // part of the prefix is each record's own, so that a run may make several objects
	needsHeader bool   // some of that comes from the record's metadata
	zone        *time.Location
}

var extensionForm = regexp.MustCompile(`^(|\.[0-9a-z!\-_.*'()]+)$`)

const (
	maxExtension = 128
	maxKeys      = 50 // partition keys of a prefix, as in Firehose
)

// NewLayout checks the configuration and reports all its faults.
func NewLayout(c LayoutConfig) (*Layout, error) {
	if c.Compression == "" {
		c.Compression = Uncompressed
	}
	if c.TimeZone == "" {
		c.TimeZone = "UTC"
	}
	if c.PartitionTime == ByArrival {
		c.PartitionTime = ""
	}
	var faults []error
	fault := func(key string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("delivery.%s: %w", key, err))
		}
	}
	l := &Layout{}
	var err error
	l.prefix, err = parsePrefix(c.Prefix, false)
	fault("prefix", err)
	l.errorPrefix, err = parsePrefix(c.ErrorOutputPrefix, true)
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
	fault("partition_time", l.byCommit(c.PartitionTime))
	faults = append(faults, l.partitioning(c)...)
	for _, part := range l.prefix {
		l.owns = l.owns || part.own
		l.needsHeader = l.needsHeader || part.own && (part.key == "" || builtin(part.key))
	}
	if !c.Partitioned {
		c.ErrorOutputPrefix = ""
	}
	l.config = c
	return l, errors.Join(faults...)
}

// byCommit makes the timestamps of the prefix each record's own, if they are to be.
func (l *Layout) byCommit(partitionTime string) error {
	switch partitionTime {
	case "":
		return nil
	case ByCommit:
	default:
		return fmt.Errorf("%q is unknown: use arrival or commit", partitionTime)
	}
	found := false
	for i := range l.prefix {
		if l.prefix[i].date != nil {
			l.prefix[i].own, found = true, true
		}
	}
	if !found && l.prefix != nil {
		return errors.New("commit has no effect, as delivery.prefix has no timestamp: add !{timestamp:yyyy/MM/dd}/ to it, or write arrival")
	}
	return nil
}

// partitioning checks that the prefix, the query and the switch belong together.
func (l *Layout) partitioning(c LayoutConfig) []error {
	var faults []error
	fault := func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf("delivery."+key+": "+format, args...))
	}
	const queryKey = "dynamic_partitioning.metadata_extraction_query"
	keys := l.prefix.keys()
	switch {
	case !c.Partitioned && len(keys) > 0:
		fault("prefix", "!{partitionKeyFromQuery:%s} needs dynamic partitioning: write dynamic_partitioning: {enabled: true}", keys[0])
		return faults
	case !c.Partitioned && c.Query != "":
		fault(queryKey, "it has no effect without dynamic_partitioning.enabled: remove it, or write enabled: true")
		return faults
	case !c.Partitioned:
		return nil
	case len(keys) == 0 && l.prefix != nil:
		fault("prefix", "dynamic partitioning is on and no partition key stands here: add !{partitionKeyFromQuery:table}/ or another one")
	case len(keys) > maxKeys:
		fault("prefix", "it has %d partition keys, at most %d are allowed", len(keys), maxKeys)
	}
	if c.ErrorOutputPrefix == "" {
		fault("error_output_prefix", "it is needed with dynamic partitioning: write where records without a partition go, such as errors/!{firehose:error-output-type}/")
	}
	asked := slices.DeleteFunc(slices.Clone(keys), builtin)
	if c.Query == "" {
		if len(asked) > 0 {
			fault(queryKey, "it is missing, and delivery.prefix has !{partitionKeyFromQuery:%s}: write a jq object such as {%s: .data.%s}, or use schema, table or operation",
				asked[0], asked[0], asked[0])
		}
		return faults
	}
	q, err := newQuery(c.Query)
	if err != nil {
		fault(queryKey, "%w", err)
		return faults
	}
	l.query = q
	for _, name := range q.names {
		switch {
		case builtin(name):
			fault(queryKey, "%s is always the record's own: give the key another name, here and in delivery.prefix", name)
		case !slices.Contains(keys, name):
			fault(queryKey, "it makes %s, which delivery.prefix does not use: remove it, or add !{partitionKeyFromQuery:%s}", name, name)
		}
	}
	for _, name := range asked {
		if q.static && !slices.Contains(q.names, name) {
			fault("prefix", "!{partitionKeyFromQuery:%s} is not among the keys that the query makes: add it to %s", name, queryKey)
		}
	}
	if len(asked) == 0 && len(faults) == 0 {
		fault(queryKey, "it has no effect, as delivery.prefix uses none of its keys: remove it")
	}
	return faults
}

// Deduplicates reports whether records that were sent twice are left out.
func (l *Layout) Deduplicates() bool { return l.config.Deduplicate }

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

// id is the UUID of the run that begins with the record of a sequence number. Its error output has one of its own, as
// it may have the prefix of records in good order.
func (c Chain) id(first, kind string) uuid.UUID {
	name := c.Stream + "\n" + strconv.FormatInt(c.Created.Unix(), 10) + "\n" + c.Shard + "\n" + first
	if kind != "" {
		name += "\n" + kind
	}
	return uuid.NewSHA1(namespace, []byte(name))
}

// start is what a run's keys depend on, beside the layout and what its records say of themselves.
type start struct {
	chain    Chain
	version  int
	sequence string
	arrival  time.Time
}

// key is the key of the run's object for a partition. It fails if no key can be made of the partition's values.
func (l *Layout) key(s start, p *partition) (string, error) {
	if p.failure != nil {
		return "", p.failure
	}
	id := s.chain.id(s.sequence, "")
	text := l.prefix.format(evaluation{at: s.arrival.In(l.zone), seed: id[:], values: p.values})
	key := text + l.suffix(s, id)
	if !l.owns {
		return key, nil // checked when the layout was made
	}
	return key, checkKey(text, key)
}

// errorKey is the key of the run's error output.
func (l *Layout) errorKey(s start) string {
	id := s.chain.id(s.sequence, processingFailed)
	return l.errorPrefix.format(evaluation{at: s.arrival.In(l.zone), seed: id[:], kind: processingFailed}) + l.suffix(s, id)
}

func (l *Layout) suffix(s start, id uuid.UUID) string {
	return l.config.Name + "-" + strconv.Itoa(s.version) + "-" + s.arrival.In(l.zone).Format("2006-01-02-15-04-05") + "-" + id.String() + l.extension()
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
