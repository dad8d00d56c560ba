package schema

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const typesFile = "../../docs/TYPES.md"

// documented are the lines of docs/TYPES.md: definitions of testdata/values.golden, whose values were seen on real
// servers, from a SELECT and from the binlog.
var documented = []struct {
	title       string
	definitions []string
	note        string
}{
	{"TINYINT", []string{"TINYINT", "TINYINT UNSIGNED"}, "BOOL is TINYINT"},
	{"SMALLINT", []string{"SMALLINT", "SMALLINT UNSIGNED"}, ""},
	{"MEDIUMINT", []string{"MEDIUMINT", "MEDIUMINT UNSIGNED"}, ""},
	{"INT", []string{"INT", "INT UNSIGNED", "INT(8) ZEROFILL"}, "ZEROFILL's zeros are display only"},
	{"BIGINT", []string{"BIGINT", "BIGINT UNSIGNED"}, "every digit, also beyond 2⁵³"},
	{"DECIMAL", []string{"DECIMAL(10,2)", "DECIMAL(65,30)"}, "exact, without zeros at the end"},
	{"FLOAT", []string{"FLOAT"}, "the stored value, widened to a double"},
	{"DOUBLE", []string{"DOUBLE"}, "15 digits, 17 where these do not read back as the same"},
	{"BIT(1)", []string{"BIT(1)"}, ""},
	{"BIT(2) to BIT(64)", []string{"BIT(2)", "BIT(12)", "BIT(64)"}, "whole bytes"},
	{"DATE", []string{"DATE", "DATE /* invalid */"}, "the zero date is null"},
	{"DATETIME", []string{"DATETIME", "DATETIME(3)", "DATETIME(6)"}, "not converted; as many fractional digits as the column has"},
	{"TIMESTAMP", []string{"TIMESTAMP NULL", "TIMESTAMP(3) NULL"}, "in UTC (the literals are of a session at +05:30)"},
	{"TIME", []string{"TIME", "TIME(3)"}, ""},
	{"YEAR", []string{"YEAR"}, ""},
	{"CHAR", []string{"CHAR(10)", "CHAR(20) CHARACTER SET sjis"}, "without spaces at the end; from any character set to UTF-8"},
	{"VARCHAR", []string{"VARCHAR(10)", "VARCHAR(20) CHARACTER SET latin1"}, "quotes, backslashes and control characters escaped as JSON wants"},
	{"TINYTEXT, TEXT, MEDIUMTEXT, LONGTEXT", []string{"TINYTEXT", "MEDIUMTEXT", "LONGTEXT", "TEXT CHARACTER SET utf16"}, ""},
	{"BINARY", []string{"BINARY(4)"}, "with all its bytes"},
	{"VARBINARY", []string{"VARBINARY(8)"}, ""},
	{"TINYBLOB, BLOB, MEDIUMBLOB, LONGBLOB", []string{"TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB"}, ""},
	{"ENUM", []string{"ENUM('a','b''c','d,e','f\\\\g','h\"i','j(k)','ä','')"}, "the label; 0, which stands for a refused value, is the empty string"},
	{"SET", []string{"SET('a','b''c','d\"e','f\\\\')"}, "labels in their order, joined by commas"},
	{"JSON (MySQL)", []string{"JSON", "JSON /* each scalar */"}, "a string that holds the document as SELECT prints it"},
	{"GEOMETRY, POINT and the other spatial types", []string{"POINT", "GEOMETRYCOLLECTION"}, "the number of the reference system in 4 bytes, then WKB"},
	{"VECTOR", []string{"VECTOR(3)"}, "4 bytes a number, IEEE 754, lowest first"},
	{"UUID (MariaDB)", []string{"UUID"}, ""},
	{"INET4 (MariaDB)", []string{"INET4"}, ""},
	{"INET6 (MariaDB)", []string{"INET6"}, ""},
}

const typesHead = `# Types

What a column's values look like in a record's ` + "`data`" + `. Every line was seen on MySQL and MariaDB servers, and is the same for a
row that was loaded and one that came from the binlog. This page is made from the tests' values: do not edit it, run
` + "`go test ./internal/schema -run 'TestSelectEqualsBinlog$|TestTypesDocument' -update`" + `.

NULL is left out, or ` + "`null`" + ` with ` + "`include_null_and_empty`" + `, whatever the type; so is the zero date, which is printed as null. Bytes are
hexadecimal, without their ` + "`0x`" + ` with ` + "`no_hex_prefix`" + `. A value that its type cannot hold is an error that names table and column.

| type | JSON | SQL → printed | |
|---|---|---|---|
`

const typesTail = `
Columns of a table:

| | |
|---|---|
| generated, STORED and VIRTUAL | on MySQL like any other; on MariaDB in no record, for its log has them with some changes only |
| invisible, and MySQL's generated invisible primary key | like any other |
| COMPRESSED (MariaDB) | as without it |
| WITH SYSTEM VERSIONING (MariaDB) | ` + "`row_start` and `row_end`" + ` (or what they are called) are columns, and the end is part of the key. Former rows are rows: an UPDATE is an update of the row and an insert of what it was, a DELETE gives the row its end, which is a delete under the old key and an insert under the new one, and DELETE HISTORY deletes former rows. The full load reads them all |
| WITH SYSTEM VERSIONING by transactions (MariaDB, BIGINT) | refused: MariaDB logs statements for such tables |

MariaDB's log describes UUID, INET4 and INET6 as BINARY. The table's present definition tells them apart; rows that were written
before such a column was dropped or renamed, and are read after that, are refused rather than guessed. Rows that were written
before a BINARY column became one of them (or the reverse) are read as what the column is now.
`

// TestTypesDocument makes docs/TYPES.md, and sees that no type is missing in it.
func TestTypesDocument(t *testing.T) {
	data, err := os.ReadFile("testdata/values.golden")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string][][2]string{} // SQL and JSON by definition
	for line := range strings.Lines(string(data)) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
		definition, err := strconv.Unquote(fields[0])
		literal, err2 := strconv.Unquote(fields[1])
		if err != nil || err2 != nil {
			t.Fatalf("%s: %v, %v", line, err, err2)
		}
		values[definition] = append(values[definition], [2]string{literal, fields[2]})
	}
	missing := maps.Clone(typeForms)
	var b strings.Builder
	b.WriteString(typesHead)
	for _, d := range documented {
		kinds, examples := map[string]bool{}, []string{}
		for _, definition := range d.definitions {
			name, _, _, err := splitColumnType(definition)
			if err != nil || len(values[definition]) == 0 {
				t.Errorf("%s has no values (%v)", definition, err)
			}
			delete(missing, name)
			shown := 0
			for _, v := range values[definition] {
				if v[1] == "NULL" {
					continue
				}
				kinds[jsonKind(v[1])] = true
				example := code(v[0]) + " → " + code(v[1])
				if shown < 8 && len(example) < 140 && !slices.Contains(examples, example) {
					examples = append(examples, example)
					shown++
				}
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", d.title, strings.Join(slices.Sorted(maps.Keys(kinds)), " or "), strings.Join(examples, " · "), d.note)
	}
	for name := range missing {
		if f := typeForms[name]; f.typ != Geometry {
			t.Errorf("type %s is not documented", name)
		}
	}
	b.WriteString(typesTail)
	if *update {
		if err := os.WriteFile(typesFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(typesFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), b.String()); diff != "" {
		t.Errorf("docs/TYPES.md is not what is printed; run this test with -update (-is +should be):\n%s", diff)
	}
}

// jsonKind says what a JSON value is.
func jsonKind(json string) string {
	switch json[0] {
	case '"':
		return "string"
	case 't', 'f':
		return "true, false"
	case 'n':
		return "null"
	}
	return "number"
}

// code is text as code in a cell of a Markdown table.
func code(text string) string {
	text = strings.NewReplacer("|", "\\|", "\n", "\\n", "\r", "\\r", "\t", "\\t").Replace(text)
	if strings.Contains(text, "`") {
		return "`` " + text + " ``"
	}
	return "`" + text + "`"
}
