package config

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

var fileExtension = regexp.MustCompile(`^(|\.[0-9a-z!\-_.*'()]+)$`)

// delivery checks where objects go and how they are named, cut and compressed.
func (c *checker) delivery() {
	d := &c.Delivery
	if d.Destination == (Destination{}) {
		c.missing("delivery.destination", "write s3://bucket, or file:///folder")
	}
	if d.Endpoint != "" && !validURL(d.Endpoint) {
		c.fault("delivery.endpoint", "is not an endpoint", "write http://host:port or https://host:port of the S3-compatible store, or leave it empty for AWS")
	}
	c.inRange("delivery.buffering_hints.interval_in_seconds", d.BufferingHints.IntervalInSeconds, 0, 900, "seconds")
	c.inRange("delivery.buffering_hints.size_in_mbs", d.BufferingHints.SizeInMBs, 1, 128, "MiB")
	if len(d.FileExtension) > 128 || !fileExtension.MatchString(d.FileExtension) {
		c.fault("delivery.file_extension", "is not a file extension", "start with a dot, then lower-case letters, digits and !-_.*'() , such as .json.gz")
	}
	c.prefix("delivery.prefix", d.Prefix, false)
	c.prefix("delivery.error_output_prefix", d.ErrorPrefix, true)
	if strings.Contains(d.Prefix, "!{") && d.ErrorPrefix == "" {
		c.missing("delivery.error_output_prefix", "write where records go that delivery.prefix cannot be made for, such as errors/!{firehose:error-output-type}/: Firehose asks for it too where the prefix has expressions")
	}
	c.partitioning()
	c.storage()
	if d.Deduplicate && !c.Stream.IncludeTransactionDetails {
		c.fault("stream.include_transaction_details", "leaves out what delivery.deduplicate tells repetitions by", "write include_transaction_details: true, or deduplicate: false")
	}
}

// prefix checks the expressions of an object prefix in Firehose's grammar.
func (c *checker) prefix(path, prefix string, forErrors bool) {
	if utf8.RuneCountInString(prefix) > 512 {
		c.fault(path, "is longer than 512 characters", "shorten it")
	}
	rest := prefix
	for {
		_, after, found := strings.Cut(rest, "!{")
		if !found {
			break
		}
		expr, behind, closed := strings.Cut(after, "}")
		if !closed {
			c.fault(path, "has a !{ without its }", "close the expression")
			return
		}
		c.expression(path, expr, forErrors)
		rest = behind
	}
	if forErrors && strings.Contains(prefix, "!{") && !strings.Contains(prefix, "!{firehose:error-output-type}") {
		c.fault(path, "has expressions, but not the one that says what failed", "add !{firehose:error-output-type}")
	}
}

func (c *checker) expression(path, expr string, forErrors bool) {
	namespace, value, _ := strings.Cut(expr, ":")
	switch {
	case namespace == "timestamp" && value != "",
		expr == "firehose:random-string",
		expr == "firehose:error-output-type" && forErrors:
	case expr == "firehose:error-output-type":
		c.fault(path, "has !{"+expr+"}, which belongs into error_output_prefix", "remove it")
	case namespace == "partitionKeyFromQuery" && value != "" && !forErrors:
		if !c.Delivery.Partitioning.Enabled {
			c.fault(path, "has !{"+expr+"}, which needs dynamic partitioning", "write dynamic_partitioning: {enabled: true}")
		}
	case namespace == "partitionKeyFromQuery" && forErrors:
		c.fault(path, "has !{"+expr+"}, and what is stored here has no partition", "remove it")
	case namespace == "partitionKeyFromLambda":
		c.fault(path, "has !{"+expr+"}, and there is no Lambda transformation", "use !{partitionKeyFromQuery:…}")
	default:
		c.fault(path, "has the unknown expression !{"+expr+"}", "use !{timestamp:yyyy/MM/dd/HH}, !{firehose:random-string} or !{partitionKeyFromQuery:table}")
	}
}

// partitioning checks the switches of dynamic partitioning. Whether prefix and query fit together is the business of
// the layout that is made of them.
func (c *checker) partitioning() {
	d := &c.Delivery
	p := &d.Partitioning
	const group = "delivery.dynamic_partitioning"
	c.inRange(group+".max_open_partitions", p.MaxOpen, 1, 5000, "partitions")
	hasKey := strings.Contains(d.Prefix, "!{partitionKeyFrom")
	switch {
	case p.Enabled && !hasKey:
		c.fault("delivery.prefix", "has no partition key, and dynamic partitioning is on", "add !{partitionKeyFromQuery:table}/ or another key, or write enabled: false")
	case !p.Enabled && p.Query != "":
		c.fault(group+".metadata_extraction_query", "has no effect without enabled: true", "remove it, or write enabled: true")
	}
	hasTime := d.Prefix == "" || strings.Contains(d.Prefix, "!{timestamp:") || !strings.Contains(d.Prefix, "!{")
	if d.PartitionTime == "commit" && !hasTime {
		c.fault("delivery.partition_time", "has no effect, as delivery.prefix has no timestamp", "add !{timestamp:yyyy/MM/dd}/ to it, or write arrival")
	}
}

var kmsKey = regexp.MustCompile(`^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:(key|alias)/.+$`)

// storage checks what S3 is told about objects beside their content.
func (c *checker) storage() {
	d := &c.Delivery
	const key = "delivery.encryption_configuration.kms_encryption_config.aws_kms_key_arn"
	if d.Destination.Dir != "" {
		const cure = "remove it, or deliver to s3://bucket"
		for path, set := range map[string]bool{
			key: d.Encryption.KMS.KeyARN != "", "delivery.object_tags": len(d.ObjectTags) > 0,
			"delivery.storage_class": d.StorageClass != "STANDARD",
		} {
			if set {
				c.fault(path, "has no effect with a file:// destination", cure)
			}
		}
		return
	}
	if d.Encryption.KMS.KeyARN != "" && !kmsKey.MatchString(d.Encryption.KMS.KeyARN) {
		c.fault(key, "is not the ARN of a KMS key", "write arn:aws:kms:REGION:ACCOUNT:key/ID, or leave it empty for the bucket's default encryption")
	}
	c.tags(d.ObjectTags)
}

// tagText is what AWS allows in the names and values of tags.
var tagText = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

// tags checks what S3 allows: ten tags, each of 128 and 256 characters.
func (c *checker) tags(tags Tags) {
	const path = "delivery.object_tags"
	if len(tags) > 10 {
		c.fault(path, "has more than ten tags", "S3 allows ten on an object: remove some")
	}
	for name, value := range tags {
		switch {
		case name == "" || utf8.RuneCountInString(name) > 128 || utf8.RuneCountInString(value) > 256:
			c.fault(path+"."+name, "is too long for S3, or has no name", "names have 1 to 128 characters, values at most 256")
		case !tagText.MatchString(name) || !tagText.MatchString(value):
			c.fault(path+"."+name, "has a character that AWS does not allow in tags", "write letters, digits, spaces and _.:/=+-@ only")
		case strings.HasPrefix(strings.ToLower(name), "aws:"):
			c.fault(path+"."+name, "has a name that AWS keeps for itself", "choose a name without aws:")
		}
	}
}
