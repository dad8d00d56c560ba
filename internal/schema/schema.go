// Package schema describes tables and holds the one table of column codecs: it turns a column's bytes, as they
// stand in a binlog row image or in a text result set, into JSON. It promises that the same value gives the same
// JSON bytes from either form, that no value is rounded, and that bytes it cannot represent are an error that
// names table and column, never a guess.
package schema

// Type is a MySQL column type as the product tells types apart. The zero value is invalid.
type Type uint8

// The column types.
const (
	TypeInvalid Type = iota
	TinyInt
	SmallInt
	MediumInt
	Int
	BigInt
	Decimal
	Float
	Double
	Bit
	Date
	DateTime
	Timestamp
	Time
	Year
	Char      // CHAR(n) with a character set
	VarChar   // VARCHAR(n) with a character set
	Text      // TINYTEXT, TEXT, MEDIUMTEXT, LONGTEXT
	Binary    // BINARY(n)
	VarBinary // VARBINARY(n)
	Blob      // TINYBLOB, BLOB, MEDIUMBLOB, LONGBLOB
	Enum
	Set
	JSON
	Geometry
	Vector // VECTOR(n)
	UUID   // of MariaDB, like the next two
	Inet4
	Inet6
)

// Column is one column of a table definition.
type Column struct {
	Name       string
	Type       Type
	ColumnType string // as information_schema.COLUMNS.COLUMN_TYPE prints it, e.g. "int unsigned"
	Unsigned   bool
	Nullable   bool
	Generated  bool     // VIRTUAL or STORED
	Unlogged   bool     // MariaDB logs generated columns with some changes only: no record has this one
	Invisible  bool     // MySQL 8.0.23 INVISIBLE, MariaDB INVISIBLE
	Compressed bool     // MariaDB's COMPRESSED
	Length     uint32   // characters or bytes for CHAR, VARCHAR, BINARY, VARBINARY; bits for BIT; bytes maximum for TEXT and BLOB; numbers of a VECTOR
	Precision  uint8    // DECIMAL
	Scale      uint8    // DECIMAL
	FSP        uint8    // fractional second digits of DATETIME, TIMESTAMP, TIME
	Charset    string   // MySQL character set name; "" for types without one
	Collation  string   // MySQL collation name; "" for types without one
	Labels     []string // ENUM and SET labels in definition order, UTF-8
}

// KeyKind says what a table's Key is.
type KeyKind uint8

// The kinds of key.
const (
	NoKey KeyKind = iota
	PrimaryKey
	UniqueKey // a UNIQUE key of NOT NULL columns, used where there is no primary key
)

// Table is one version of a table's definition. It is immutable once made.
type Table struct {
	Schema, Name string
	Columns      []Column // every column of a full row image, in table order
	Key          []int    // indexes into Columns, in index order; nil when KeyKind is NoKey
	KeyKind      KeyKind
	Collation    string
	Versioned    bool // MariaDB's WITH SYSTEM VERSIONING: former rows are rows, too, told apart by a column of the key that says when they ended
}

// FullName is schema.table, for messages and partition keys.
func (t *Table) FullName() string { return t.Schema + "." + t.Name }

// Codec renders the raw column values of one table version in one source form. A nil value is SQL NULL; the
// caller handles it and never passes it on. Implementations are safe for concurrent use.
type Codec interface {
	// AppendJSON appends column col's value, read from v, as one JSON value (number, string, true, false or
	// null: a zero date is null) and returns the extended buffer. It neither keeps nor changes v.
	AppendJSON(dst []byte, col int, v []byte) ([]byte, error)
}
