package record

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Format is how a record's JSON is laid out.
type Format uint8

// The formats. JSON spreads a record over lines with tabs, as DMS does by default; JSONUnformatted is one line
// that ends in a newline.
const (
	JSON Format = iota + 1
	JSONUnformatted
)

// String is the format as the DMS API spells it.
func (f Format) String() string {
	switch f {
	case JSON:
		return "json"
	case JSONUnformatted:
		return "json-unformatted"
	}
	return fmt.Sprintf("format(%d)", uint8(f))
}

// ParseFormat reads DMS's spellings: json and json-unformatted of the API, JSON and JSON_UNFORMATTED of the console.
func ParseFormat(s string) (Format, error) {
	switch strings.ReplaceAll(strings.ToLower(s), "_", "-") {
	case "json":
		return JSON, nil
	case "json-unformatted":
		return JSONUnformatted, nil
	}
	return 0, fmt.Errorf("message format %q is unknown: use json or json-unformatted", s)
}

// KeyType says what a record's partition key is made of.
type KeyType uint8

// The partition key types. Only KeyPrimaryKey and KeySchemaTable keep all changes of one row on one shard, and
// with that their order.
const (
	KeyPrimaryKey KeyType = iota + 1
	KeySchemaTable
	KeyTransactionID
	KeyConstant
	KeyAttributeName
)

var keyTypeNames = [...]string{
	KeyPrimaryKey:    "primary-key",
	KeySchemaTable:   "schema-table",
	KeyTransactionID: "transaction-id",
	KeyConstant:      "constant",
	KeyAttributeName: "attribute-name",
}

// String is the key type as records spell it in partition-key-type.
func (k KeyType) String() string {
	if k >= KeyPrimaryKey && k <= KeyAttributeName {
		return keyTypeNames[k]
	}
	return fmt.Sprintf("key type(%d)", uint8(k))
}

// ParseKeyType reads a partition-key-type.
func ParseKeyType(s string) (KeyType, error) {
	for k := KeyPrimaryKey; k <= KeyAttributeName; k++ {
		if keyTypeNames[k] == s {
			return k, nil
		}
	}
	return 0, fmt.Errorf("partition key type %q is unknown: use primary-key, schema-table, transaction-id, constant or attribute-name", s)
}

// ColumnFilter says which columns a before-image holds.
type ColumnFilter uint8

// The column filters of before-images.
const (
	FilterPKOnly ColumnFilter = iota + 1
	FilterNonLOB
	FilterAll
)

// String is the filter as DMS spells it.
func (f ColumnFilter) String() string {
	switch f {
	case FilterPKOnly:
		return "pk-only"
	case FilterNonLOB:
		return "non-lob"
	case FilterAll:
		return "all"
	}
	return fmt.Sprintf("column filter(%d)", uint8(f))
}

// ParseColumnFilter reads a before-image's column filter.
func ParseColumnFilter(s string) (ColumnFilter, error) {
	for f := FilterPKOnly; f <= FilterAll; f++ {
		if f.String() == s {
			return f, nil
		}
	}
	return 0, fmt.Errorf("before-image column filter %q is unknown: use pk-only, non-lob or all", s)
}

// BeforeImage is the before-image setting: update records then carry the old values in an object of their own.
type BeforeImage struct {
	Enabled      bool
	FieldName    string       // the object's key; "" means before-image
	ColumnFilter ColumnFilter // 0 means pk-only
}

// Options is the form of the records of one task. The zero value of a field is DMS's default for it, except that
// Format and PartitionKeyType have none here: use DefaultOptions.
type Options struct {
	Format                      Format
	IncludeTransactionDetails   bool
	IncludeGTID                 bool
	IncludePartitionValue       bool
	PartitionIncludeSchemaTable bool
	IncludeNullAndEmpty         bool // NULL columns are written as null; without it they are left out
	IncludeControlDetails       bool
	PartitionKeyType            KeyType
	PartitionKeyConstant        string // the key of KeyConstant
	PartitionKeyName            string // the column whose value is the key of KeyAttributeName
	BeforeImage                 BeforeImage
	TaskID                      string // partition key of control records
}

// DefaultOptions is the form that records have unless the configuration says otherwise.
func DefaultOptions(taskID string) Options {
	return Options{
		Format:                    JSONUnformatted,
		IncludeTransactionDetails: true,
		IncludeGTID:               true,
		PartitionKeyType:          KeyPrimaryKey,
		TaskID:                    taskID,
	}
}

// beforeImageName is the key of the before-image object.
func (o *Options) beforeImageName() string {
	if o.BeforeImage.FieldName == "" {
		return "before-image"
	}
	return o.BeforeImage.FieldName
}

// Validate reports every fault of o at once.
func (o *Options) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }

	if o.Format != JSON && o.Format != JSONUnformatted {
		fault("message format is not set: use json or json-unformatted")
	}
	switch o.PartitionKeyType {
	case KeyPrimaryKey, KeySchemaTable, KeyTransactionID:
	case KeyConstant:
		if o.PartitionKeyConstant == "" || keyUnits([]byte(o.PartitionKeyConstant)) > maxKeyUnits || !utf8.ValidString(o.PartitionKeyConstant) {
			fault("partition key type constant needs a constant of 1 to %d characters, not %q", maxKeyUnits, o.PartitionKeyConstant)
		}
	case KeyAttributeName:
		if o.PartitionKeyName == "" {
			fault("partition key type attribute-name needs a partition key name: the column whose value is the key")
		}
	default:
		fault("partition key type is not set: use primary-key, schema-table, transaction-id, constant or attribute-name")
	}
	if o.BeforeImage.Enabled {
		switch name := o.beforeImageName(); {
		case name == "data" || name == "metadata" || name == "control":
			fault("before-image field name %q is taken by the record itself: choose another one", name)
		case !utf8.ValidString(name):
			fault("before-image field name %q is not valid UTF-8", name)
		}
		if o.BeforeImage.ColumnFilter > FilterAll {
			fault("before-image column filter %d is unknown: use pk-only, non-lob or all", o.BeforeImage.ColumnFilter)
		}
	}
	if o.TaskID == "" || !utf8.ValidString(o.TaskID) {
		fault("task id %q must be a name of at least one character: it is the partition key of control records", o.TaskID)
	}
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("record options: %w", errors.Join(faults...))
}
