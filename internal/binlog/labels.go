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
// UTF-8. The codec of a VARCHAR column does it, so that labels and text are read in one way.
func decodeLabels(labels []string, c source.Collation) ([]string, error) {
	charset := c.Charset
	plain := func(l string) bool { return !strings.ContainsFunc(l, func(r rune) bool { return r >= 0x80 }) }
	wide := strings.HasPrefix(charset, "ucs") || strings.HasPrefix(charset, "utf16") || strings.HasPrefix(charset, "utf32")
	if charset == "" || !wide && !slices.ContainsFunc(labels, func(l string) bool { return !plain(l) }) {
		return labels, nil
	}
	t := &schema.Table{Columns: []schema.Column{{Name: "label", Type: schema.VarChar, ColumnType: "varchar(255)", Length: 255, Charset: charset}}}
	layout, err := schema.NewImageLayout(t, []byte{mysql.MYSQL_TYPE_VARCHAR}, []uint16{uint16(255 * max(c.MaxLen, 1))}, schema.Options{})
	if err != nil {
		return nil, err
	}
	out := make([]string, len(labels))
	for i, l := range labels {
		text, err := layout.AppendJSON(nil, 0, []byte(l))
		if err == nil {
			err = json.Unmarshal(text, &out[i])
		}
		if err != nil {
			return nil, fmt.Errorf("label %d: %w", i+1, err)
		}
	}
	return out, nil
}
