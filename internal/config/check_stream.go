package config

import (
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/binlogstreamer/binlogstreamer/internal/record"
)

var (
	streamName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,128}$`)
	streamARN  = regexp.MustCompile(`^arn:aws[a-z-]*:kinesis:([a-z0-9-]+):\d{12}:stream/([A-Za-z0-9_.-]{1,128})$`)
)

// stream checks how the stream is addressed and what its records look like.
func (c *checker) stream() {
	c.streamAddress()
	s := &c.Stream
	if s.IncludeTableAlterOperations {
		c.later("stream.include_table_alter_operations", "write false: changes of a table's definition are followed, but not announced in the stream")
	}
	c.partitionKeys()
	c.oversized()
}

// oversized checks where records go that are larger than the stream takes, and how much is left of them.
func (c *checker) oversized() {
	s := &c.Stream
	const place, size = "stream.oversized_destination", "stream.lob_max_size"
	c.inRange(size, s.LOBMaxSize, 1, 10240, "KiB")
	if c.has(size) && s.OversizedRecords != "truncate-lob" {
		c.fault(size, "has no effect with oversized_records: "+string(s.OversizedRecords), "write oversized_records: truncate-lob, or remove the key")
	}
	if max := c.Replication.Settings.LOBMaxSize; max > 0 && !c.has(size) {
		s.LOBMaxSize = max
	}
	// Deliver puts bodies back as long as the stream holds references to them, whatever becomes of such records now.
	switch {
	case s.OversizedDestination != (Folder{}):
	case c.Delivery.Destination != (Destination{}):
		s.OversizedDestination = c.Delivery.Destination.folder("oversized/")
	case s.OversizedRecords == "spill":
		c.missing(place, "write s3://bucket/prefix or file:///folder: the bodies of oversized records are stored there")
	}
}

func (c *checker) streamAddress() {
	s := &c.Stream
	switch {
	case s.Name == "" && s.ARN == "":
		c.missing("stream.name", "name the Kinesis stream, or give its arn")
	case s.Name != "" && s.ARN != "":
		c.fault("stream.arn", "stands beside stream.name", "keep one of them: the arn holds the name")
	case s.Name != "" && !streamName.MatchString(s.Name):
		c.fault("stream.name", "is not a stream's name", "write 1 to 128 letters, digits, dots, dashes and underscores")
	case s.ARN != "":
		c.streamARN()
	}
	switch {
	case s.Embedded():
		c.embedded()
	case s.Endpoint != "" && !validURL(s.Endpoint):
		c.fault("stream.endpoint", "is not an endpoint", "write http://host:port or https://host:port, embedded for a stream on this machine, or leave it empty for AWS")
	}
	if c.has("stream.embedded_directory") && s.EmbeddedDirectory != "" && !s.Embedded() {
		c.fault("stream.embedded_directory", "has no effect without endpoint: embedded", "remove it, or write endpoint: embedded")
	}
}

func (c *checker) streamARN() {
	m := streamARN.FindStringSubmatch(c.Stream.ARN)
	switch {
	case m == nil:
		c.fault("stream.arn", "is not a Kinesis stream's ARN", "write arn:aws:kinesis:REGION:ACCOUNT:stream/NAME")
	case c.Stream.Embedded():
		c.fault("stream.arn", "can't be used with endpoint: embedded", "address the embedded stream by stream.name")
	case c.Stream.Region == "":
		c.Stream.Region = m[1]
	case c.Stream.Region != m[1]:
		c.fault("stream.region", "is not the region of stream.arn, "+m[1], "remove stream.region")
	}
}

// embedded places the embedded stream beside the checkpoints, where the operator expects the daemon's state.
func (c *checker) embedded() {
	s := &c.Stream
	c.inRange("stream.embedded_shards", s.EmbeddedShards, 1, 256, "shards")
	if s.EmbeddedDirectory == "" && c.Checkpoint.Store.Dir == "" {
		// Another fault says so if there is no store at all.
		if c.Checkpoint.Store != (Store{}) {
			c.missing("stream.embedded_directory", "name a folder for the embedded stream; it stands beside the checkpoints by default, and these are not on this machine")
		}
		return
	}
	if s.EmbeddedDirectory == "" {
		s.EmbeddedDirectory = filepath.Join(filepath.Dir(c.Checkpoint.Store.Dir), "stream")
		return
	}
	s.EmbeddedDirectory = c.path(s.EmbeddedDirectory)
}

func validURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil &&
		(u.Path == "" || u.Path == "/") && u.RawQuery == "" && u.Fragment == ""
}

func (c *checker) partitionKeys() {
	s := &c.Stream
	for _, k := range []struct {
		path, value string
		keyType     PartitionKeyType
		cure        string
	}{
		{"stream.partition_key_constant", s.PartitionKeyConstant, "constant", "write the key that all records get"},
		{"stream.partition_key_name", s.PartitionKeyName, "attribute-name", "name the column whose value is the key"},
	} {
		switch {
		case s.PartitionKeyType == k.keyType && k.value == "":
			c.missing(k.path, k.cure)
		case s.PartitionKeyType != k.keyType && k.value != "":
			c.fault(k.path, "has no effect with partition_key_type: "+string(s.PartitionKeyType), "write partition_key_type: "+string(k.keyType)+", or remove the key")
		case utf8.RuneCountInString(k.value) > 256:
			c.fault(k.path, "is longer than the 256 characters of a partition key", "shorten it")
		}
	}
}

// before checks the before-image's name, which must not hide what the record itself holds.
func (c *checker) before() {
	b := &c.Stream.BeforeImage
	const path = "stream.before_image.field_name"
	switch {
	case !b.Enabled:
	case b.FieldName == "":
		c.missing(path, "write before-image")
	case strings.Contains("|data|metadata|control|", "|"+b.FieldName+"|"):
		c.fault(path, "is what the record itself uses", "choose another name, such as before-image")
	}
}

// RecordOptions is the form of this pipeline's records.
func (p *Pipeline) RecordOptions() record.Options {
	s := &p.Stream
	o := record.DefaultOptions(p.Name)
	// The texts were checked against the same spellings when they were read.
	o.Format, _ = record.ParseFormat(string(s.MessageFormat))
	o.PartitionKeyType, _ = record.ParseKeyType(string(s.PartitionKeyType))
	o.BeforeImage.ColumnFilter, _ = record.ParseColumnFilter(string(s.BeforeImage.ColumnFilter))
	o.BeforeImage.Enabled, o.BeforeImage.FieldName = s.BeforeImage.Enabled, s.BeforeImage.FieldName
	o.IncludeTransactionDetails = s.IncludeTransactionDetails
	o.IncludeGTID = s.IncludeGTID
	o.IncludePartitionValue = s.IncludePartitionValue
	o.PartitionIncludeSchemaTable = s.PartitionIncludeSchemaTable
	o.IncludeNullAndEmpty = s.IncludeNullAndEmpty
	o.IncludeControlDetails = s.IncludeControlDetails
	o.PartitionKeyConstant = s.PartitionKeyConstant
	o.PartitionKeyName = s.PartitionKeyName
	return o
}
