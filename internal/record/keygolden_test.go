package record

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

// keyCase is a row and a setting, and the partition key that comes of them.
type keyCase struct {
	Case      string `json:"case"`
	Type      string `json:"partition_key_type"`
	Include   bool   `json:"partition_include_schema_table,omitempty"`
	Setting   string `json:"partition_key_constant_or_name,omitempty"`
	Operation string `json:"operation"`
	Key       string `json:"partition_key"`
	Units     int    `json:"characters"`
	Recorded  string `json:"partition_key_type_in_the_record"`
}

// seats is a table whose key has a number, a text and bytes.
func seats(kind schema.KeyKind, key ...int) *schema.Table {
	return &schema.Table{
		Schema: "dms_sample", Name: "seat", Key: key, KeyKind: kind, Columns: []schema.Column{
			{Name: "venue", Type: schema.Int, ColumnType: "int"},
			{Name: "section", Type: schema.VarChar, ColumnType: "varchar(400)", Length: 400, Charset: "utf8mb4", Collation: "utf8mb4_bin"},
			{Name: "code", Type: schema.Binary, ColumnType: "binary(4)", Length: 4},
			{Name: "price", Type: schema.Decimal, ColumnType: "decimal(8,2)", Precision: 8, Scale: 2, Nullable: true},
			{Name: "holder", Type: schema.VarChar, ColumnType: "varchar(40)", Length: 40, Nullable: true, Charset: "utf8mb4", Collation: "utf8mb4_bin"},
		},
	}
}

// seatRow is a row as a SELECT gives it.
func seatRow(section string) [][]byte {
	return [][]byte{[]byte("12"), []byte(section), {0xde, 0xad, 0, 0xef}, []byte("46.50"), nil}
}

func TestPartitionKeysGolden(t *testing.T) {
	const golden = "testdata/partition-keys.json"
	short, long := seatRow(`A "é" \ 日`), seatRow(strings.Repeat("Zürich 🎫", 40))
	var got []keyCase
	for _, c := range []struct {
		name    string
		table   *schema.Table
		kind    KeyType
		include bool
		setting string
		row     [][]byte
		op      Operation
	}{
		{name: "a number", table: seats(schema.PrimaryKey, 0), kind: KeyPrimaryKey, row: short},
		{name: "a text", table: seats(schema.PrimaryKey, 1), kind: KeyPrimaryKey, row: short},
		{name: "bytes", table: seats(schema.PrimaryKey, 2), kind: KeyPrimaryKey, row: short},
		{name: "several columns, in the order of the index", table: seats(schema.PrimaryKey, 2, 1, 0), kind: KeyPrimaryKey, row: short},
		{name: "with the table in front", table: seats(schema.PrimaryKey, 0, 1), kind: KeyPrimaryKey, include: true, row: short},
		{name: "an empty text", table: seats(schema.PrimaryKey, 1), kind: KeyPrimaryKey, include: true, row: seatRow("")},
		{name: "more than 256 characters", table: seats(schema.PrimaryKey, 1), kind: KeyPrimaryKey, row: long},
		{name: "more than 256 characters with the table in front", table: seats(schema.PrimaryKey, 1), kind: KeyPrimaryKey, include: true, row: long},
		{name: "a unique key of NOT NULL columns in place of a primary one", table: seats(schema.UniqueKey, 2), kind: KeyPrimaryKey, row: short},
		{name: "no key", table: seats(schema.NoKey), kind: KeyPrimaryKey, row: short},
		{name: "a table", table: seats(schema.PrimaryKey, 0), kind: KeySchemaTable, row: short},
		{name: "a transaction", table: seats(schema.PrimaryKey, 0), kind: KeyTransactionID, row: short},
		{name: "a load, which has no transaction", table: seats(schema.PrimaryKey, 0), kind: KeyTransactionID, row: short, op: Load},
		{name: "a constant", table: seats(schema.PrimaryKey, 0), kind: KeyConstant, setting: "all of it", row: short},
		{name: "a column", table: seats(schema.PrimaryKey, 0), kind: KeyAttributeName, setting: "price", row: short},
		{name: "a column of bytes", table: seats(schema.PrimaryKey, 0), kind: KeyAttributeName, setting: "code", row: short},
		{name: "a column that is NULL", table: seats(schema.PrimaryKey, 0), kind: KeyAttributeName, setting: "holder", row: short},
		{name: "a column of more than 256 characters", table: seats(schema.PrimaryKey, 0), kind: KeyAttributeName, setting: "section", row: long},
	} {
		codec, err := schema.NewTextLayout(c.table, schema.Options{})
		if err != nil {
			t.Fatal(err)
		}
		o := DefaultOptions("task")
		o.PartitionKeyType, o.PartitionIncludeSchemaTable, o.PartitionKeyConstant = c.kind, c.include, c.setting
		if c.kind == KeyAttributeName {
			o.PartitionKeyName, o.PartitionKeyConstant = c.setting, ""
		}
		p, err := NewPlan(c.table, codec, o)
		if err != nil {
			t.Fatal(err)
		}
		s, op := stamp(), c.op
		if op == Load {
			s.Tx = nil
		} else {
			op = Insert
		}
		key, err := p.AppendPartitionKey(nil, c.row, s)
		if err != nil {
			t.Fatal(err)
		}
		units := len(utf16.Encode([]rune(string(key))))
		if units == 0 || units > 256 {
			t.Errorf("%s: Kinesis takes no key of %d characters", c.name, units)
		}
		data, err := p.Append(nil, op, c.row, nil, s)
		if err != nil {
			t.Fatal(err)
		}
		h, err := Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, keyCase{c.name, c.kind.String(), c.include, c.setting, op.String(), string(key), units, h.PartitionKeyType})
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, c := range got {
		if err := e.Encode(c); err != nil {
			t.Fatal(err)
		}
	}
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("partition keys (-want +got):\n%s", diff)
	}
}

// A key column cannot be NULL: such a row does not fit its table, and gets no key by which it would lose its order.
func TestPartitionKeyOfNull(t *testing.T) {
	table := seats(schema.PrimaryKey, 0, 2)
	codec, err := schema.NewTextLayout(table, schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPlan(table, codec, DefaultOptions("task"))
	if err != nil {
		t.Fatal(err)
	}
	row := seatRow("x")
	row[2] = nil
	if key, err := p.AppendPartitionKey(nil, row, stamp()); err == nil || !strings.Contains(err.Error(), "code") {
		t.Errorf("key %q, %v; want an error that names the column", key, err)
	}
}
