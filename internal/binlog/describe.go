package binlog

import (
	"fmt"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// describeColumns lists the columns of a definition for an operator.
func describeColumns(t *schema.Table) []string {
	out := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		out[i] = c.Name + " " + c.ColumnType
		if c.Charset != "" {
			out[i] += " " + c.Charset
		}
	}
	return out
}

// describeMap lists what a table map says of its columns: the names only if it has them.
func describeMap(m *tableMap, cs charsets) []string {
	columns := columnsOf(m)
	out := make([]string, len(m.ColumnType))
	for i := range m.ColumnType {
		collation, labels := columns.text(i, cs)
		text, err := columnType(m, i, columns.unsigned[i], collation, labels)
		if err != nil {
			text = fmt.Sprintf("type %d", realType(m, i))
		}
		if collation.Charset != "" && collation.Charset != "binary" {
			text += " " + collation.Charset
		}
		if i < len(m.ColumnName) {
			text = string(m.ColumnName[i]) + " " + text
		}
		out[i] = text
	}
	return out
}
