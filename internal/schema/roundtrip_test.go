package schema_test

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/binlogstreamer/binlogstreamer/internal/dbserver"
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
	all := map[string]string{}
	var lines []rendered
	for _, s := range everyServer(t) {
		for _, v := range throughBoth(t, s, columnCases) {
			key := strconv.Quote(v.definition) + "\t" + strconv.Quote(v.literal)
			if before, known := all[key]; !known {
				lines = append(lines, v)
				all[key] = v.json
			} else if before != v.json {
				t.Errorf("%s, %s: %s on %s, %s on another server", v.definition, v.literal, v.json, s.Program.Version, before)
			}
			if want := golden[key]; shortened(v.json) != want && !update {
				t.Errorf("%s, %s: %s on %s, want %s", v.definition, v.literal, v.json, s.Program.Version, want)
			}
		}
	}
	if update && !t.Failed() {
		writeValues(t, lines)
	}
}

// TestCompressedColumns puts values through MariaDB's compressed columns in every way that it stores them.
func TestCompressedColumns(t *testing.T) {
	for _, s := range everyServer(t)[1:] {
		want := throughBoth(t, s, compressedCases)
		for _, setup := range [][]string{
			{"SET column_compression_zlib_wrap = ON"}, {"SET column_compression_threshold = 0"}, {"SET column_compression_threshold = 4294967295"},
			{"SET column_compression_zlib_level = 9", "SET column_compression_zlib_strategy = FIXED"},
		} {
			if diff := cmp.Diff(want, throughBoth(t, s, compressedCases, setup...), cmp.AllowUnexported(rendered{})); diff != "" {
				t.Errorf("%s, %v: %s", s.Program.Version, setup, diff)
			}
		}
		for _, v := range want {
			if v.literal == "REPEAT('abcdefgh', 100000)" && v.json != `"`+strings.Repeat("abcdefgh", 100000)+`"` {
				t.Errorf("800,000 bytes became %d", len(v.json))
			}
		}
	}
}

// TestTableMapAlone reads rows of every type that were written before their tables changed, with what the log says of their
// columns alone.
func TestTableMapAlone(t *testing.T) {
	for _, s := range everyServer(t) {
		s.MustExec(t, "SET GLOBAL binlog_row_metadata = FULL")
		cases := slices.DeleteFunc(slices.Concat(columnCases, compressedCases), func(c columnCase) bool {
			return s.Program.Flavor == dbserver.MariaDB && mariaDBBinary.MatchString(c.definition) // which of these it is, the log alone does not say
		})
		throughBothAndAlter(t, s, cases, true, nil)
		s.MustExec(t, "SET GLOBAL binlog_row_metadata = DEFAULT")
	}
}

var mariaDBBinary = regexp.MustCompile(`^(BINARY\((4|16)\)|UUID|INET4|INET6)`)

// TestInet6Words has every pattern of zero words in an address, with words in the others that decide how it is written.
func TestInet6Words(t *testing.T) {
	c := columnCase{definition: "INET6", only: onMariaDB}
	for pattern := range 1 << 8 {
		for _, word := range []string{"ffff", "1", "a00"} {
			words := make([]string, 8)
			for i := range words {
				if words[i] = "0"; pattern>>i&1 == 1 {
					words[i] = word
				}
			}
			c.values = append(c.values, "'"+strings.Join(words, ":")+"'")
		}
	}
	for _, s := range everyServer(t)[1:] {
		if got := throughBoth(t, s, []columnCase{c}); len(got) != len(c.values) {
			t.Errorf("%s: %d values", s.Program.Version, len(got))
		}
	}
}

// everyServer is a server of each kind, the one with the most types first.
func everyServer(t *testing.T) []*testservers.MySQLServer {
	t.Helper()
	return []*testservers.MySQLServer{testservers.SharedMySQL(t), testservers.SharedMariaDBNew(t), testservers.SharedMariaDB(t)}
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
	for _, s := range everyServer(t) {
		t.Run(s.Program.Version, func(t *testing.T) {
			got := throughBoth(t, s, []columnCase{
				{"DOUBLE", values, ""}, {"FLOAT", floats, ""}, {"JSON", documents, onMySQL}, {"DOUBLE(200,3)", values[:100], ""},
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

// shortened keeps the file small: of a long value it has the start and a checksum.
func shortened(json string) string {
	if len(json) <= 2000 {
		return json
	}
	return fmt.Sprintf("%.100s… %d bytes, SHA-256 %x", json, len(json), sha256.Sum256([]byte(json)))
}

func writeValues(t *testing.T, values []rendered) {
	t.Helper()
	var b bytes.Buffer
	for _, v := range values {
		fmt.Fprintf(&b, "%q\t%q\t%s\n", v.definition, v.literal, shortened(v.json))
	}
	if err := os.WriteFile(valuesFile, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
