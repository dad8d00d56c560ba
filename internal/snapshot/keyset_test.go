package snapshot

import (
	"slices"
	"strings"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
)

func table(columns []schema.Column, key ...int) *schema.Table {
	kind := schema.PrimaryKey
	if len(key) == 0 {
		kind = schema.NoKey
	}
	return &schema.Table{Schema: "shop", Name: "odd`name", Columns: columns, Key: key, KeyKind: kind}
}

func keyOf(name string, parts ...source.KeyPart) source.Key {
	return source.Key{Name: name, Parts: parts}
}

func TestPageOfACompositeKey(t *testing.T) {
	s := newStatement(table([]schema.Column{
		{Name: "note", Type: schema.VarChar}, {Name: "b", Type: schema.Int}, {Name: "a", Type: schema.VarChar, Charset: "latin1"},
	}, 2, 1), keyOf("PRIMARY", source.KeyPart{Column: 2}, source.KeyPart{Column: 1, Desc: true}), []string{"`note`", "`b`", "`a`"})
	from := " FROM `shop`.`odd``name` FORCE INDEX (`PRIMARY`)"
	want := "SELECT `note`, `b`, `a`" + from + " ORDER BY `a`, `b` DESC LIMIT 10"
	if got := s.page(nil, nil, 10); got != want {
		t.Errorf("first page\n got %s\nwant %s", got, want)
	}
	bound, err := s.boundOf([][]byte{nil, []byte("7"), []byte("x")})
	must(t, err)
	want = "SELECT `note`, `b`, `a`" + from + " WHERE `a` >= _latin1 x'78' AND ((`a` > _latin1 x'78') OR (`a` = _latin1 x'78' AND `b` < 7))" +
		" AND `a` <= _latin1 x'79' AND ((`a` < _latin1 x'79') OR (`a` = _latin1 x'79' AND `b` >= 8)) ORDER BY `a`, `b` DESC LIMIT 3"
	if got := s.page(bound, Bound{"_latin1 x'79'", "8"}, 3); got != want {
		t.Errorf("next page\n got %s\nwant %s", got, want)
	}
	want = "SELECT `a`, `b`" + from + " ORDER BY `a`, `b` DESC LIMIT 1 OFFSET 99"
	if got := s.cut(nil, nil, 99); got != want {
		t.Errorf("cut\n got %s\nwant %s", got, want)
	}
}

func TestWhatIsPagedBy(t *testing.T) {
	columns := []schema.Column{{Name: "a", Type: schema.VarChar, Collation: "utf8mb4_bin"}, {Name: "b", Type: schema.Text}, {Name: "e", Type: schema.Enum, ColumnType: "enum('x')"}}
	for _, c := range []struct {
		key  source.Key
		form string // "": cannot be paged by
		old  string // what an older version saved for it
	}{
		{source.Key{}, "", ""},
		{keyOf("k", source.KeyPart{Column: 0}, source.KeyPart{Column: 2}), "a COLLATE utf8mb4_bin|e enum('x')", "a|e"},
		{keyOf("k", source.KeyPart{Column: 0, Desc: true}), "a COLLATE utf8mb4_bin DESC", ""},
		{keyOf("k", source.KeyPart{Column: 0, Prefix: 255}), "a(255) COLLATE utf8mb4_bin", ""},
		{keyOf("k", source.KeyPart{Column: 0, Prefix: 256}), "", ""},
		{keyOf("", source.KeyPart{Column: 1}), "", ""}, // the hash of a whole LOB
	} {
		def := table(columns, 0)
		if got := pageable(def, c.key); got != (c.form != "") {
			t.Errorf("%+v: pageable %v", c.key, got)
		}
		if c.form == "" {
			continue
		}
		s := newStatement(def, c.key, []string{"`a`", "`b`", "`e`"})
		if got := strings.Join(s.form(), "|"); got != c.form {
			t.Errorf("%+v: form %s, want %s", c.key, got, c.form)
		}
		if costly := c.key.Parts[0].Prefix > 0; (s.costly() != "") != costly {
			t.Errorf("%+v: costly because of %q", c.key, s.costly())
		}
		if !s.fits(s.form()) || s.fits([]string{"z"}) || s.fits(nil) {
			t.Errorf("%+v: fits what it must not, or not itself", c.key)
		}
		if old := strings.Split("a|e", "|")[:len(c.key.Parts)]; s.fits(old) != (c.old != "") {
			t.Errorf("%+v: fits the names alone: %v", c.key, s.fits(old))
		}
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
		{schema.Column{Type: schema.Year}, "0000", "'0000'"},
		{schema.Column{Type: schema.Bit}, "\x80\x00\x00\x00\x00\x00\x00\x01", "9223372036854775809"},
		{schema.Column{Type: schema.Bit}, "", ""},
		{schema.Column{Type: schema.JSON, ColumnType: "json"}, "{}", ""},
	} {
		got, err := literal(&c.column, []byte(c.value))
		if (err != nil) != (c.want == "") || got != c.want {
			t.Errorf("type %d %q: %q, %v; want %q", c.column.Type, c.value, got, err, c.want)
		}
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
	for row := range a.from(0, 3) {
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
