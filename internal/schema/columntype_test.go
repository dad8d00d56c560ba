package schema

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseColumnType(t *testing.T) {
	tests := []struct {
		in   string
		want Column
	}{
		{"int", Column{Type: Int}},
		{"int(11) unsigned zerofill", Column{Type: Int, Unsigned: true}},
		{"bigint unsigned", Column{Type: BigInt, Unsigned: true}},
		{"decimal(10,2)", Column{Type: Decimal, Precision: 10, Scale: 2}},
		{"decimal(65,30) unsigned", Column{Type: Decimal, Precision: 65, Scale: 30, Unsigned: true}},
		{"float(7,4)", Column{Type: Float}},
		{"double", Column{Type: Double}},
		{"bit(12)", Column{Type: Bit, Length: 12}},
		{"datetime(6)", Column{Type: DateTime, FSP: 6}},
		{"datetime /* mariadb-5.3 */", Column{Type: DateTime}},
		{"timestamp", Column{Type: Timestamp}},
		{"year", Column{Type: Year, Length: 4}},
		{"year(2)", Column{Type: Year, Length: 2}},
		{"char(10)", Column{Type: Char, Length: 10}},
		{"varchar(100) /*M!100301 COMPRESSED*/", Column{Type: VarChar, Length: 100, Compressed: true}},
		{"longtext", Column{Type: Text, Length: 1<<32 - 1}},
		{"varbinary(5)", Column{Type: VarBinary, Length: 5}},
		{"enum('a','b''c','d,e)','f\\\\g','\\n')", Column{Type: Enum, Labels: []string{"a", "b'c", "d,e)", `f\g`, "\n"}}},
		{"set('')", Column{Type: Set, Labels: []string{""}}},
		{"geomcollection", Column{Type: Geometry, Length: 1<<32 - 1}},
		{"vector(3)", Column{Type: Vector, Length: 3}},
		{"vector", Column{Type: Vector, Length: 2048}},
		{"uuid", Column{Type: UUID}},
		{"inet4", Column{Type: Inet4}},
		{"inet6", Column{Type: Inet6}},
		{"mediumtext /*M!100301 COMPRESSED*/", Column{Type: Text, Length: 1<<24 - 1, Compressed: true}},
	}
	for _, tt := range tests {
		tt.want.ColumnType = tt.in
		got, err := ParseColumnType(tt.in)
		if err != nil {
			t.Errorf("%s: %v", tt.in, err)
		} else if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.in, diff)
		}
	}
	for _, in := range []string{"", "xmltype", "decimal(66,0)", "decimal(5,6)", "decimal(x)", "datetime(7)", "varchar(x)",
		"enum('a'", "enum('a)", "enum()", "enum(a)", "enum('a'b)", "int(11", "bit(-1)"} {
		if got, err := ParseColumnType(in); err == nil {
			t.Errorf("%q: %+v", in, got)
		} else if in != "" && !strings.Contains(err.Error(), "column type") && !strings.Contains(err.Error(), "not supported yet") {
			t.Errorf("%q: the error doesn't say what was read: %v", in, err)
		}
	}
}

func TestDoubtfulLabels(t *testing.T) {
	for charset, want := range map[string]bool{"utf8mb4": true, "utf8mb3": false, "latin1": false} {
		if got := DoubtfulLabels(&Column{Type: Enum, Charset: charset, Labels: []string{"a", "?"}}); got != want {
			t.Errorf("%s: %v", charset, got)
		}
	}
	if DoubtfulLabels(&Column{Type: Enum, Charset: "utf8mb4", Labels: []string{"a"}}) {
		t.Error("a label without a question mark")
	}
}

func TestQuote(t *testing.T) {
	if got := QuoteIdent("a`b"); got != "`a``b`" {
		t.Error(got)
	}
	if got := QuoteString(`a'b\c`); got != `'a''b\\c'` {
		t.Error(got)
	}
}

func FuzzParseColumnType(f *testing.F) {
	for _, s := range []string{"int", "decimal(10,2) unsigned", "enum('a','b''c')", "set('\\\\')", "varchar(10"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseColumnType(s)
		if err == nil && (c.Type == TypeInvalid || c.ColumnType != s) {
			t.Errorf("%q: %+v", s, c)
		}
	})
}
