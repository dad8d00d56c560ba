package binlog

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
	"github.com/binlogstreamer/binlogstreamer/internal/schema"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

var update = flag.Bool("update", false, "write testdata anew from what the servers say")

const rowEventsFile = "testdata/rowevents.txt"

// rowEvent is a row event as a server wrote it, with its table map and the stream's format. Checksums are cut off.
type rowEvent struct {
	format, tableMap, body []byte
	kind                   replication.EventType
}

// rowTables are filled to get row events that have every type.
var rowTables = map[dbserver.Flavor][]string{
	dbserver.MySQL: {
		"CREATE TABLE t (i1 TINYINT, i2 SMALLINT UNSIGNED, i3 MEDIUMINT, i4 INT UNSIGNED, i8 BIGINT, d DECIMAL(20,5), f FLOAT, g DOUBLE, b1 BIT(1), b9 BIT(9), dt DATE," +
			" dm DATETIME(3), ts TIMESTAMP(6) NULL, tm TIME(2), y YEAR, c CHAR(9), v VARCHAR(300) CHARACTER SET latin1, x TEXT CHARACTER SET utf16, bi BINARY(5), vb VARBINARY(9)," +
			" bl MEDIUMBLOB, e ENUM('a','b'), s SET('p','q','r'), j JSON, gm GEOMETRY, ve VECTOR(2), ch CHAR(100), PRIMARY KEY (i1))",
		"INSERT INTO t VALUES (1, 65535, -8388608, 4294967295, -1, -12.5, 1.5, 1e300, b'1', b'100000001', '2024-02-29', '2024-02-29 12:34:56.789', '2024-02-29 12:34:56.789123'," +
			" '-12:34:56.78', 2155, 'naïve', 'ä\"', 'A€', x'01', x'00ff', REPEAT(x'ab', 20), 'b', 'p,r', '{\"a\": [1, -1, 2.5, null, true, \"x\", 18446744073709551615]}'," +
			" ST_GeomFromText('POINT(1 2)'), STRING_TO_VECTOR('[1,2]'), REPEAT('é', 100)), (2" + strings.Repeat(", NULL", 26) + ")",
		"UPDATE t SET j = JSON_ARRAY(CAST('2024-02-29' AS DATE), CAST(1.5 AS DECIMAL(5,2)), x'00', 1e0), i2 = NULL WHERE i1 = 1", "DELETE FROM t",
	},
	dbserver.MariaDB: {
		"CREATE TABLE t (i1 INT UNSIGNED PRIMARY KEY, u UUID, a4 INET4, a6 INET6, ve VECTOR(2), vc VARCHAR(60) COMPRESSED, xc TEXT COMPRESSED CHARACTER SET latin1, bc LONGBLOB COMPRESSED," +
			" gm POINT, vs VARCHAR(20) CHARACTER SET ucs2, y2 YEAR(2), e ENUM('ä','b') CHARACTER SET latin1, j JSON) WITH SYSTEM VERSIONING",
		"INSERT INTO t VALUES (1, '6ccd780c-baba-1026-9564-5b8c656024db', '10.0.0.0', '::ffff:10.0.0.1', VEC_FromText('[1,2]'), REPEAT('ab', 20), REPEAT('ä', 200), x'00ff', POINT(1, 2), 'é', '18', 'ä', '{}')," +
			" (2" + strings.Repeat(", NULL", 12) + ")",
		"SET column_compression_zlib_wrap = ON", "UPDATE t SET bc = REPEAT(x'00', 300), vc = '' WHERE i1 = 1", "DELETE FROM t WHERE i1 = 2", "DELETE HISTORY FROM t",
		"SET GLOBAL log_bin_compress = ON", "SET GLOBAL log_bin_compress_min_len = 10", "INSERT INTO t (i1, vc, bc) VALUES (5, REPEAT('x', 60), REPEAT(x'01', 400))",
		"SET GLOBAL log_bin_compress = OFF",
	},
}

// TestRowEventsOfServers reads row events of real servers along the whole path and, with -update, keeps them as what
// FuzzRows begins with.
func TestRowEventsOfServers(t *testing.T) {
	var all []rowEvent
	for _, s := range []*testservers.MySQLServer{testservers.SharedMySQL(t), testservers.SharedMariaDBNew(t)} {
		db := s.Database(t)
		for _, metadata := range []string{"FULL", "MINIMAL"} {
			s.MustExec(t, "SET GLOBAL binlog_row_metadata = "+metadata, "FLUSH BINARY LOGS")
			s.MustExec(t, append([]string{"SET NAMES utf8mb4", "SET sql_mode = ''", "USE " + db, "DROP TABLE IF EXISTS t"}, rowTables[s.Program.Flavor]...)...)
			logs := s.MustQuery(t, "SHOW BINARY LOGS")
			s.MustExec(t, "FLUSH BINARY LOGS", "SET GLOBAL binlog_row_metadata = DEFAULT")
			data, err := os.ReadFile(filepath.Join(s.DataDir(), logs[len(logs)-1][0]))
			if err != nil {
				t.Fatal(err)
			}
			events := rowEventsOf(t, data[4:])
			if len(events) < 3 {
				t.Errorf("%s: %d row events", s.Program.Version, len(events))
			}
			all = append(all, events...)
		}
	}
	var file strings.Builder
	bases := seedBases(t, all)
	for _, e := range all {
		if walkRows(t, e, bases, true) == 0 {
			t.Errorf("no row in %x", e.body)
		}
		fmt.Fprintf(&file, "%d %x %x %x\n", e.kind, e.format, e.tableMap, e.body)
	}
	if *update {
		if err := os.WriteFile(rowEventsFile, []byte(file.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// rowEventsOf cuts a log file into its row events.
func rowEventsOf(t *testing.T, data []byte) []rowEvent {
	var out []rowEvent
	var format, tableMap []byte
	for len(data) > 0 {
		size := int(binary.LittleEndian.Uint32(data[9:]))
		e, err := parseHeader(data[:size])
		if err != nil {
			t.Fatal(err)
		}
		body := data[eventHeader : size-4]
		data = data[size:]
		switch _, version, _ := rowsKind(e.kind); {
		case e.kind == replication.FORMAT_DESCRIPTION_EVENT:
			format = body[:len(body)-1] // the kind of checksum
		case e.kind == replication.TABLE_MAP_EVENT:
			tableMap = body
		case version > 0:
			out = append(out, rowEvent{format, tableMap, body, e.kind})
		}
	}
	return out
}

// collationsOfSeeds are the collations that rowTables have, by the servers' numbers.
var collationsOfSeeds = charsets{
	8: {Name: "latin1_swedish_ci", Charset: "latin1", MaxLen: 1}, 63: {Name: "binary", Charset: "binary", MaxLen: 1}, 255: {Name: "utf8mb4_0900_ai_ci", Charset: "utf8mb4", MaxLen: 4},
	54: {Name: "utf16_general_ci", Charset: "utf16", MaxLen: 4}, 45: {Name: "utf8mb4_general_ci", Charset: "utf8mb4", MaxLen: 4}, 46: {Name: "utf8mb4_bin", Charset: "utf8mb4", MaxLen: 4},
	2304: {Name: "utf8mb4_uca1400_ai_ci", Charset: "utf8mb4", MaxLen: 4}, 2560: {Name: "ucs2_uca1400_ai_ci", Charset: "ucs2", MaxLen: 2}, 35: {Name: "ucs2_general_ci", Charset: "ucs2", MaxLen: 2},
}

// seedBases are what the servers would say of rowTables now: MINIMAL metadata needs it, and MariaDB's addresses.
func seedBases(t testing.TB, events []rowEvent) map[bool]*schema.Table {
	t.Helper()
	maria := &schema.Table{Versioned: true}
	for name, text := range map[string]string{"u": "uuid", "a4": "inet4", "a6": "inet6", "y2": "year(2)"} {
		c, err := schema.ParseColumnType(text)
		if err != nil {
			t.Fatal(err)
		}
		c.Name = name
		maria.Columns = append(maria.Columns, c)
	}
	bases := map[bool]*schema.Table{true: maria}
	for _, e := range events {
		d, err := newTableMapDecoder(e.format)
		if err != nil {
			t.Fatal(err)
		}
		m, err := d.decode(e.tableMap[6:])
		if err != nil {
			t.Fatal(err)
		}
		if full(m) {
			if bases[m.mariaDB], err = fromTableMap(m, bases[m.mariaDB], collationsOfSeeds); err != nil {
				t.Fatal(err)
			}
		}
	}
	return bases
}

func readRowEvents(t testing.TB) []rowEvent {
	t.Helper()
	data, err := os.ReadFile(rowEventsFile)
	if err != nil {
		t.Fatal(err)
	}
	var out []rowEvent
	for line := range strings.Lines(string(data)) {
		var e rowEvent
		var kind byte
		var format, tableMap, body string
		if _, err := fmt.Sscan(line, &kind, &format, &tableMap, &body); err != nil {
			t.Fatal(err)
		}
		e.kind = replication.EventType(kind)
		for text, into := range map[string]*[]byte{format: &e.format, tableMap: &e.tableMap, body: &e.body} {
			if *into, err = hex.DecodeString(text); err != nil {
				t.Fatal(err)
			}
		}
		out = append(out, e)
	}
	return out
}

// walkRows takes a row event along the whole path, from its table map to JSON, and returns the number of rows. Values have
// to lie in the image, be valid JSON when rendered, and not depend on what stands behind the image. With strict, nothing
// may fail.
func walkRows(t testing.TB, e rowEvent, bases map[bool]*schema.Table, strict bool) (rows int) {
	t.Helper()
	fail := func(err error) int {
		if strict && err != nil {
			t.Error(err)
		}
		return rows
	}
	d, err := newTableMapDecoder(e.format)
	if err != nil {
		return fail(err)
	}
	if len(e.tableMap) < 6 {
		return fail(ErrCorrupt)
	}
	m, err := d.decode(e.tableMap[6:])
	if err != nil {
		return fail(err)
	}
	base := bases[m.mariaDB]
	table := base
	if err := fits(m, base, collationsOfSeeds); err != nil && full(m) {
		if table, err = fromTableMap(m, base, collationsOfSeeds); err != nil {
			return fail(err)
		}
	}
	layout, err := schema.NewImageLayout(table, m.ColumnType, m.ColumnMeta, schema.Options{})
	if err != nil {
		return fail(err)
	}
	f := inflater{limit: defaultLimits.event}
	h, err := parseRows(e.kind, e.body, &f)
	if err != nil || h.columns != len(table.Columns) || h.partial || len(h.image) > 1<<17 { // much that is small when compressed only takes time
		return fail(err)
	}
	var rendered [2][]byte
	for i, poison := range []byte{0xa5, 0x01} {
		image := append(bytes.Clone(h.image), bytes.Repeat([]byte{poison}, 64)...)
		image = image[:len(h.image):len(h.image)]
		r := &Rows{Table: table, Layout: layout, Op: h.op, image: image, present: h.present}
		rows = 0
		for r.Next() {
			rows++
			for _, row := range [][][]byte{r.Before, r.After} {
				rendered[i] = appendRow(t, rendered[i], layout, row, image, strict)
			}
		}
		if strict && (r.Err() != nil || len(r.image) > 0) {
			t.Error(r.Err(), len(r.image))
		}
		if !bytes.Equal(image, h.image) {
			t.Error("the image was changed")
		}
	}
	if !bytes.Equal(rendered[0], rendered[1]) {
		t.Error("what stands behind the image shows in its values")
	}
	return rows
}

func appendRow(t testing.TB, dst []byte, layout *schema.ImageLayout, row [][]byte, image []byte, strict bool) []byte {
	t.Helper()
	begin := uintptr(unsafe.Pointer(unsafe.SliceData(image)))
	for i, v := range row {
		if v == nil {
			continue
		}
		at := uintptr(unsafe.Pointer(unsafe.SliceData(v)))
		if len(v) > 0 && (at < begin || at+uintptr(cap(v)) > begin+uintptr(len(image))) || cap(v) != len(v) {
			t.Errorf("column %d: %d bytes do not lie in the image", i, len(v))
		}
		mark := len(dst)
		out, err := layout.AppendJSON(dst, i, v)
		switch {
		case err != nil && len(out) != mark:
			t.Errorf("column %d: an error left %q", i, out[mark:])
		case err != nil && strict:
			t.Error(err)
		case err == nil && !json.Valid(out[mark:]):
			t.Errorf("column %d: %x became %q", i, v, out[mark:])
		}
		dst = out
	}
	return dst
}

// FuzzRows takes damaged row events along the whole path.
func FuzzRows(f *testing.F) {
	events := readRowEvents(f)
	bases, formats := seedBases(f, events), map[bool][]byte{}
	for _, e := range events {
		maria := bytes.Contains(e.format[:52], []byte("MariaDB"))
		formats[maria] = e.format
		f.Add(maria, byte(e.kind), e.tableMap, e.body)
	}
	f.Fuzz(func(t *testing.T, maria bool, kind byte, tableMap, body []byte) {
		if _, version, _ := rowsKind(replication.EventType(kind)); version == 0 || len(body) > 1<<16 {
			return
		}
		walkRows(t, rowEvent{formats[maria], tableMap, body, replication.EventType(kind)}, bases, false)
	})
}

// TestDamagedRows is a fixed part of what FuzzRows tries: every event of the servers with each of its bytes changed, and
// cut off behind every third.
func TestDamagedRows(t *testing.T) {
	events := readRowEvents(t)
	bases := seedBases(t, events)
	for _, e := range events {
		if walkRows(t, e, bases, true) == 0 {
			t.Errorf("no rows in %x", e.body)
		}
		for _, part := range []*[]byte{&e.tableMap, &e.body} {
			whole := *part
			for i := range whole {
				*part = bytes.Clone(whole)
				(*part)[i] = []byte{0xff, whole[i] ^ 0x80, whole[i] + 1, 0}[i%4]
				walkRows(t, e, bases, false)
				if i%3 == 0 {
					*part = whole[:i:i]
					walkRows(t, e, bases, false)
				}
			}
			*part = whole
		}
	}
}
