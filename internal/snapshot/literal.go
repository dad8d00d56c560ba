package snapshot

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// literal writes a value of the text protocol as an SQL literal of the same value, in plain ASCII.
func literal(c *schema.Column, v []byte) (string, error) {
	switch c.Type {
	case schema.TinyInt, schema.SmallInt, schema.MediumInt, schema.Int, schema.BigInt,
		schema.Decimal, schema.Float, schema.Double:
		return number(v)
	case schema.Date, schema.DateTime, schema.Timestamp, schema.Time, schema.Year:
		return temporal(v)
	case schema.UUID, schema.Inet4, schema.Inet6:
		return address(v)
	case schema.Enum:
		return enumNumber(c, v)
	case schema.Set:
		return setNumber(c, v)
	case schema.Bit:
		return bitNumber(v)
	case schema.Char, schema.VarChar, schema.Text:
		// The text form of such a column is its stored bytes; the charset's introducer says what they are.
		return "_" + c.Charset + " x'" + hex.EncodeToString(v) + "'", nil
	case schema.Binary, schema.VarBinary, schema.Blob:
		return "x'" + hex.EncodeToString(v) + "'", nil
	default:
		return "", fmt.Errorf("type %s cannot be part of a key that is paged by", c.ColumnType)
	}
}

// number lets only characters of a number into a statement.
func number(v []byte) (string, error) {
	if len(v) == 0 || strings.Trim(string(v), "0123456789+-.eE") != "" {
		return "", fmt.Errorf("%q is not a number", v)
	}
	return string(v), nil
}

// temporal is a date or time in quotes. A year, too: as a number 0 would mean 2000.
func temporal(v []byte) (string, error) {
	if len(v) == 0 || strings.Trim(string(v), "0123456789-: .") != "" {
		return "", fmt.Errorf("%q is not a date or time", v)
	}
	return "'" + string(v) + "'", nil
}

func address(v []byte) (string, error) {
	if strings.Trim(string(v), "0123456789abcdef-:.") != "" {
		return "", fmt.Errorf("%q is neither a UUID nor an address", v)
	}
	return "'" + string(v) + "'", nil
}

// enumNumber gives the number of a label, which is what the server sorts by. The empty string is number 0 unless it is
// a label of its own.
func enumNumber(c *schema.Column, v []byte) (string, error) {
	if i := slices.Index(c.Labels, string(v)); i >= 0 {
		return strconv.Itoa(i + 1), nil
	}
	if len(v) == 0 {
		return "0", nil
	}
	return "", fmt.Errorf("%q is not one of its labels", v)
}

func setNumber(c *schema.Column, v []byte) (string, error) {
	var bits uint64
	if len(v) > 0 {
		for label := range strings.SplitSeq(string(v), ",") {
			i := slices.Index(c.Labels, label)
			if i < 0 {
				return "", fmt.Errorf("%q is not one of its labels", label)
			}
			bits |= 1 << i
		}
	}
	return strconv.FormatUint(bits, 10), nil
}

// bitNumber reads the bytes of a BIT value, highest first.
func bitNumber(v []byte) (string, error) {
	if len(v) == 0 || len(v) > 8 {
		return "", fmt.Errorf("a BIT value of %d bytes", len(v))
	}
	var n uint64
	for _, b := range v {
		n = n<<8 | uint64(b)
	}
	return strconv.FormatUint(n, 10), nil
}
