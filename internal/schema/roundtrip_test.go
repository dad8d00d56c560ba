package schema_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
	"github.com/google/go-cmp/cmp"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/source"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

const valuesFile = "testdata/values.golden"

// rendered is one value of one column type and the JSON it became.
type rendered struct{ definition, literal, json string }

// TestSelectEqualsBinlog puts values of every type through a SELECT and through the binlog of real servers and compares
// the JSON, with each other and with a file.
func TestSelectEqualsBinlog(t *testing.T) {
	update := flag.Lookup("update").Value.String() == "true"
	golden := readValues(t)
	for flavor, s := range map[dbserver.Flavor]*testservers.MySQLServer{
		dbserver.MySQL: testservers.SharedMySQL(t), dbserver.MariaDB: testservers.SharedMariaDB(t),
	} {
		t.Run(string(flavor), func(t *testing.T) {
			got := throughBoth(t, s, flavor, columnCases)
			if t.Failed() {
				return
			}
			if update {
				if flavor == dbserver.MySQL {
					writeValues(t, got)
				}
				return
			}
			for _, v := range got {
				want, known := golden[strconv.Quote(v.definition)+"\t"+strconv.Quote(v.literal)]
				if !known && flavor == dbserver.MariaDB {
					continue // types of MariaDB alone
				}
				if v.json != want {
					t.Errorf("%s, %s: %s, want %s", v.definition, v.literal, v.json, want)
				}
			}
		})
	}
}

// throughBoth fills a table for each case, and renders its rows from a SELECT and from the binlog.
func throughBoth(t *testing.T, s *testservers.MySQLServer, flavor dbserver.Flavor, cases []columnCase) []rendered {
	t.Helper()
	db := s.Database(t)
	start := s.MustQuery(t, "SHOW BINARY LOGS")
	last := start[len(start)-1]

	statements := []string{
		"SET NAMES utf8mb4", "SET sql_mode = 'NO_ENGINE_SUBSTITUTION'", "SET time_zone = '+05:30'", "USE " + db,
	}
	var names []string
	var all []columnCase
	for _, c := range cases {
		if c.only == "" || c.only == flavor {
			all = append(all, c)
		}
	}
	for i, c := range all {
		name := fmt.Sprintf("t%d", i)
		names = append(names, name)
		statements = append(statements, fmt.Sprintf("CREATE TABLE %s (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, v %s)", name, c.definition))
		for values := range slices.Chunk(c.values, 1000) {
			statements = append(statements, fmt.Sprintf("INSERT INTO %s (v) VALUES (%s)", name, strings.Join(values, "),(")))
		}
	}
	statements = append(statements, "CREATE TABLE finish (id INT)", "INSERT INTO finish VALUES (1)")
	s.MustExec(t, statements...)

	conn, err := source.Connect(t.Context(), source.Config{Host: dbserver.Host, Port: s.Port16(), User: dbserver.User})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close(conn)
	tables := map[string]*schema.Table{}
	selected := map[string][]string{}
	for _, name := range names {
		table, err := source.LoadTable(t.Context(), conn, db, name)
		if err != nil {
			t.Fatal(err)
		}
		tables[name] = table
		layout, err := schema.NewTextLayout(table, schema.Options{})
		if err != nil {
			t.Fatal(err)
		}
		query := fmt.Sprintf("SELECT %s FROM %s.%s ORDER BY id", strings.Join(layout.SelectList(), ", "), db, name)
		err = source.StreamText(t.Context(), conn, query, func(row [][]byte) error {
			selected[name] = append(selected[name], renderValue(layout, row))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	logged := readBinlog(t, s, flavor, db, mysql.Position{Name: last[0], Pos: number(t, last[1])}, tables)

	var out []rendered
	for i, c := range all {
		if diff := cmp.Diff(selected[names[i]], logged[names[i]]); diff != "" {
			t.Errorf("%s: SELECT and binlog differ (-select +binlog):\n%s", c.definition, diff)
			continue
		}
		if len(selected[names[i]]) != len(c.values) {
			t.Errorf("%s: %d rows of %d values", c.definition, len(selected[names[i]]), len(c.values))
			continue
		}
		for j, v := range c.values {
			out = append(out, rendered{c.definition, v, selected[names[i]][j]})
		}
	}
	return out
}

// TestSelectEqualsBinlogOfDoubles puts many doubles through a SELECT and the binlog: as columns, where they must come
// out as what went in, and in documents, where the server prints them one way and appendMySQLDouble the other.
func TestSelectEqualsBinlogOfDoubles(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var values, documents, floats []string
	for len(values) < 3000 {
		for _, f := range []float64{
			math.Float64frombits(r.Uint64()), r.NormFloat64() * 1e6, math.Ldexp(1, r.IntN(2098)-1074), float64(r.Int64()),
			math.Ldexp(r.Float64(), r.IntN(160)-80), math.Round(r.Float64()*1e6) / 100, float64(r.Int64()) / 1000,
		} {
			if f == 0 || math.IsNaN(f) || math.IsInf(f, 0) {
				continue
			}
			s := strconv.FormatFloat(f, 'e', 16, 64)
			values, documents = append(values, s), append(documents, "'["+s+"]'")
			if g := float32(f); g != 0 && !math.IsInf(float64(g), 0) {
				floats = append(floats, strconv.FormatFloat(float64(g), 'e', 16, 64))
			}
		}
	}
	for flavor, s := range map[dbserver.Flavor]*testservers.MySQLServer{
		dbserver.MySQL: testservers.SharedMySQL(t), dbserver.MariaDB: testservers.SharedMariaDB(t),
	} {
		t.Run(string(flavor), func(t *testing.T) {
			got := throughBoth(t, s, flavor, []columnCase{
				{"DOUBLE", values, ""}, {"FLOAT", floats, ""}, {"JSON", documents, dbserver.MySQL}, {"DOUBLE(200,3)", values[:100], ""},
			})
			for _, v := range got {
				if strings.Contains(v.definition, "(") || v.definition == "JSON" {
					continue
				}
				if in, out := parse(t, v.literal), parse(t, v.json); in != out {
					t.Errorf("%s %s became %s", v.definition, v.literal, v.json)
				}
			}
		})
	}
}

func parse(t *testing.T, s string) float64 {
	t.Helper()
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Error(err)
	}
	return f
}

func number(t *testing.T, s string) (n uint32) {
	t.Helper()
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// renderValue is the JSON of column v, or "NULL", or the error.
func renderValue(codec schema.Codec, row [][]byte) string {
	if row[1] == nil {
		return "NULL"
	}
	out, err := codec.AppendJSON(nil, 1, row[1])
	if err != nil {
		return "error: " + err.Error()
	}
	return string(out)
}

// readBinlog renders all rows that were inserted after a position, by table, until those of table finish.
func readBinlog(t *testing.T, s *testservers.MySQLServer, flavor dbserver.Flavor, db string, from mysql.Position, tables map[string]*schema.Table) map[string][]string {
	t.Helper()
	logged := map[string][]string{}
	syncer := replication.NewBinlogSyncer(replication.BinlogSyncerConfig{
		ServerID: 4711, Flavor: string(flavor), Host: dbserver.Host, Port: s.Port16(), User: dbserver.User,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		RowsEventDecodeFunc: func(e *replication.RowsEvent, data []byte) error {
			pos, err := e.DecodeHeader(data)
			if err != nil || string(e.Table.Schema) != db {
				return err
			}
			name := string(e.Table.Table)
			table := tables[name]
			if table == nil {
				return nil
			}
			layout, err := schema.NewImageLayout(table, e.Table.ColumnType, e.Table.ColumnMeta, schema.Options{})
			if err != nil {
				t.Error(err)
				return nil
			}
			for pos < len(data) {
				row, n, err := layout.Split(nil, data[pos:], e.ColumnBitmap1)
				if err != nil {
					t.Error(err)
					return nil
				}
				pos += n
				logged[name] = append(logged[name], renderValue(layout, row))
			}
			return nil
		},
	})
	defer syncer.Close()
	stream, err := syncer.StartSync(from)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		e, err := stream.GetEvent(ctx)
		if err != nil {
			t.Fatal(err)
		}
		rows, ok := e.Event.(*replication.RowsEvent)
		if ok && string(rows.Table.Schema) == db && string(rows.Table.Table) == "finish" {
			return logged
		}
	}
}

func readValues(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile(valuesFile)
	if err != nil {
		t.Log(err)
	}
	values := map[string]string{}
	for line := range strings.Lines(string(data)) {
		definition, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		literal, json, _ := strings.Cut(rest, "\t")
		values[definition+"\t"+literal] = json
	}
	return values
}

func writeValues(t *testing.T, values []rendered) {
	t.Helper()
	var b bytes.Buffer
	for _, v := range values {
		fmt.Fprintf(&b, "%q\t%q\t%s\n", v.definition, v.literal, v.json)
	}
	if err := os.WriteFile(valuesFile, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// columnCase is a column definition and SQL literals to put into it.
type columnCase struct {
	definition string
	values     []string
	only       dbserver.Flavor // "": all
}

var columnCases = slices.Concat(numberCases, timeCases, stringCases, charsetCases(), documentCases)

var numberCases = []columnCase{
	{"TINYINT", []string{"-128", "-1", "0", "127", "NULL"}, ""},
	{"TINYINT UNSIGNED", []string{"0", "128", "255"}, ""},
	{"BOOL", []string{"true", "false"}, ""},
	{"SMALLINT", []string{"-32768", "-1", "32767"}, ""},
	{"SMALLINT UNSIGNED", []string{"32768", "65535"}, ""},
	{"MEDIUMINT", []string{"-8388608", "-1", "8388607"}, ""},
	{"MEDIUMINT UNSIGNED", []string{"8388608", "16777215"}, ""},
	{"INT", []string{"-2147483648", "-1", "2147483647"}, ""},
	{"INT UNSIGNED", []string{"2147483648", "4294967295"}, ""},
	{"INT(8) ZEROFILL", []string{"0", "42", "123456789"}, ""},
	{"BIGINT", []string{"-9223372036854775808", "-1", "9007199254740993", "9223372036854775807"}, ""},
	{"BIGINT UNSIGNED", []string{"9223372036854775808", "18446744073709551615"}, ""},
	{"BIGINT(20) UNSIGNED ZEROFILL", []string{"7"}, ""},
	{"DECIMAL(10,2)", []string{"46.57", "46.50", "46", "-46.00", "0", "-0.01", "0.10", "99999999.99", "-99999999.99", "100"}, ""},
	{"DECIMAL(10,2) ZEROFILL", []string{"46.5", "0", "12345678.9"}, ""},
	{"DECIMAL(5,0)", []string{"12300", "-1", "0"}, ""},
	{"DECIMAL(5,5)", []string{"0.00001", "-0.5", "0"}, ""},
	{"DECIMAL(9,9)", []string{"0.123456789", "-0.000000001"}, ""},
	{"DECIMAL(18,9)", []string{"1.000000001", "-123456789.987654321", "100000000"}, ""},
	{"DECIMAL(20,10)", []string{"1000000000.0000000001", "-9999999999.9999999999", "0.1"}, ""},
	{"DECIMAL(65,30)", []string{"12345678901234567890123456789012345.123456789012345678901234567891", "-0.000000000000000000000000000001", "1e34"}, ""},
	{"DECIMAL(65,0)", []string{"99999999999999999999999999999999999999999999999999999999999999999", "-1"}, ""},
	{"FLOAT /* negative zero */", []string{"-0e0"}, dbserver.MySQL}, // MariaDB reads the literal as 0
	{"FLOAT", []string{"0", "1.77", "0.1", "-3.4028234e38", "1.17549435e-38", "1e-45", "16777217", "1234567", "1e10", "123456.789"}, ""},
	{"FLOAT UNSIGNED", []string{"1.5"}, ""},
	{"FLOAT(7,4)", []string{"123.4567", "1.5", "-0.0001"}, ""},
	{"DOUBLE /* negative zero */", []string{"-0e0"}, dbserver.MySQL},
	{"DOUBLE", []string{"0", "0.1", "1.5", "1e15", "1e16", "1e20", "123456789012345678", "1e-4", "1e-5", "0.1e0+0.2e0",
		"1.7976931348623157e308", "2.2250738585072014e-308", "4.9e-324", "-1.2345678901234567e-300", "1/3e0", "9007199254740993", "100000"}, ""},
	{"DOUBLE(10,3)", []string{"1.5", "1234567.891", "-0.001"}, ""},
	{"BIT(1)", []string{"b'0'", "b'1'"}, ""},
	{"BIT(2)", []string{"b'0'", "b'11'"}, ""},
	{"BIT(9)", []string{"b'100000001'", "1"}, ""},
	{"BIT(64)", []string{"x'ffffffffffffffff'", "x'8000000000000001'", "0"}, ""},
}

var timeCases = []columnCase{
	{"DATE", []string{"'2018-05-08'", "'0000-00-00'", "'1000-01-01'", "'9999-12-31'", "'2018-00-00'", "'2018-05-00'", "'0001-01-01'"}, ""},
	{"DATETIME", []string{"'2018-05-08 12:34:56'", "'0000-00-00 00:00:00'", "'9999-12-31 23:59:59'", "'2018-00-00 10:00:00'", "'1000-01-01 00:00:00'"}, ""},
	{"DATETIME(1)", []string{"'2018-05-08 12:34:56.7'", "'0000-00-00'"}, ""},
	{"DATETIME(2)", []string{"'2018-05-08 12:34:56.78'", "'2018-05-08'"}, ""},
	{"DATETIME(3)", []string{"'2018-05-08 12:34:56.789'", "'2018-05-08 00:00:00.001'"}, ""},
	{"DATETIME(4)", []string{"'2018-05-08 12:34:56.7891'"}, ""},
	{"DATETIME(5)", []string{"'2018-05-08 12:34:56.78912'"}, ""},
	{"DATETIME(6)", []string{"'2018-05-08 12:34:56.789123'", "'9999-12-31 23:59:59.999999'", "'0000-00-00'"}, ""},
	{"TIMESTAMP NULL", []string{"'2018-05-08 12:34:56'", "'1970-01-01 05:30:01'", "'2038-01-19 08:44:07'", "'0000-00-00 00:00:00'", "NULL", "'2020-02-29 03:00:00'"}, ""},
	{"TIMESTAMP(1) NULL", []string{"'2018-05-08 12:34:56.7'"}, ""},
	{"TIMESTAMP(3) NULL", []string{"'2018-05-08 12:34:56.789'", "'0000-00-00'"}, ""},
	{"TIMESTAMP(6) NULL", []string{"'2018-05-08 12:34:56.789123'", "'2038-01-19 08:44:07.499999'", "'0000-00-00'"}, ""},
	{"TIME", []string{"'00:00:00'", "'12:34:56'", "'-12:34:56'", "'838:59:59'", "'-838:59:59'", "'-00:00:01'", "'100:00:00'"}, ""},
	{"TIME(1)", []string{"'12:34:56.7'", "'-00:00:00.1'", "'-01:00:00.9'"}, ""},
	{"TIME(2)", []string{"'12:34:56.78'", "'-00:00:00.01'", "'-12:34:56.99'", "'-00:00:01'"}, ""},
	{"TIME(3)", []string{"'12:34:56.789'", "'-00:00:00.001'"}, ""},
	{"TIME(4)", []string{"'-838:59:58.9999'", "'00:00:00.0001'"}, ""},
	{"TIME(5)", []string{"'-00:00:00.00001'"}, ""},
	{"TIME(6)", []string{"'12:34:56.789123'", "'-12:34:56.789123'", "'-00:00:00.000001'", "'838:59:59'", "'-838:59:59'"}, ""},
	{"YEAR", []string{"0", "1901", "2000", "2155", "'00'"}, ""},
	{"YEAR(2)", []string{"'00'", "'18'", "'99'"}, dbserver.MariaDB},
}

var stringCases = []columnCase{
	{"CHAR(10)", []string{"''", "'abc'", "'  x'", "'x   '", "'naïve'", "'\U0001F600'"}, ""},
	{"CHAR(0)", []string{"''", "NULL"}, ""},
	{"CHAR(255)", []string{"REPEAT('ä', 255)"}, ""},
	{"VARCHAR(10)", []string{"''", "'a b '", `'quote " back \\ slash / tab \t'`, `'\r\n'`, "CONCAT(CHAR(0),CHAR(1),CHAR(8),CHAR(12),CHAR(31),CHAR(127))", "'€\U0001F600'"}, ""},
	{"VARCHAR(300)", []string{"REPEAT('x', 300)", "''"}, ""},
	{"VARCHAR(63)", []string{"REPEAT('é', 63)"}, ""},
	{"VARCHAR(64)", []string{"REPEAT('é', 64)"}, ""},
	{"TINYTEXT", []string{"''", "'abc'"}, ""},
	{"TEXT", []string{"REPEAT('ab', 1000)"}, ""},
	{"MEDIUMTEXT", []string{"'m'"}, ""},
	{"LONGTEXT", []string{"'l'"}, ""},
	{"BINARY(4)", []string{"''", "x'0102'", "x'01000000'", "x'61202000'", "x'ffffffff'"}, ""},
	{"BINARY(255)", []string{"x'00'"}, ""},
	{"VARBINARY(8)", []string{"''", "x'00'", "x'0100'", "x'deadbeef'", "x'2020'"}, ""},
	{"VARBINARY(300)", []string{"x'ab'"}, ""},
	{"TINYBLOB", []string{"''", "x'00ff'"}, ""},
	{"BLOB", []string{"x'00ff'"}, ""},
	{"MEDIUMBLOB", []string{"x'00ff'"}, ""},
	{"LONGBLOB", []string{"x'00ff'"}, ""},
	{"ENUM('a','b''c','d,e','f\\\\g','h\"i','j(k)','ä','')", []string{"'a'", "'b''c'", "'d,e'", `'f\\g'`, `'h"i'`, "'j(k)'", "7", "''", "0", "NULL"}, ""},
	{"ENUM('x\ny','\rz','tab\t','nul\x00')", []string{"1", "2", "3", "4", "'no such'"}, ""},
	{"ENUM('ä','é') CHARACTER SET latin1", []string{"'ä'", "2"}, ""},
	{"ENUM('あ') CHARACTER SET sjis", []string{"1"}, ""},
	{"ENUM('a','b') CHARACTER SET ucs2", []string{"1", "'b'"}, ""},
	{"ENUM(" + manyLabels(300) + ")", []string{"1", "255", "256", "300"}, ""},
	{"SET('a','b''c','d\"e','f\\\\')", []string{"''", "'a'", "'a,b''c'", "15", "NULL"}, ""},
	{"SET('ä','é') CHARACTER SET latin1", []string{"3"}, ""},
	{"SET(" + manyLabels(17) + ")", []string{"1", "131071", "65536"}, ""},
	{"SET(" + manyLabels(33) + ")", []string{"4294967296"}, ""},
	{"SET(" + manyLabels(64) + ")", []string{"0", "18446744073709551615", "9223372036854775808"}, ""},
	{"GEOMETRY", []string{"ST_GeomFromText('POINT(1 2)')", "ST_GeomFromText('LINESTRING(0 0,1 1)', 4326)"}, ""},
	{"POINT", []string{"ST_GeomFromText('POINT(-1.5 2.25)')"}, ""},
	{"POLYGON", []string{"ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))')"}, ""},
	{"GEOMETRYCOLLECTION", []string{"ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1))')"}, ""},
	{"VECTOR(3)", []string{"STRING_TO_VECTOR('[1,-2,0.5]')"}, dbserver.MySQL},
	{"INT GENERATED ALWAYS AS (7) STORED", []string{"DEFAULT"}, ""},
	{"INT GENERATED ALWAYS AS (7) VIRTUAL", []string{"DEFAULT"}, ""},
	{"INT INVISIBLE", []string{"5"}, ""},
}

func manyLabels(n int) string {
	labels := make([]string, n)
	for i := range labels {
		labels[i] = fmt.Sprintf("'l%d'", i+1)
	}
	return strings.Join(labels, ",")
}

// charsetCases has for each character set a text that it can hold.
func charsetCases() []columnCase {
	texts := []struct{ names, text string }{
		{"latin1", "äÿ€\u0081“x”"},
		{"latin2 cp1250 cp852 keybcs2 macce", "Žluť \"x\""},
		{"latin5 latin7 dec8 hp8 cp850 macroman cp1257", "Ä\n"},
		{"cp1251 cp866 koi8r koi8u", "Привет\\"},
		{"greek", "αβγ"}, {"hebrew", "שלום"}, {"cp1256", "سلام"}, {"tis620", "ไทย"}, {"armscii8", "Ա"}, {"geostd8", "ა"},
		{"swe7", "ÅÄÖ"}, {"ascii", "abc"},
		{"sjis cp932", "ソ表あｱ\\"}, {"ujis eucjpms", "日本語丂ｱ"}, {"big5", "功蓋"}, {"gbk gb2312", "中文"}, {"gb18030", "中文㐀\U0001F600"}, {"euckr", "한글"},
		{"utf8mb3", "€あ"}, {"ucs2", "A€あ\""}, {"utf16 utf16le utf32", "A€あ\U0001F600\n"},
	}
	var cases []columnCase
	for _, x := range texts {
		for name := range strings.FieldsSeq(x.names) {
			only := dbserver.Flavor("")
			if name == "gb18030" {
				only = dbserver.MySQL
			}
			values := []string{"''", "'a '", schema.QuoteString(strings.ReplaceAll(x.text, "\n", "!")), schema.QuoteString("x" + x.text)}
			for i := range values {
				values[i] = strings.ReplaceAll(values[i], "\n", `\n`)
			}
			for _, typ := range []string{"VARCHAR(20)", "CHAR(20)", "TEXT"} {
				cases = append(cases, columnCase{typ + " CHARACTER SET " + name, values, only})
			}
		}
	}
	return cases
}

var documentCases = []columnCase{
	{"JSON", []string{`'{"a": 1, "bb": [1, -1, 2.5, null, true, false]}'`, `'null'`, `'"x"'`, `'[]'`, `'{}'`, `'1'`, "NULL",
		`'{"b":{"c":{"d":[[],{}]}},"a":"q\\"\\\\\\/\\b\\f\\n\\r\\t\\u0001€\\ud83d\\ude00"}'`,
		`'[32767,32768,-32768,-32769,65535,65536,2147483647,2147483648,-2147483648,-2147483649,4294967295,4294967296,9223372036854775807,9223372036854775808,18446744073709551615,-9223372036854775808]'`,
		`'[1.0,100.0,1e15,1e16,1e20,1.5e-7,0.1,1e-14,1e-15,-1.2345678901234567e-300,123456789012345678901234567890,-0.0,1234567890123456.5,0.00001234567890123456]'`,
	}, dbserver.MySQL},
	{"JSON", []string{`'{"a": 1, "bb":[1,2]}'`, `'"x"'`}, dbserver.MariaDB},
	{"JSON /* opaque */", []string{
		"JSON_ARRAY(CAST('12.50' AS DECIMAL(10,2)), CAST('-0.001' AS DECIMAL(20,3)), CAST(0 AS DECIMAL(5,0)))",
		"JSON_ARRAY(CAST('2018-05-08' AS DATE), CAST('2018-05-08 12:34:56' AS DATETIME), CAST('2018-05-08 12:34:56.789' AS DATETIME(3)))",
		"JSON_ARRAY(CAST('12:34:56' AS TIME), CAST('-12:34:56.5' AS TIME(1)), CAST('838:59:59' AS TIME))",
		"CAST(CAST('2018-05-08' AS DATE) AS JSON)",
		"CAST(CAST('1.50' AS DECIMAL(5,2)) AS JSON)",
		"CAST(UNIX_TIMESTAMP('2018-05-08 12:34:56.25') AS JSON)",
		"JSON_OBJECT('b', x'00ff', 'l', REPEAT(x'61', 100), 'bit', b'101')",
		"CAST(x'' AS JSON)",
		"JSON_OBJECT('y', CAST(2019 AS YEAR))",
		"JSON_OBJECT('g', ST_GeomFromText('POINT(1 2)'))",
		"JSON_ARRAY(CAST('0000-00-00' AS DATE), TIMESTAMP'2018-05-08 12:34:56.123456')",
		"JSON_OBJECT('big', REPEAT('x', 70000), 'n', 70000, 'a', 2, 'neg', -5)",
		"JSON_ARRAY(1e0, 1e-5, 1.5e300, PI())",
		"JSON_SET('{\"a\":1}', '$.b', JSON_ARRAY(1, REPEAT('y', 200)))",
	}, dbserver.MySQL},
}
