package record

import (
	"unicode/utf8"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// dmsType is a column's type in DMS's words.
type dmsType struct {
	name   string
	length uint64 // 0: not written
}

// describe translates a column's type.
func describe(c *schema.Column) dmsType {
	integer := func(bits string) dmsType {
		if c.Unsigned {
			return dmsType{name: "UINT" + bits}
		}
		return dmsType{name: "INT" + bits}
	}
	switch c.Type {
	case schema.TinyInt:
		return integer("8")
	case schema.SmallInt:
		return integer("16")
	case schema.MediumInt, schema.Int:
		return integer("32")
	case schema.BigInt:
		return integer("64")
	case schema.Decimal:
		return dmsType{name: "NUMERIC"}
	case schema.Float:
		return dmsType{name: "REAL4"}
	case schema.Double:
		return dmsType{name: "REAL8"}
	case schema.Bit:
		if c.Length <= 1 {
			return dmsType{name: "BOOLEAN"}
		}
		return dmsType{"BYTES", uint64(c.Length+7) / 8}
	case schema.Date:
		return dmsType{name: "DATE"}
	case schema.DateTime, schema.Timestamp:
		return dmsType{name: "TIMESTAMP"}
	case schema.Year:
		return dmsType{name: "INT16"}
	case schema.Char, schema.VarChar:
		return dmsType{"STRING", uint64(c.Length)}
	case schema.Enum:
		return dmsType{"STRING", longestLabel(c.Labels)}
	case schema.Set:
		return dmsType{"STRING", allLabels(c.Labels)}
	case schema.Binary, schema.VarBinary:
		return dmsType{"BYTES", uint64(c.Length)}
	case schema.UUID:
		return dmsType{"STRING", 36}
	case schema.Inet4:
		return dmsType{"STRING", 15}
	case schema.Inet6:
		return dmsType{"STRING", 39}
	case schema.Vector:
		return dmsType{"BYTES", 4 * uint64(c.Length)}
	case schema.Blob, schema.Geometry:
		return dmsType{name: "BYTES"}
	}
	return dmsType{name: "STRING"} // TEXT, JSON, TIME
}

func longestLabel(labels []string) uint64 {
	longest := 0
	for _, l := range labels {
		longest = max(longest, utf8.RuneCountInString(l))
	}
	return uint64(longest)
}

// allLabels is the length of a SET value that holds every label, with the commas between them.
func allLabels(labels []string) uint64 {
	total := max(0, len(labels)-1)
	for _, l := range labels {
		total += utf8.RuneCountInString(l)
	}
	return uint64(total)
}
