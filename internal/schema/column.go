package schema

import (
	"fmt"
)

// appendFunc renders one value of a column. It returns an error, and any bytes, when v is no such value.
type appendFunc func(c *column, dst, v []byte) ([]byte, error)

// column is one column prepared for one source form: the function that renders its values, chosen once, and all
// that the function needs.
type column struct {
	def    *Column
	append appendFunc
	width  width      // image form only
	plain  appendFunc // image form of a compressed column: renders what was decompressed

	size             int    // bytes that a value is padded to or must have
	precision, scale int    // DECIMAL
	fsp              int    // fractional digits of times
	hexOpen          string // what stands in front of hexadecimal digits: a quote, and 0x unless NoHexPrefix
	decode           decodeFunc
	labels           []string       // ENUM, SET: the labels as they stand inside a JSON string
	byLabel          map[string]int // ENUM, SET in text form: what the server may send
}

// newColumn prepares what both source forms share.
func newColumn(def *Column, o Options) (column, error) {
	c := column{def: def, hexOpen: `"0x`, fsp: int(def.FSP)}
	if o.NoHexPrefix {
		c.hexOpen = `"`
	}
	switch def.Type {
	case Char, VarChar, Text:
		decode, err := decoder(def.Charset)
		if err != nil {
			return c, err
		}
		c.decode = decode
	case Enum, Set:
		if err := c.setLabels(); err != nil {
			return c, err
		}
	case Bit:
		if def.Length < 1 || def.Length > 64 {
			return c, fmt.Errorf("BIT(%d) is not BIT(1) to BIT(64)", def.Length)
		}
		c.size = int(def.Length+7) / 8
	case DateTime, Timestamp, Time:
		if def.FSP > 6 {
			return c, fmt.Errorf("%d fractional digits are more than 6", def.FSP)
		}
	}
	return c, nil
}

func (c *column) setLabels() error {
	if len(c.def.Labels) == 0 || c.def.Type == Set && len(c.def.Labels) > 64 || len(c.def.Labels) > 65535 {
		return fmt.Errorf("%q has %d labels", c.def.ColumnType, len(c.def.Labels))
	}
	c.labels = make([]string, len(c.def.Labels))
	for i, label := range c.def.Labels {
		escaped, bad := appendEscaped(nil, []byte(label))
		if bad >= 0 {
			return fmt.Errorf("label %q is not valid UTF-8", label)
		}
		c.labels[i] = string(escaped)
	}
	return nil
}

func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("Type(%d)", uint8(t))
}

var typeNames = [...]string{
	TypeInvalid: "no type", TinyInt: "TINYINT", SmallInt: "SMALLINT", MediumInt: "MEDIUMINT", Int: "INT", BigInt: "BIGINT",
	Decimal: "DECIMAL", Float: "FLOAT", Double: "DOUBLE", Bit: "BIT", Date: "DATE", DateTime: "DATETIME",
	Timestamp: "TIMESTAMP", Time: "TIME", Year: "YEAR", Char: "CHAR", VarChar: "VARCHAR", Text: "TEXT", Binary: "BINARY",
	VarBinary: "VARBINARY", Blob: "BLOB", Enum: "ENUM", Set: "SET", JSON: "JSON", Geometry: "GEOMETRY",
	Vector: "VECTOR", UUID: "UUID", Inet4: "INET4", Inet6: "INET6",
}
