package schema

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

var update = flag.Bool("update", false, "write charsets.bin anew from the MySQL server")

func TestMain(m *testing.M) { testservers.Main(m) }

// mapped is what a server says about one code.
type mapped struct{ code, char uint32 }

// askCharset asks a server which character each possible code of a character set is.
func askCharset(t *testing.T, s *testservers.MySQLServer, db, name string) []mapped {
	t.Helper()
	rows := s.MustQuery(t, fmt.Sprintf(
		"SELECT HEX(b), HEX(CONVERT(CONVERT(b USING %s) USING utf32)) FROM %s.codes WHERE LENGTH(b) <= %d AND CONVERT(b USING %[1]s) IS NOT NULL ORDER BY LENGTH(b), b",
		name, db, charsets[name].maxBytes))
	var out []mapped
	single := map[string]bool{}
	for _, r := range rows {
		if len(r[1]) != 8 || single[r[0][:2]] && len(r[0]) > 2 {
			continue
		}
		code, err := strconv.ParseUint(r[0], 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		char, err := strconv.ParseUint(r[1], 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		if char == '?' && code != '?' {
			continue
		}
		if len(r[0]) == 2 {
			single[r[0]] = true
		}
		out = append(out, mapped{uint32(code), uint32(char)})
	}
	return out
}

// fillCodes makes a table of all codes that any character set could use.
func fillCodes(t *testing.T, s *testservers.MySQLServer, db string) {
	t.Helper()
	var all []string
	for a := range 256 {
		all = append(all, fmt.Sprintf("%02x", a))
	}
	for a := 0x80; a < 256; a++ {
		for b := 0x30; b < 256; b++ {
			all = append(all, fmt.Sprintf("%02x%02x", a, b))
		}
	}
	for b := 0xa1; b < 0xff; b++ {
		for c := 0xa1; c < 0xff; c++ {
			all = append(all, fmt.Sprintf("8f%02x%02x", b, c))
		}
	}
	for a := 0x81; a <= 0x84; a++ {
		for b := 0x30; b <= 0x39; b++ {
			for c := 0x81; c <= 0xfe; c++ {
				for d := 0x30; d <= 0x39; d++ {
					all = append(all, fmt.Sprintf("%02x%02x%02x%02x", a, b, c, d))
				}
			}
		}
	}
	s.MustExec(t, "CREATE TABLE "+db+".codes (b VARBINARY(4) PRIMARY KEY)")
	for len(all) > 0 {
		n := min(len(all), 10000)
		s.MustExec(t, "INSERT INTO "+db+".codes VALUES (x'"+strings.Join(all[:n], "'),(x'")+"')")
		all = all[n:]
	}
}

// inTable are the names of the character sets that charsets.bin has to have, in order.
func inTable(t *testing.T, s *testservers.MySQLServer) []string {
	t.Helper()
	var names []string
	for _, r := range s.MustQuery(t, "SELECT CHARACTER_SET_NAME, MAXLEN FROM information_schema.CHARACTER_SETS ORDER BY 1") {
		switch r[0] {
		case "utf8mb4", "utf8mb3", "utf8", "ucs2", "utf16", "utf16le", "utf32", "ascii", "binary":
			continue
		}
		if got := fmt.Sprint(charsets[r[0]].maxBytes); got != r[1] {
			t.Errorf("character set %s has characters of %s bytes, the table says %s", r[0], r[1], got)
		}
		names = append(names, r[0])
	}
	return names
}

// TestCharsetTables compares the embedded tables with what the server itself makes of every code.
func TestCharsetTables(t *testing.T) {
	for name, s := range map[string]*testservers.MySQLServer{
		"mysql": testservers.SharedMySQL(t), "mariadb": testservers.SharedMariaDB(t),
	} {
		t.Run(name, func(t *testing.T) {
			db := s.Database(t)
			fillCodes(t, s, db)
			var file []byte
			for _, name := range inTable(t, s) {
				asked := askCharset(t, s, db, name)
				if *update {
					file = appendPacked(file, name, asked)
					continue
				}
				compareTable(t, name, asked)
			}
			if *update && s == testservers.SharedMySQL(t) {
				if err := os.WriteFile("charsets.bin", file, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func compareTable(t *testing.T, name string, asked []mapped) {
	t.Helper()
	table, err := loadTable(name)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	wrong := 0
	for _, m := range asked {
		code := bytes.TrimLeft(binary.BigEndian.AppendUint32(nil, m.code), "\x00")
		if m.code == 0 {
			code = []byte{0}
		}
		if r, size := table.next(code); uint32(r) != m.char || size != len(code) {
			if wrong++; wrong <= 5 {
				t.Errorf("%s: %s is %U (%d bytes) here, %U on the server", name, hex.EncodeToString(code), r, size, m.char)
			}
		}
	}
	if have := table.count(); have != len(asked) {
		t.Errorf("%s: %d characters here, %d on the server", name, have, len(asked))
	}
	if wrong > 0 {
		t.Errorf("%s: %d of %d characters differ", name, wrong, len(asked))
	}
}

// count is the number of characters in the table.
func (t *charTable) count() int {
	n := 0
	for _, table := range [][]uint16{t.one[:], t.two, t.three, t.four} {
		for _, r := range table {
			if r != undefined {
				n++
			}
		}
	}
	return n
}

func appendPacked(file []byte, name string, asked []mapped) []byte {
	var runs []byte
	lastCode, lastChar := uint32(0), uint32(0)
	for i := 0; i < len(asked); {
		n := 1
		for i+n < len(asked) && asked[i+n].code == asked[i].code+uint32(n) && asked[i+n].char == asked[i].char+uint32(n) {
			n++
		}
		runs = binary.AppendUvarint(runs, uint64(asked[i].code-lastCode))
		runs = binary.AppendUvarint(runs, uint64(n))
		runs = binary.AppendVarint(runs, int64(asked[i].char)-int64(lastChar))
		lastCode, lastChar = asked[i].code, asked[i].char
		i += n
	}
	var packed bytes.Buffer
	w, _ := flate.NewWriter(&packed, flate.BestCompression)
	_, _ = w.Write(runs)
	_ = w.Close()
	file = binary.AppendUvarint(file, uint64(len(name)))
	file = append(file, name...)
	file = binary.AppendUvarint(file, uint64(packed.Len()))
	return append(file, packed.Bytes()...)
}
