package stored

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var compressions = []s3sink.Compression{s3sink.Uncompressed, s3sink.GZIP, s3sink.ZIP, s3sink.Snappy, s3sink.HadoopSnappy, s3sink.ZSTD}

var arrival = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

// store puts a run of records into dir and gives the keys of its objects.
func store(t *testing.T, dir string, c s3sink.LayoutConfig, records ...string) (keys []string) {
	t.Helper()
	c.Name = "n"
	layout, err := s3sink.NewLayout(c)
	if err != nil {
		t.Fatal(err)
	}
	run := s3sink.NewRun(layout, 1, nil)
	for i, r := range records {
		run.Add(fmt.Sprint(1000+i), arrival, []byte(r))
	}
	chain := s3sink.Chain{Stream: "tickets", Created: arrival, Shard: "shardId-000000000000"}
	buf := new(bytes.Buffer)
	groups := run.Groups(chain)
	for i := range groups {
		o, err := run.Object(t.Context(), chain, &groups[i], buf)
		if err != nil {
			t.Fatal(err)
		}
		if err := s3sink.NewFile(dir).Put(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}

// read gives the records of an object.
func read(t *testing.T, dir, key string) (records []string, err error) {
	t.Helper()
	f := Folder{dir}
	meta, err := f.Describe(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	in, err := OpenRecords(t.Context(), f, key, meta)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	for {
		data, err := in.Next()
		if errors.Is(err, io.EOF) {
			return records, nil
		}
		if err != nil {
			return records, err
		}
		records = append(records, string(data))
	}
}

func someRecords() (records []string) {
	for i := range 6000 {
		records = append(records, fmt.Sprintf(`{"data":{"id":%d,"v":"a \"brace\" } and a \\"},"metadata":{"x":[1,{"y":"]"}]}}`, i))
	}
	return append(records, "{\n\t\"data\":\t{\n\t\t\"v\":\t\""+strings.Repeat("long ", 200_000)+"\"\n\t}\n}")
}

// TestReadsEveryForm reads back what is stored in every compression, with delimiters and without.
func TestReadsEveryForm(t *testing.T) {
	want := someRecords()
	for _, c := range compressions {
		for _, delimit := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %v", c, delimit), func(t *testing.T) {
				dir := t.TempDir()
				keys := store(t, dir, s3sink.LayoutConfig{Compression: c, AppendDelimiter: delimit}, want...)
				got, err := read(t, dir, keys[0])
				if err != nil || len(got) != len(want) {
					t.Fatalf("%d records of %d: %v", len(got), len(want), err)
				}
				for i := range want {
					if got[i] != want[i] {
						t.Fatalf("record %d is %.100q", i, got[i])
					}
				}
			})
		}
	}
}

// TestDamage finds a byte that was changed, lost or doubled, in every form.
func TestDamage(t *testing.T) {
	for _, c := range compressions {
		for name, damage := range map[string]func([]byte) []byte{
			"changed": func(b []byte) []byte { b[len(b)/2] ^= 4; return b },
			"cut off": func(b []byte) []byte { return b[:len(b)-9] },
			"doubled": func(b []byte) []byte { return append(b, b...) },
		} {
			t.Run(string(c)+" "+name, func(t *testing.T) {
				if c == s3sink.ZIP && name == "doubled" {
					return // an archive is read from its end: what stands before it is none of its
				}
				dir := t.TempDir()
				key := store(t, dir, s3sink.LayoutConfig{Compression: c}, someRecords()[:600]...)[0]
				file := filepath.Join(dir, key)
				body, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, damage(body), 0o600); err != nil {
					t.Fatal(err)
				}
				_, err = read(t, dir, key)
				if _, ok := errors.AsType[*DamageError](err); !ok || !strings.Contains(err.Error(), key) {
					t.Errorf("the error is %v", err)
				}
			})
		}
	}
}

// TestErrorDocuments reads the record that an error document holds.
func TestErrorDocuments(t *testing.T) {
	dir := t.TempDir()
	record := `{"data":{"id":1},"metadata":{"record-type":"data","operation":"insert","schema-name":"a","table-name":"t","timestamp":"2026-03-01T10:00:00.000000Z"}}`
	keys := store(t, dir, s3sink.LayoutConfig{
		Compression: s3sink.GZIP, Partitioned: true, Prefix: "p/!{partitionKeyFromQuery:missing}/", ErrorOutputPrefix: "e/!{firehose:error-output-type}/", Query: `{missing: .data.nothing}`,
	}, record)
	got, err := read(t, dir, keys[0])
	if err != nil || len(got) != 1 || got[0] != record || !strings.HasPrefix(keys[0], "e/") {
		t.Errorf("%s holds %q, %v", keys, got, err)
	}
}

// TestForeign tells what is not ours from what is.
func TestForeign(t *testing.T) {
	dir := t.TempDir()
	keys := store(t, dir, s3sink.LayoutConfig{Compression: s3sink.ZSTD, Prefix: "x/"}, `{"data":{}}`)
	if err := os.WriteFile(filepath.Join(dir, "x", ".hidden"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var listed []string
	if err := (Folder{dir}).List(t.Context(), "x/", func(i Item) error { listed = append(listed, i.Key); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(listed) != 1 || listed[0] != keys[0] {
		t.Errorf("listed %q, want %q", listed, keys)
	}
	if err := (Folder{filepath.Join(dir, "none")}).List(t.Context(), "", nil); err != nil {
		t.Error(err)
	}
}
