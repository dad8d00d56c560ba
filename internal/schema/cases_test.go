package schema_test

import (
	"fmt"
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
		return s.Program.Flavor == onMySQL
	case onNewMariaDB:
		return s.Program.Flavor == dbserver.MariaDB && !strings.HasPrefix(s.Program.Version, "10.")
	}
	return s.Program.Flavor == dbserver.MariaDB
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
	{"FLOAT /* negative zero */", []string{"-0e0"}, onMySQL}, // MariaDB reads the literal as 0
	{"FLOAT", []string{"0", "1.77", "0.1", "-3.4028234e38", "1.17549435e-38", "1e-45", "16777217", "1234567", "1e10", "123456.789"}, ""},
	{"FLOAT UNSIGNED", []string{"1.5"}, ""},
	{"FLOAT(7,4)", []string{"123.4567", "1.5", "-0.0001"}, ""},
	{"DOUBLE /* negative zero */", []string{"-0e0"}, onMySQL},
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
	{"GEOMETRY", []string{"ST_GeomFromText('POINT(1 2)')", "ST_GeomFromText('LINESTRING(0 0,1 1)', 4326)"}, ""},
	{"POINT", []string{"ST_GeomFromText('POINT(-1.5 2.25)')"}, ""},
	{"POLYGON", []string{"ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))')"}, ""},
	{"GEOMETRYCOLLECTION", []string{"ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1))')"}, ""},
	{"VECTOR(3)", []string{"STRING_TO_VECTOR('[1,-2,0.5]')"}, onMySQL},
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
