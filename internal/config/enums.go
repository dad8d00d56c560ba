package config

import (
	"log/slog"
	"strings"
)

// choice is a text of which only some values have a meaning. canonical makes one spelling of those that mean the
// same.
type choice interface {
	choices() []string
	canonical(s string) string
}

// TLSMode says how the connection to the source is protected.
type TLSMode string

func (TLSMode) choices() []string {
	return []string{"disabled", "preferred", "required", "verify-ca", "verify-identity"}
}
func (TLSMode) canonical(s string) string { return dashed(s) }

// Verifies says whether the mode looks at the server's certificate.
func (m TLSMode) Verifies() bool { return m == "verify-ca" || m == "verify-identity" }

// MigrationType says what of the source is replicated.
type MigrationType string

// The migration types.
const (
	FullLoad       MigrationType = "full-load"
	CDC            MigrationType = "cdc"
	FullLoadAndCDC MigrationType = "full-load-and-cdc"
)

func (MigrationType) choices() []string {
	return []string{string(FullLoad), string(CDC), string(FullLoadAndCDC)}
}
func (MigrationType) canonical(s string) string { return s }

// MessageFormat is the layout of a record.
type MessageFormat string

func (MessageFormat) choices() []string { return []string{"json", "json-unformatted"} }

// canonical accepts the console's spellings, JSON and JSON_UNFORMATTED, beside the API's.
func (MessageFormat) canonical(s string) string { return dashed(s) }

// PartitionKeyType says what partition keys are made of.
type PartitionKeyType string

func (PartitionKeyType) choices() []string {
	return []string{"primary-key", "schema-table", "transaction-id", "constant", "attribute-name"}
}
func (PartitionKeyType) canonical(s string) string { return s }

// Oversized says what becomes of a record that is larger than the stream takes.
type Oversized string

func (Oversized) choices() []string         { return []string{"fail", "spill", "truncate-lob"} }
func (Oversized) canonical(s string) string { return s }

// ColumnFilter says which columns a before-image holds.
type ColumnFilter string

func (ColumnFilter) choices() []string         { return []string{"pk-only", "non-lob", "all"} }
func (ColumnFilter) canonical(s string) string { return s }

// Compression is how objects are compressed, as Firehose spells it.
type Compression string

func (Compression) choices() []string {
	return []string{"UNCOMPRESSED", "GZIP", "ZIP", "Snappy", "HADOOP_SNAPPY", "ZSTD"}
}
func (c Compression) canonical(s string) string {
	for _, known := range c.choices() {
		if strings.EqualFold(known, s) {
			return known
		}
	}
	return s
}

// PartitionTime is what the timestamps of an object prefix stand for.
type PartitionTime string

func (PartitionTime) choices() []string         { return []string{"arrival", "commit"} }
func (PartitionTime) canonical(s string) string { return strings.ToLower(s) }

// StorageClass is S3's storage class of new objects. Those that keep objects from being read at once are left out:
// where a chain of objects goes on is read from them.
type StorageClass string

func (StorageClass) choices() []string {
	return []string{"STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "REDUCED_REDUNDANCY"}
}
func (StorageClass) canonical(s string) string { return strings.ToUpper(s) }

// LogLevel is the least important level that is logged.
type LogLevel string

func (LogLevel) choices() []string         { return []string{"debug", "info", "warn", "error"} }
func (LogLevel) canonical(s string) string { return strings.ToLower(s) }

// Level is the level as slog knows it.
func (l LogLevel) Level() slog.Level {
	switch l {
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	return slog.LevelInfo
}

// LogFormat is the form of a log line. json becomes text where standard error is a terminal.
type LogFormat string

func (LogFormat) choices() []string         { return []string{"json", "text"} }
func (LogFormat) canonical(s string) string { return strings.ToLower(s) }

// dashed is s in lower case with dashes for underscores.
func dashed(s string) string { return strings.ReplaceAll(strings.ToLower(s), "_", "-") }
