package record

import (
	"strings"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// zoo is a table with a column of every type.
func zoo() *schema.Table {
	t := &schema.Table{Schema: "s", Name: "zoo", Key: []int{0}, KeyKind: schema.PrimaryKey, Collation: "latin1_swedish_ci", Columns: []schema.Column{
		{Name: "tiny", Type: schema.TinyInt}, {Name: "small", Type: schema.SmallInt, Unsigned: true}, {Name: "medium", Type: schema.MediumInt},
		{Name: "int", Type: schema.Int, Unsigned: true}, {Name: "big", Type: schema.BigInt, Unsigned: true},
		{Name: "decimal", Type: schema.Decimal, Precision: 65, Scale: 30}, {Name: "float", Type: schema.Float}, {Name: "double", Type: schema.Double},
		{Name: "bit1", Type: schema.Bit, Length: 1}, {Name: "bit12", Type: schema.Bit, Length: 12}, {Name: "date", Type: schema.Date},
		{Name: "datetime", Type: schema.DateTime, FSP: 6}, {Name: "timestamp", Type: schema.Timestamp}, {Name: "time", Type: schema.Time}, {Name: "year", Type: schema.Year},
		{Name: "char", Type: schema.Char, Length: 3, Collation: "utf8mb4_bin"}, {Name: "varchar", Type: schema.VarChar, Length: 30, Collation: "utf8mb4_bin"},
		{Name: "text", Type: schema.Text, Length: 65535, Collation: "utf8mb4_bin"}, {Name: "binary", Type: schema.Binary, Length: 16}, {Name: "varbinary", Type: schema.VarBinary, Length: 20},
		{Name: "blob", Type: schema.Blob, Length: 65535}, {Name: "enum", Type: schema.Enum, Labels: []string{"a", "bbb", "éé"}}, {Name: "set", Type: schema.Set, Labels: []string{"a", "bbb", "éé"}},
		{Name: "json", Type: schema.JSON}, {Name: "geometry", Type: schema.Geometry}, {Name: "vector", Type: schema.Vector, Length: 3},
		{Name: "generated", Type: schema.Int, Unlogged: true}, {Name: "uuid", Type: schema.UUID}, {Name: "inet4", Type: schema.Inet4}, {Name: "inet6", Type: schema.Inet6},
	}}
	for i := range t.Columns {
		t.Columns[i].Nullable = i > 0
	}
	return t
}

func TestGoldenControl(t *testing.T) {
	p := players()
	id, renamed := p.Columns[1], p.Columns[1]
	renamed.Name = "number"
	for _, c := range []Control{
		{Operation: CreateTable, Definition: p},
		{Operation: DropTable, Definition: p},
		{Operation: RenameTable, NewSchema: "archive", NewTable: "play\"er", Definition: p},
		{Operation: AddColumn, Changes: []ColumnChange{{To: &p.Columns[3]}}, Definition: p},
		{Operation: DropColumn, Changes: []ColumnChange{{From: &p.Columns[2]}, {From: &p.Columns[3]}}},
		{Operation: RenameColumn, Changes: []ColumnChange{{From: &id, To: &renamed}}},
		{Operation: ColumnTypeChange, Changes: []ColumnChange{{From: &id, To: &p.Columns[1]}, {}}},
		{Operation: ChangeColumns, Changes: []ColumnChange{{From: &id, To: &renamed}, {To: &p.Columns[0]}, {From: &p.Columns[3]}}},
	} {
		c.Time, c.Term, c.Epoch, c.Sequence = builtAt, 1572562000, 1572000000, 42
		c.Schema, c.Table = p.Schema, p.Name
		for _, format := range []Format{JSON, JSONUnformatted} {
			o := DefaultOptions("TASK")
			o.Format = format
			golden(t, "control-"+format.String()+"-"+c.Operation.String()+"-metadata.json", AppendControl(nil, c, o))
			o.IncludeControlDetails, o.IncludePartitionValue = true, true
			b := AppendControl(nil, c, o)
			golden(t, "control-"+format.String()+"-"+c.Operation.String()+".json", b)
			h, err := Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			if h.RecordType != "control" || h.Operation != c.Operation.String() || h.Schema != c.Schema || h.Table != c.Table ||
				h.PartitionKeyType != "task-id" || h.PartitionKeyValue != "TASK" || h.Term != c.Term || h.Epoch != c.Epoch || h.Sequence != c.Sequence || h.Op() != 0 {
				t.Errorf("header = %+v", h)
			}
		}
	}
	o := DefaultOptions("TASK")
	o.IncludeControlDetails = true
	golden(t, "control-types.json", AppendControl(nil, Control{Operation: CreateTable, Schema: "s", Table: "zoo", Time: builtAt, Definition: zoo()}, o))
}

// TestExceptionsTable: the record that DMS begins every task with, as it was seen with control details.
func TestExceptionsTable(t *testing.T) {
	table := ExceptionsTable()
	o := Options{Format: JSONUnformatted, TaskID: "TASK", IncludeControlDetails: true}
	got := AppendControl(nil, Control{Operation: CreateTable, Table: table.Name, Time: builtAt, Definition: table}, o)
	const want = `{"control":{"table-def":{"columns":{"TASK_NAME":{"type":"STRING","length":128,"nullable":false},` +
		`"TABLE_OWNER":{"type":"STRING","length":128,"nullable":false},"TABLE_NAME":{"type":"STRING","length":128,"nullable":false},` +
		`"ERROR_TIME":{"type":"TIMESTAMP","nullable":false},"STATEMENT":{"type":"STRING","nullable":false},"ERROR":{"type":"STRING","nullable":false}}}},` +
		`"metadata":{"timestamp":"2019-10-31T22:53:59.721201Z","record-type":"control","operation":"create-table","partition-key-type":"task-id",` +
		`"schema-name":"","table-name":"awsdms_apply_exceptions"}}` + "\n"
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestControlPartitionKey(t *testing.T) {
	o := DefaultOptions("TASK")
	for want, c := range map[string]Control{
		"TASK.s.t": {Operation: CreateTable, Schema: "s", Table: "t"},
		"TASK..t":  {Operation: CreateTable, Table: "t"},
		"TASK":     {},
	} {
		if got := c.PartitionKey(o); got != want {
			t.Errorf("key = %q, want %q", got, want)
		}
	}
	o.TaskID = strings.Repeat("t", 250)
	if got := (Control{Schema: "schema", Table: "table"}).PartitionKey(o); len(got) != 256 {
		t.Errorf("key of %d characters", len(got))
	}
}
