package config

import (
	"regexp"
	"strings"
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
	if d.Deduplicate && !c.Stream.IncludeTransactionDetails {
		c.fault("stream.include_transaction_details", "leaves out what delivery.deduplicate tells repetitions by", "write include_transaction_details: true, or deduplicate: false")
	}
}

// prefix checks the expressions of an object prefix in Firehose's grammar.
func (c *checker) prefix(path, prefix string, forErrors bool) {
	if len(prefix) > 512 {
		c.fault(path, "is longer than 512 bytes", "shorten it")
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
	case namespace == "partitionKeyFromQuery", namespace == "partitionKeyFromLambda":
		c.fault(path, "has !{"+expr+"}: dynamic partitioning is not available yet", "remove it")
	default:
		c.fault(path, "has the unknown expression !{"+expr+"}", "use !{timestamp:yyyy/MM/dd/HH} or !{firehose:random-string}")
	}
}
