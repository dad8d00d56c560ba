package schema_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// columnCase is a column definition and SQL literals to put into it.
type columnCase struct {
	definition string
	values     []string
	only       string // "" and the names of servers below
}

// The servers that have a type.
const (
	onMySQL      = "MySQL"
	onMariaDB    = "MariaDB"
	onNewMariaDB = "newer MariaDB"
)

// runsOn says whether a server has the case's type.
func (c *columnCase) runsOn(s *testservers.MySQLServer) bool {
	switch c.only {
	case "":
		return true
	case onMySQL:
		return s.Program.Flavor == dbserver.MySQL
	case onNewMariaDB:
		return s.Program.Flavor == dbserver.MariaDB && !strings.HasPrefix(s.Program.Version, "10.")
	}
	return s.Program.Flavor == dbserver.MariaDB
}

var columnCases = slices.Concat(numberCases, bitCases(), timeCases, stringCases, charsetCases(), documentCases, spatialCases(), mariaCases)

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
	{"FLOAT /* negative zero */", []string{"-0e0"}, onMySQL}, // MariaDB reads the literal as 0
	{"FLOAT", []string{"0", "1.77", "0.1", "-3.4028234e38", "1.17549435e-38", "1e-45", "16777217", "1234567", "1e10", "123456.789"}, ""},
	{"FLOAT UNSIGNED", []string{"1.5"}, ""},
	{"FLOAT(7,4)", []string{"123.4567", "1.5", "-0.0001"}, ""},
	{"DOUBLE /* negative zero */", []string{"-0e0"}, onMySQL},
	{"DOUBLE", []string{"0", "0.1", "1.5", "1e15", "1e16", "1e20", "123456789012345678", "1e-4", "1e-5", "0.1e0+0.2e0",
		"1.7976931348623157e308", "2.2250738585072014e-308", "4.9e-324", "-1.2345678901234567e-300", "1/3e0", "9007199254740993", "100000"}, ""},
	{"DOUBLE(10,3)", []string{"1.5", "1234567.891", "-0.001"}, ""},
	{"TINYINT(4) ZEROFILL", []string{"0", "7", "255"}, ""},
	{"SMALLINT ZEROFILL", []string{"7", "65535"}, ""},
	{"MEDIUMINT ZEROFILL", []string{"7", "16777215"}, ""},
	{"FLOAT ZEROFILL", []string{"1.5", "0"}, ""},
	{"DOUBLE ZEROFILL", []string{"1.5", "0"}, ""},
	{"DECIMAL(65,30) UNSIGNED", []string{"99999999999999999999999999999999999.999999999999999999999999999999", "0.1"}, ""},
	{"FLOAT /* more digits than the text protocol prints */", []string{"8388609.5", "33554434", "1234567.9", "0.00012345678", "9.8765432e-20"}, ""},
	{"FLOAT(40)", []string{"1.23456789012345"}, ""},
	{"REAL", []string{"1.25"}, ""},
	{"DOUBLE UNSIGNED", []string{"1.7976931348623157e308"}, ""},
	{"INT DEFAULT 7", []string{"DEFAULT", "-1"}, ""},
	{"INT DEFAULT (3 + 4)", []string{"DEFAULT"}, ""},
	{"DECIMAL(5,2) DEFAULT 1.50", []string{"DEFAULT"}, ""},
}

// bitCases has every width of BIT: nothing, all bits, and the outermost ones.
func bitCases() []columnCase {
	var cases []columnCase
	for n := 1; n <= 64; n++ {
		all, ends := strings.Repeat("1", n), "1"
		if n > 1 {
			ends += strings.Repeat("0", n-2) + "1"
		}
		cases = append(cases, columnCase{fmt.Sprintf("BIT(%d)", n), []string{"b'0'", "b'" + all + "'", "b'" + ends + "'", "1"}, ""})
	}
	return cases
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
	{"DATE /* invalid */", []string{"'2018-02-31'", "'2018-13-01'", "'0000-01-01'", "'10000-01-01'"}, ""},
	{"DATETIME(6) /* invalid */", []string{"'2018-02-31 10:00:00.5'", "'2018-02-30 24:00:00'", "'0000-00-00 00:00:00.000001'"}, ""},
	{"DATETIME DEFAULT '2018-05-08 01:02:03'", []string{"DEFAULT"}, ""},
	{"TIMESTAMP(6) NULL DEFAULT '2018-05-08 01:02:03.25'", []string{"DEFAULT"}, ""},
	{"TIMESTAMP NOT NULL DEFAULT '0000-00-00 00:00:00'", []string{"DEFAULT"}, ""},
	{"TIMESTAMP(6) NULL /* around its start */", []string{"'1970-01-01 05:30:00.000001'", "'1970-01-01 05:30:00'", "'1970-01-01 05:30:00.999999'", "'1970-01-01 05:30:01.000000'", "'1969-12-31 00:00:00.5'"}, onMariaDB},
	{"TIME /* beyond the range */", []string{"'900:00:00'", "'-900:00:00'", "'12:61:00'"}, ""},
	{"YEAR", []string{"0", "1901", "2000", "2155", "'00'"}, ""},
	{"YEAR(2)", []string{"'00'", "'18'", "'99'"}, onMariaDB},
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
	{"VECTOR(3)", []string{"STRING_TO_VECTOR('[1,-2,0.5]')", "NULL"}, onMySQL},
	{"VECTOR", []string{"STRING_TO_VECTOR('[7]')", "STRING_TO_VECTOR('[3.4028235e38,-1.17549435e-38]')"}, onMySQL},
	{"VECTOR(16383)", []string{"STRING_TO_VECTOR(CONCAT('[', REPEAT('1,', 16382), '2]'))"}, onMySQL},
	{"VARCHAR(20) DEFAULT 'it''s'", []string{"DEFAULT"}, ""},
	{"VARCHAR(60) DEFAULT (CONCAT('a', 'b'))", []string{"DEFAULT"}, ""},
	{"BLOB DEFAULT (x'00ff')", []string{"DEFAULT"}, ""},
	{"ENUM('a','b') DEFAULT 'b'", []string{"DEFAULT"}, ""},
	{"SET('a','b') DEFAULT 'a,b'", []string{"DEFAULT"}, ""},
	{"BIT(5) DEFAULT b'10101'", []string{"DEFAULT"}, ""},
	{"INT GENERATED ALWAYS AS (7) STORED", []string{"DEFAULT"}, onMySQL},
	{"INT GENERATED ALWAYS AS (7) VIRTUAL", []string{"DEFAULT"}, onMySQL},
	{"VARCHAR(20) GENERATED ALWAYS AS (CONCAT('x', 'é')) STORED", []string{"DEFAULT"}, onMySQL},
	{"VARCHAR(20) GENERATED ALWAYS AS (CONCAT('x', 'é')) VIRTUAL", []string{"DEFAULT"}, onMySQL},
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
			only := ""
			if name == "gb18030" {
				only = onMySQL
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
	}, onMySQL},
	{"JSON /* each scalar */", []string{`'true'`, `'false'`, `'0'`, `'-1'`, `'65535'`, `'4294967296'`, `'18446744073709551615'`, `'-9223372036854775808'`,
		`'1.5'`, `'1e100'`, `'""'`, `'"é\U0001F600"'`,
		"CAST(CAST('12:34:56.5' AS TIME(1)) AS JSON)", "CAST(TIMESTAMP'2018-05-08 12:34:56' AS JSON)", "CAST(CAST(1.25 AS DECIMAL(65,30)) AS JSON)",
		"CAST(CAST(2019 AS YEAR) AS JSON)", "CAST(b'1' AS JSON)", "CAST(x'00ff' AS JSON)", "CAST(1.5e0 AS JSON)"}, onMySQL},
	{"JSON DEFAULT (JSON_ARRAY(1, 'a'))", []string{"DEFAULT"}, onMySQL},
	{"JSON", []string{`'{"a": 1, "bb":[1,2]}'`, `'"x"'`}, onMariaDB},
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
	}, onMySQL},
}

// spatialCases has every spatial type, with and without a spatial reference system.
func spatialCases() []columnCase {
	texts := map[string]string{
		"POINT": "POINT(-1.5 2.25)", "LINESTRING": "LINESTRING(0 0,1 1,2 0)", "POLYGON": "POLYGON((0 0,4 0,4 4,0 0),(1 1,2 1,2 2,1 1))",
		"MULTIPOINT": "MULTIPOINT(0 0,1 1)", "MULTILINESTRING": "MULTILINESTRING((0 0,1 1),(2 2,3 3))",
		"MULTIPOLYGON":       "MULTIPOLYGON(((0 0,1 0,1 1,0 0)))",
		"GEOMETRYCOLLECTION": "GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1))",
	}
	var cases []columnCase
	any := columnCase{definition: "GEOMETRY", values: []string{"NULL"}}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		plain, placed := "ST_GeomFromText('"+texts[name]+"')", "ST_GeomFromText('"+texts[name]+"', 3857)"
		cases = append(cases,
			columnCase{name, []string{plain, placed}, ""},
			columnCase{name + " NOT NULL SRID 3857", []string{placed}, onMySQL},
			columnCase{name + " REF_SYSTEM_ID=3857", []string{placed}, onMariaDB})
		any.values = append(any.values, plain, placed)
	}
	return append(cases, any, columnCase{"POINT SRID 4326", []string{"ST_GeomFromText('POINT(48.2 16.4)', 4326)"}, onMySQL}, columnCase{"GEOMETRYCOLLECTION /* empty */", []string{"ST_GeomFromText('GEOMETRYCOLLECTION EMPTY')"}, ""})
}

// mariaCases are the types that only MariaDB has.
var mariaCases = []columnCase{
	{"UUID", []string{"'6ccd780c-baba-1026-9564-5b8c656024db'", "'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
		"'6CCD780CBABA2026A5645B8C656024DB'", "'6ccd780c-baba-3026-b564-5b8c656024db'", "'6ccd780c-baba-4026-9564-5b8c656024db'",
		"'6ccd780c-baba-5026-9564-5b8c656024db'", "'6ccd780c-baba-6026-9564-5b8c656024db'", "'6ccd780c-baba-7026-9564-5b8c65602400'",
		"'6ccd780c-baba-8026-9564-000000000000'", "'6ccd780c-baba-1026-1564-5b8c656024db'", "'00000000-0000-1000-8000-000000000000'", "NULL"}, onMariaDB},
	{"INET4", []string{"'0.0.0.0'", "'255.255.255.255'", "'10.0.0.1'", "'192.168.0.0'", "'0.0.0.9'", "NULL"}, onMariaDB},
	{"INET6", []string{"'::'", "'::1'", "'1::'", "'1::2'", "'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'", "'2001:db8::ff00:42:8329'", "'1:0:0:2:0:0:0:3'",
		"'1:0:0:2:3:0:0:4'", "'1:0:2:3:4:5:6:7'", "'1:2:3:4:5:6:7:0'", "'0:2:3:4:5:6:7:8'", "'::ffff:192.0.2.1'", "'::192.0.2.1'", "'::1.0'", "'::fffe:192.0.2.1'",
		"'::ffff:0:0'", "'::ffff:0.0.1.0'", "'::1:0'", "'::1:0:0'", "'1:ffff:192.0.2.1::'", "'64:ff9b::192.0.2.33'", "'a:b:c:d:e:f:0:0'", "'ABCD::EF'", "NULL"}, onMariaDB},
	{"VECTOR(3)", []string{"VEC_FromText('[1,-2,0.5]')", "VEC_FromText('[0,0,0]')", "NULL"}, onNewMariaDB},
	{"VECTOR(63)", []string{"VEC_FromText(CONCAT('[', REPEAT('1,', 62), '2]'))"}, onNewMariaDB},
	{"VECTOR(64)", []string{"VEC_FromText(CONCAT('[', REPEAT('1,', 63), '2]'))"}, onNewMariaDB},
	{"VECTOR(12000)", []string{"VEC_FromText(CONCAT('[', REPEAT('1,', 11999), '2]'))"}, onNewMariaDB},
	{"TIMESTAMP(6) NULL /* after 2038 */", []string{"'2038-01-19 08:44:08'", "'2106-02-07 11:58:15.999999'"}, onNewMariaDB},
	{"DATETIME /* in UTC */", []string{"'2024-02-29 00:00:00'"}, onMariaDB},
}

// compressedCases are columns that MariaDB compresses: values too short for it, empty, and worth it.
var compressedCases = func() []columnCase {
	var cases []columnCase
	text := []string{"''", "'x'", "'" + strings.Repeat("ä", 20) + "'", "REPEAT('ab', 100)", "NULL"}
	for _, definition := range []string{
		"VARCHAR(250) COMPRESSED", "VARCHAR(250) COMPRESSED CHARACTER SET latin1", "VARCHAR(255) COMPRESSED CHARACTER SET latin1", "VARCHAR(254) COMPRESSED CHARACTER SET latin1",
		"VARCHAR(256) COMPRESSED CHARACTER SET latin1", "VARCHAR(300) COMPRESSED", "TINYTEXT COMPRESSED", "TEXT COMPRESSED", "MEDIUMTEXT COMPRESSED CHARACTER SET ucs2",
		"LONGTEXT COMPRESSED CHARACTER SET sjis",
	} {
		values := text
		if strings.HasSuffix(definition, "sjis") {
			values = []string{"''", "REPEAT('表', 100)"}
		}
		cases = append(cases, columnCase{definition, values, onMariaDB})
	}
	binary := []string{"''", "x'00'", "REPEAT(x'00ff', 100)", "NULL"}
	for _, definition := range []string{"VARBINARY(255) COMPRESSED", "VARBINARY(300) COMPRESSED", "TINYBLOB COMPRESSED", "BLOB COMPRESSED", "MEDIUMBLOB COMPRESSED", "LONGBLOB COMPRESSED"} {
		cases = append(cases, columnCase{definition, binary, onMariaDB})
	}
	return append(cases,
		columnCase{"VARCHAR(63) COMPRESSED", []string{"REPEAT('é', 63)"}, onMariaDB}, columnCase{"VARCHAR(64) COMPRESSED", []string{"REPEAT('é', 64)"}, onMariaDB},
		columnCase{"MEDIUMTEXT COMPRESSED", []string{"REPEAT('abcdefgh', 100000)"}, onMariaDB})
}()
