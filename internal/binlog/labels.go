package binlog

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

// decodeLabels turns the labels of an ENUM or SET column, which a table map holds in the column's character set, into
// UTF-8.
func decodeLabels(labels []string, c source.Collation) ([]string, error) {
	charset := c.Charset
	plain := func(l string) bool { return !strings.ContainsFunc(l, func(r rune) bool { return r >= 0x80 }) }
	// The character sets in which the bytes of ASCII may stand for something else.
	other := charset == "swe7" || strings.HasPrefix(charset, "ucs") || strings.HasPrefix(charset, "utf16") || strings.HasPrefix(charset, "utf32")
	if charset == "" || !other && !slices.ContainsFunc(labels, func(l string) bool { return !plain(l) }) {
		return labels, nil
	}
	out := make([]string, len(labels))
	for i, l := range labels {
		var err error
		if out[i], err = decodeText([]byte(l), c); err != nil {
			return nil, fmt.Errorf("label %d: %w", i+1, err)
		}
	}
	return out, nil
}

// decodeText turns text in a collation's character set into UTF-8. The codec of a VARCHAR column does it, so that labels,
// statements and values are read in one way.
func decodeText(b []byte, c source.Collation) (string, error) {
	t := &schema.Table{Columns: []schema.Column{{Name: "text", Type: schema.VarChar, ColumnType: "varchar(255)", Length: 255, Charset: c.Charset}}}
	layout, err := schema.NewImageLayout(t, []byte{mysql.MYSQL_TYPE_VARCHAR}, []uint16{uint16(255 * max(c.MaxLen, 1))}, schema.Options{})
	if err != nil {
		return "", err
	}
	quoted, err := layout.AppendJSON(nil, 0, b)
	if err != nil {
		return "", err
	}
	var out string
	err = json.Unmarshal(quoted, &out)
	return out, err
}
