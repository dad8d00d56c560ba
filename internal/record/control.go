package record

import (
	"fmt"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// ControlOperation is what a control record announces.
type ControlOperation uint8

// The operations of control records.
const (
	CreateTable ControlOperation = iota + 1
	DropTable
	RenameTable
	AddColumn
	DropColumn
	RenameColumn
	ColumnTypeChange
	ChangeColumns
)

var controlNames = [...]string{
	CreateTable:      "create-table",
	DropTable:        "drop-table",
	RenameTable:      "rename-table",
	AddColumn:        "add-column",
	DropColumn:       "drop-column",
	RenameColumn:     "rename-column",
	ColumnTypeChange: "column-type-change",
	ChangeColumns:    "change-columns",
}

// String is the operation as records spell it.
func (o ControlOperation) String() string {
	if o >= CreateTable && o <= ChangeColumns {
		return controlNames[o]
	}
	return fmt.Sprintf("control operation(%d)", uint8(o))
}

// ColumnChange is one column before and after an ALTER TABLE: From is nil for an added column, To for a dropped one.
type ColumnChange struct{ From, To *schema.Column }

// Control is one control record. Which fields matter follows from the operation; those that do not are ignored.
type Control struct {
	Operation     ControlOperation
	Time          time.Time
	Schema, Table string         // Schema is "" for ExceptionsTable
	Definition    *schema.Table  // the table as it is now; may be nil, and is for DropTable
	Changes       []ColumnChange // column operations
	NewSchema     string         // RenameTable
	NewTable      string         // RenameTable
	Term, Epoch   uint64         // as in Stamp
	Sequence      uint64         // as in Stamp
}

// PartitionKey is the control record's partition key: the task, schema and table joined by dots, or the task alone
// where no table is named.
func (c Control) PartitionKey(o Options) string {
	key := []byte(o.TaskID)
	if c.Table != "" {
		key = append(append(key, '.'), c.Schema...)
		key = append(append(key, '.'), c.Table...)
	}
	return string(clampKey(key, 0))
}

// AppendControl appends a control record and returns the extended buffer. Without IncludeControlDetails it is
// metadata only.
func AppendControl(dst []byte, c Control, o Options) []byte {
	f := o.Format
	dst = append(dst, '{')
	if o.IncludeControlDetails {
		dst = append(f.appendKey(dst, 1, false, "control"), '{')
		dst = f.appendClose(c.appendDetails(dst, f), 1)
	}
	dst = append(f.appendKey(dst, 1, o.IncludeControlDetails, "metadata"), '{')
	dst = append(f.appendKey(dst, 2, false, "timestamp"), '"')
	dst = append(appendTime(dst, c.Time), '"')
	dst = f.appendMember(dst, 2, true, "record-type", "control")
	dst = f.appendMember(dst, 2, true, "operation", c.Operation.String())
	dst = f.appendMember(dst, 2, true, "partition-key-type", "task-id")
	if o.IncludePartitionValue {
		dst = f.appendMember(dst, 2, true, "partition-key-value", o.TaskID)
	}
	dst = f.appendMember(dst, 2, true, "schema-name", c.Schema)
	dst = f.appendMember(dst, 2, true, "table-name", c.Table)
	if c.Term != 0 {
		dst = appendUint(f.appendKey(dst, 2, true, "writer-term"), c.Term)
		dst = appendUint(f.appendKey(dst, 2, true, "source-epoch"), c.Epoch)
		if c.Sequence != 0 {
			dst = appendUint(f.appendKey(dst, 2, true, "writer-sequence"), c.Sequence)
		}
	}
	return f.appendEnd(f.appendClose(dst, 1))
}

// appendDetails appends the members of the control object.
func (c *Control) appendDetails(dst []byte, f Format) []byte {
	more := false
	key := func(name string) {
		dst = f.appendKey(dst, 2, more, name)
		more = true
	}
	if c.Operation == RenameTable {
		key("new-schema-name")
		dst = appendString(dst, c.NewSchema)
		key("new-table-name")
		dst = appendString(dst, c.NewTable)
	}
	if c.Operation >= AddColumn && c.Operation <= ChangeColumns {
		key("column-changes")
		dst = appendChanges(append(dst, '{'), f, c.Changes)
		dst = f.appendClose(dst, 2)
	}
	if c.Definition != nil && c.Operation != DropTable {
		key("table-def")
		dst = appendTableDef(append(dst, '{'), f, c.Definition)
		dst = f.appendClose(dst, 2)
	}
	return dst
}

// appendChanges appends one member per changed column, under the name by which it was known until now (an added
// column under its own): null if it was dropped, else its new definition, with its new name first if that changed.
func appendChanges(dst []byte, f Format, changes []ColumnChange) []byte {
	more := false
	for _, ch := range changes {
		switch {
		case ch.From == nil && ch.To == nil:
			continue
		case ch.To == nil:
			dst = append(f.appendKey(dst, 3, more, ch.From.Name), "null"...)
		case ch.From == nil || ch.From.Name == ch.To.Name:
			dst = append(f.appendKey(dst, 3, more, ch.To.Name), '{')
			dst = f.appendClose(appendColumnDef(dst, f, 4, false, ch.To), 3)
		default:
			dst = append(f.appendKey(dst, 3, more, ch.From.Name), '{')
			dst = f.appendMember(dst, 4, false, "new-name", ch.To.Name)
			dst = f.appendClose(appendColumnDef(dst, f, 4, true, ch.To), 3)
		}
		more = true
	}
	return dst
}

// appendTableDef appends the members of table-def.
func appendTableDef(dst []byte, f Format, t *schema.Table) []byte {
	dst = append(f.appendKey(dst, 3, false, "columns"), '{')
	first := true
	for i := range t.Columns {
		if t.Columns[i].Unlogged {
			continue
		}
		dst = append(f.appendKey(dst, 4, !first, t.Columns[i].Name), '{')
		first = false
		dst = f.appendClose(appendColumnDef(dst, f, 5, false, &t.Columns[i]), 4)
	}
	dst = f.appendClose(dst, 3)
	if t.KeyKind == schema.PrimaryKey {
		names := make([]string, len(t.Key))
		for i, col := range t.Key {
			names[i] = t.Columns[col].Name
		}
		dst = f.appendNames(f.appendKey(dst, 3, true, "primary-key"), names)
	}
	if t.Collation != "" {
		dst = f.appendMember(dst, 3, true, "collation-name", t.Collation)
	}
	return dst
}

// appendColumnDef appends the members of a column's definition.
func appendColumnDef(dst []byte, f Format, depth int, more bool, c *schema.Column) []byte {
	d := describe(c)
	dst = f.appendMember(dst, depth, more, "type", d.name)
	if d.length > 0 {
		dst = appendUint(f.appendKey(dst, depth, true, "length"), d.length)
	}
	if c.Type == schema.Decimal {
		dst = appendUint(f.appendKey(dst, depth, true, "precision"), uint64(c.Precision))
		dst = appendUint(f.appendKey(dst, depth, true, "scale"), uint64(c.Scale))
	}
	dst = f.appendKey(dst, depth, true, "nullable")
	if c.Nullable {
		dst = append(dst, "true"...)
	} else {
		dst = append(dst, "false"...)
	}
	if c.Collation != "" {
		dst = f.appendMember(dst, depth, true, "collation-name", c.Collation)
	}
	return dst
}
