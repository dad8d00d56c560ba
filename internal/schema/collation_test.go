package schema_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// alphabet has characters of many scripts. Of each character set those that it has are tried.
const alphabet = "aZ0 '\"\\/~\n\tÄéßøžŁĘ¡€“ЖяїҐԱאשسپಅไあアｱ表功中国한글ა🀄\U0001F600ΩάÿÞıİǆ¥‾∀ﷺ\u0300\u200d"

// TestEveryCharset asks the server for its character sets, and puts what each of them can hold through every type that has
// one.
func TestEveryCharset(t *testing.T) {
	for _, s := range everyServer(t) {
		var cases []columnCase
		texts := map[string]string{}
		for _, r := range s.MustQuery(t, "SELECT CHARACTER_SET_NAME FROM information_schema.CHARACTER_SETS WHERE CHARACTER_SET_NAME != 'binary' ORDER BY 1") {
			charset := r[0]
			texts[charset] = holds(t, s, charset)
			if len(texts[charset]) < 10 {
				t.Errorf("%s: of %s only %q was tried", s.Program.Version, charset, texts[charset])
			}
			literal := schema.QuoteString(texts[charset])
			for _, typ := range []string{"CHAR(90)", "VARCHAR(90)", "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT"} {
				cases = append(cases, columnCase{typ + " CHARACTER SET " + charset, []string{literal, "''", "'a '", "NULL", "REPEAT('a', 90)"}, ""})
			}
			cases = append(cases,
				columnCase{"ENUM('a','zZ') CHARACTER SET " + charset, []string{"'zZ'", "NULL", "'a'"}, ""},
				columnCase{"SET('a','zZ') CHARACTER SET " + charset, []string{"'a,zZ'", "''", "NULL"}, ""})
		}
		if t.Logf("%s has %d character sets", s.Program.Version, len(texts)); len(texts) < 39 {
			t.Error("there are more")
		}
		for _, v := range throughBoth(t, s, cases) {
			typ, charset, _ := strings.Cut(v.definition, " CHARACTER SET ")
			if v.literal != schema.QuoteString(texts[charset]) {
				continue
			}
			var got string
			if err := json.Unmarshal([]byte(v.json), &got); err != nil || got != texts[charset] {
				t.Errorf("%s, %s of %s: %q became %s (%v)", s.Program.Version, typ, charset, texts[charset], v.json, err)
			}
		}
	}
}

// holds are the characters of the alphabet that a character set has.
func holds(t *testing.T, s *testservers.MySQLServer, charset string) string {
	t.Helper()
	var columns []string
	for _, r := range alphabet {
		columns = append(columns, fmt.Sprintf("HEX(CONVERT(CONVERT(_utf8mb4 x'%x' USING %s) USING utf8mb4)) = '%X'", string(r), charset, string(r)))
	}
	row := s.MustQuery(t, "SELECT "+strings.Join(columns, ", "))[0]
	var text strings.Builder
	for i, r := range []rune(alphabet) {
		if row[i] == "1" {
			text.WriteRune(r)
		}
	}
	return text.String()
}

// family is a collation's name without its character set.
func family(charset, collation string) string {
	return strings.TrimPrefix(collation, charset)
}

// TestEveryCollationAsKey has one collation of each family that the server knows in a key, and takes keys with characters
// that are hard to compare through definitions, SELECT, and the binlog with and without full metadata.
func TestEveryCollationAsKey(t *testing.T) {
	for _, s := range everyServer(t) {
		conn, err := source.Connect(t.Context(), serverConfig(s))
		if err != nil {
			t.Fatal(err)
		}
		known, err := source.Collations(t.Context(), conn)
		source.Close(conn)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		var chosen []source.Collation
		ids := make([]uint64, 0, len(known))
		for id := range known {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		for _, id := range ids {
			c := known[id]
			if f := family(c.Charset, c.Name); c.Charset != "binary" && !seen[f] {
				seen[f] = true
				chosen = append(chosen, c)
			}
		}
		if t.Logf("%s has %d families of collations", s.Program.Version, len(chosen)); len(chosen) < 60 {
			t.Error("there are more")
		}
		for _, metadata := range []string{"MINIMAL", "FULL"} {
			s.MustExec(t, "SET GLOBAL binlog_row_metadata = "+metadata)
			db := s.Database(t)
			from := endOfLog(t, s)
			statements := []string{"SET NAMES utf8mb4", "SET sql_mode = ''", "USE " + db}
			var names []string
			for some := range slices.Chunk(chosen, 15) { // a key has 16 columns at most
				name := fmt.Sprintf("t%d", len(names))
				names = append(names, name)
				var columns, key []string
				for i, c := range some {
					columns = append(columns, fmt.Sprintf("c%d VARCHAR(12) CHARACTER SET %s COLLATE %s", i, c.Charset, c.Name))
					key = append(key, fmt.Sprintf("c%d", i))
				}
				statements = append(statements, fmt.Sprintf("CREATE TABLE %s (n INT, %s, PRIMARY KEY (n, %s))", name, strings.Join(columns, ", "), strings.Join(key, ", ")))
				for n, v := range []string{"a", "A", "á", "ß", "a ", "", "ñ", "z0", "AE", "10"} {
					statements = append(statements, fmt.Sprintf("INSERT INTO %s VALUES (%d%s)", name, n, strings.Repeat(", '"+v+"'", len(some))))
				}
				statements = append(statements, "UPDATE "+name+" SET c0 = 'B' WHERE n = 1", "DELETE FROM "+name+" WHERE n = 2")
			}
			s.MustExec(t, statements...)
			for n, rows := range wholeRows(t, s, from, tablesOf(db, names)) {
				if len(rows) != 9 {
					t.Errorf("%s, %s: %d rows", s.Program.Version, n.name, len(rows))
				}
			}
		}
		s.MustExec(t, "SET GLOBAL binlog_row_metadata = DEFAULT")
	}
}
