package snapshot

import (
	"slices"
	"strings"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
)

func table(columns []schema.Column, key ...int) *schema.Table {
	kind := schema.PrimaryKey
	if len(key) == 0 {
		kind = schema.NoKey
	}
	return &schema.Table{Schema: "shop", Name: "odd`name", Columns: columns, Key: key, KeyKind: kind}
}

func TestPageOfACompositeKey(t *testing.T) {
	s, err := newStatement(table([]schema.Column{
		{Name: "note", Type: schema.VarChar}, {Name: "b", Type: schema.Int}, {Name: "a", Type: schema.VarChar, Charset: "latin1"},
	}, 2, 1), []string{"`note`", "`b`", "`a`"})
	if err != nil {
		t.Fatal(err)
	}
	want := "SELECT `note`, `b`, `a` FROM `shop`.`odd``name` ORDER BY `a`, `b` LIMIT 10"
	if got := s.page(nil, 10); got != want {
		t.Errorf("first page\n got %s\nwant %s", got, want)
	}
	want = "SELECT `note`, `b`, `a` FROM `shop`.`odd``name` WHERE `a` >= _latin1 x'78' AND ((`a` > _latin1 x'78') OR (`a` = _latin1 x'78' AND `b` > 7)) ORDER BY `a`, `b` LIMIT 3"
	bound, err := s.bound([][]byte{nil, []byte("7"), []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.page(bound, 3); got != want {
		t.Errorf("next page\n got %s\nwant %s", got, want)
	}
}

func TestTablesWithoutAKeyAreNamed(t *testing.T) {
	_, err := newStatement(table([]schema.Column{{Name: "a", Type: schema.Int}}), []string{"`a`"})
	if err == nil || !strings.Contains(err.Error(), "shop.odd`name") || !strings.Contains(err.Error(), "ADD PRIMARY KEY") {
		t.Errorf("err = %v, want one that names the table and the cure", err)
	}
}

func TestLiterals(t *testing.T) {
	enum := schema.Column{Type: schema.Enum, Labels: []string{"a", "b'"}}
	set := schema.Column{Type: schema.Set, Labels: []string{"x", "y", "z"}}
	for _, c := range []struct {
		column schema.Column
		value  string
		want   string // "": an error
	}{
		{schema.Column{Type: schema.BigInt}, "-9223372036854775808", "-9223372036854775808"},
		{schema.Column{Type: schema.Decimal}, "12.50", "12.50"},
		{schema.Column{Type: schema.Double}, "1e-300", "1e-300"},
		{schema.Column{Type: schema.BigInt}, "1 OR 1=1", ""},
		{schema.Column{Type: schema.BigInt}, "", ""},
		{schema.Column{Type: schema.DateTime}, "2024-01-02 03:04:05.678", "'2024-01-02 03:04:05.678'"},
		{schema.Column{Type: schema.DateTime}, "' OR '", ""},
		{schema.Column{Type: schema.VarChar, Charset: "utf8mb4"}, "it's", "_utf8mb4 x'69742773'"},
		{schema.Column{Type: schema.VarChar, Charset: "utf8mb4"}, "", "_utf8mb4 x''"},
		{schema.Column{Type: schema.VarBinary}, "\x00\xff", "x'00ff'"},
		{enum, "b'", "2"},
		{enum, "", "0"},
		{enum, "c", ""},
		{set, "x,z", "5"},
		{set, "", "0"},
		{set, "x,w", ""},
		{schema.Column{Type: schema.JSON, ColumnType: "json"}, "{}", ""},
	} {
		got, err := literal(&c.column, []byte(c.value))
		if (err != nil) != (c.want == "") || got != c.want {
			t.Errorf("type %d %q: %q, %v; want %q", c.column.Type, c.value, got, err, c.want)
		}
	}
}

func TestEnumKeysCompareAsNumbers(t *testing.T) {
	s, err := newStatement(table([]schema.Column{{Name: "e", Type: schema.Enum, Labels: []string{"b", "a"}}}, 0), []string{"`e`"})
	if err != nil {
		t.Fatal(err)
	}
	bound, _ := s.bound([][]byte{[]byte("b")})
	if got := s.page(bound, 1); !strings.Contains(got, "WHERE ((`e` + 0 > 1))") {
		t.Errorf("page = %s", got)
	}
}

func TestRowArenaKeepsNullsAndEmptyValues(t *testing.T) {
	var a rowArena
	a.cols = 3
	rows := [][][]byte{{[]byte("a"), nil, {}}, {nil, {}, []byte("bcd")}, {nil, nil, nil}}
	for _, r := range rows {
		a.add(r)
	}
	i := 0
	for row := range a.all(3) {
		for j := range row {
			if (row[j] == nil) != (rows[i][j] == nil) || !slices.Equal(row[j], rows[i][j]) {
				t.Errorf("row %d value %d: %q, want %q", i, j, row[j], rows[i][j])
			}
		}
		i++
	}
	if i != 3 {
		t.Errorf("%d rows, want 3", i)
	}
}
