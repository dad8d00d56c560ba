package s3sink

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// expand undoes compress with independent code where there is some.
func expand(t *testing.T, c Compression, body []byte) []byte {
	t.Helper()
	var out []byte
	var err error
	switch c {
	case Uncompressed:
		return body
	case GZIP:
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(body)); err == nil {
			out, err = io.ReadAll(z)
		}
	case ZIP:
		var z *zip.Reader
		z, err = zip.NewReader(bytes.NewReader(body), int64(len(body)))
		if err == nil && len(z.File) != 1 {
			err = fmt.Errorf("%d entries", len(z.File))
		}
		if err == nil {
			f, openErr := z.File[0].Open()
			if openErr != nil {
				t.Fatal(openErr)
			}
			out, err = io.ReadAll(f)
		}
	case ZSTD:
		var d *zstd.Decoder
		d, err = zstd.NewReader(nil)
		if err == nil {
			defer d.Close()
			out, err = d.DecodeAll(body, nil)
		}
	case Snappy:
		rest, ok := bytes.CutPrefix(body, []byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"))
		if !ok {
			t.Fatalf("header is %q", body[:16])
		}
		for len(rest) > 0 {
			n := binary.BigEndian.Uint32(rest)
			block, err := snappy.Decode(nil, rest[4:4+n])
			if err != nil {
				t.Fatal(err)
			}
			out, rest = append(out, block...), rest[4+n:]
		}
	case HadoopSnappy:
		for rest := body; len(rest) > 0; {
			plain, n := binary.BigEndian.Uint32(rest), binary.BigEndian.Uint32(rest[4:])
			block, err := snappy.Decode(nil, rest[8:8+n])
			if err != nil || uint32(len(block)) != plain {
				t.Fatal(err, len(block), plain)
			}
			out, rest = append(out, block...), rest[8+n:]
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestObjectForms(t *testing.T) {
	for _, c := range compressions {
		for _, delimit := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s delimit %v", c, delimit), func(t *testing.T) {
				layout, err := NewLayout(LayoutConfig{Name: "n", Compression: c, AppendDelimiter: delimit})
				if err != nil {
					t.Fatal(err)
				}
				run := NewRun(layout, 3, nil)
				var want strings.Builder
				for i := range 9000 { // more than one block of every format
					line := fmt.Sprintf(`{"row":%d,"text":"some text that repeats"}`, i)
					if i%3 == 0 {
						line += "\n"
					}
					run.Add(fmt.Sprint(1000+i), testArrival, []byte(line))
					want.WriteString(line)
					if delimit && i%3 != 0 {
						want.WriteByte('\n')
					}
				}
				buf := new(bytes.Buffer)
				o, err := run.Object(t.Context(), testChain, &run.Groups(testChain)[0], buf)
				if err != nil {
					t.Fatal(err)
				}
				if got := expand(t, c, o.Body); string(got) != want.String() {
					t.Errorf("%d bytes come back as %d others", want.Len(), len(got))
				}
				sum := crc32.ChecksumIEEE([]byte(want.String()))
				wantMeta := Meta{Stream: "tickets", StreamCreated: 1_760_000_000, Shard: "shardId-000000000003", First: "1000", Last: "9999",
					Records: 9000, Bytes: int64(want.Len()), CRC32: fmt.Sprintf("%08x", sum), Layout: 3}
				if o.Meta != wantMeta {
					t.Errorf("meta %+v, want %+v", o.Meta, wantMeta)
				}
				if run.Bytes() != int64(want.Len()) {
					t.Errorf("the run counts %d bytes, the object has %d", run.Bytes(), want.Len())
				}
				if back, err := MetaFromMap(o.Meta.Map()); err != nil || back != o.Meta {
					t.Errorf("meta comes back from a map as %+v, %v", back, err)
				}
				if c == GZIP {
					if back, err := MetaFromGzip(bytes.NewReader(o.Body[:4096])); err != nil || back != o.Meta {
						t.Errorf("meta comes back from the gzip header as %+v, %v", back, err)
					}
				}
				first := bytes.Clone(o.Body)
				again, err := run.Object(t.Context(), testChain, &run.Groups(testChain)[0], buf)
				if err != nil || !bytes.Equal(first, again.Body) {
					t.Errorf("the same run gives other bytes the second time: %v", err)
				}
			})
		}
	}
}

// TestMetaNames holds the names that docs/FORMATS.md promises to readers of the objects.
func TestMetaNames(t *testing.T) {
	m := Meta{Stream: "tickets", StreamCreated: 1_760_000_000, Shard: "shardId-000000000003", First: "1000", Last: "9999",
		Records: 9000, Bytes: 123456, CRC32: "0badcafe", Layout: 3}
	want := map[string]string{
		"binlogstreamer-format": "1", "binlogstreamer-stream": "tickets", "binlogstreamer-stream-created": "1760000000",
		"binlogstreamer-shard": "shardId-000000000003", "binlogstreamer-first": "1000", "binlogstreamer-last": "9999",
		"binlogstreamer-count": "9000", "binlogstreamer-bytes": "123456", "binlogstreamer-crc32": "0badcafe", "binlogstreamer-layout": "3",
	}
	if diff := cmp.Diff(want, m.Map()); diff != "" {
		t.Error(diff)
	}
}

func TestMetaFaults(t *testing.T) {
	good := Meta{Stream: "s", Shard: "x", First: "1", Last: "2"}
	for name, change := range map[string]func(map[string]string){
		"another format": func(m map[string]string) { m[keyFormat] = "2" },
		"no last":        func(m map[string]string) { delete(m, keyLast) },
		"no number":      func(m map[string]string) { m[keyLast] = "12x" },
		"bad count":      func(m map[string]string) { m[keyCount] = "many" },
	} {
		m := good.Map()
		change(m)
		if _, err := MetaFromMap(m); err == nil || errors.Is(err, ErrNoMeta) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := MetaFromMap(map[string]string{"other": "x"}); !errors.Is(err, ErrNoMeta) {
		t.Error(err)
	}
	var plain bytes.Buffer
	w := gzip.NewWriter(&plain)
	w.Extra = []byte("XX\x01\x00y")
	w.Close()
	if _, err := MetaFromGzip(&plain); !errors.Is(err, ErrNoMeta) {
		t.Error(err)
	}
}

func TestDropThrough(t *testing.T) {
	for _, tc := range []struct {
		through string
		want    []string
	}{{"5", []string{"a", "b", "c", "d", "e"}}, {"8", []string{"a", "b", "c", "d", "e"}}, {"9", []string{"d", "e"}}, {"10", []string{"e"}}, {"50", []string{"e"}}, {"100", nil}, {"2000", nil}} {
		r := NewRun(mustLayout(LayoutConfig{Name: "n", AppendDelimiter: true}), 1, nil)
		r.Add("9", testArrival, []byte("a"), []byte("b"), []byte("c"))
		r.Add("10", testArrival.Add(time.Second), []byte("d"))
		r.Add("100", testArrival.Add(2*time.Second), []byte("e"))
		r.DropThrough(tc.through)
		var out bytes.Buffer
		if err := r.writeTo(t.Context(), &out, &Group{}); err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Fields(out.String()), strings.Join(tc.want, " "); strings.Join(got, " ") != want {
			t.Errorf("through %s: left %v, want %v", tc.through, got, want)
		}
		if r.Bytes() != int64(out.Len()) || r.Records() != len(tc.want) || r.Empty() != (len(tc.want) == 0) {
			t.Errorf("through %s: %d bytes, %d records, empty %v", tc.through, r.Bytes(), r.Records(), r.Empty())
		}
		if !r.Empty() {
			r.Add("101", testArrival, []byte("f"))
			if r.Last() != "101" || r.Records() != len(tc.want)+1 {
				t.Errorf("through %s: adding gives last %s, %d records", tc.through, r.Last(), r.Records())
			}
		}
	}
}

func FuzzMetaFromGzip(f *testing.F) {
	m := Meta{Stream: "s", Shard: "x", First: "1", Last: "2"}
	var out bytes.Buffer
	_ = compressGzip(&out, &m, func(io.Writer) error { return nil })
	f.Add(out.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := MetaFromGzip(bytes.NewReader(data)); err == nil && (m.Last == "" || m.Shard == "") {
			t.Errorf("accepted %+v", m)
		}
	})
}

func BenchmarkCompress(b *testing.B) {
	fill := NewRun(mustLayout(LayoutConfig{Name: "n"}), 1, nil)
	for i := range 10000 {
		fill.Add(fmt.Sprint(1_000_000+i), testArrival, fmt.Appendf(nil, "{\n\t\"data\":\t{\n\t\t\"id\":\t%d,\n\t\t\"sporting_event_ticket_id\":\t%d,\n\t\t\"purchased_by_id\":\t%d,\n\t\t\"transaction_date_time\":\t\"2026-01-02T03:04:05Z\",\n\t\t\"purchase_price\":\t%d.%d\n\t},\n\t\"metadata\":\t{\n\t\t\"timestamp\":\t\"2026-01-02T03:04:05.%06dZ\",\n\t\t\"record-type\":\t\"data\",\n\t\t\"operation\":\t\"insert\",\n\t\t\"partition-key-type\":\t\"primary-key\",\n\t\t\"schema-name\":\t\"dms_sample\",\n\t\t\"table-name\":\t\"ticket_purchase_hist\",\n\t\t\"transaction-id\":\t%d,\n\t\t\"stream-position\":\t\"mysql-bin.000123:%d\"\n\t}\n}\n", i, i*7919%100000, i*104729%3000, i%100, i%99, i, i*3000, i*321))
	}
	for _, c := range compressions {
		layout, err := NewLayout(LayoutConfig{Name: "n", Compression: c})
		if err != nil {
			b.Fatal(err)
		}
		run := NewRun(layout, 1, nil)
		run.Join(fill)
		b.Run(string(c), func(b *testing.B) {
			b.SetBytes(run.Bytes())
			buf := new(bytes.Buffer)
			for b.Loop() {
				if _, err := run.Object(b.Context(), testChain, &run.Groups(testChain)[0], buf); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(run.Bytes())/float64(buf.Len()), "ratio")
		})
	}
}
