package s3sink

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

// twin is a run and what it must hold.
type twin struct {
	run     *Run
	records []held
}

type held struct {
	sequence int
	data     string
}

// TestRunKeepsCopies cuts, joins, empties and compresses runs at random, many of them alive at once, while the memory of
// whoever added a record is used for something else, and that of runs that are through for other runs.
func TestRunKeepsCopies(t *testing.T) {
	for name, c := range map[string]LayoutConfig{
		"gzip":      {Name: "n", Compression: GZIP},
		"plain":     {Name: "n"},
		"delimited": {Name: "n", Compression: GZIP, AppendDelimiter: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, 4))
			l := mustLayout(c)
			next, scratch := 0, make([]byte, 200_000)
			var all []*twin
			add := func(w *twin) {
				next++
				var given [][]byte
				at := 0
				for range 1 + r.IntN(3)/2 {
					size := []int{r.IntN(900), r.IntN(900), r.IntN(900), 4 << 10, pieceSize, pieceSize + r.IntN(1000)}[r.IntN(6)]
					data := scratch[at : at+size]
					for i := range data {
						data[i] = 'a' + byte((next+i)%26)
					}
					at += size
					given = append(given, data)
					w.records = append(w.records, held{next, string(data)})
				}
				w.run.Add(strconv.Itoa(next), time.Unix(int64(next), 0), given...)
				clear(scratch[:at])
			}
			for range 3000 {
				if len(all) < 3 {
					all = append(all, &twin{run: NewRun(l, 1, nil)})
				}
				at := len(all) - 1 // the last one is open
				w := all[at]
				if r.IntN(3) > 0 {
					add(w)
					continue
				}
				if len(w.records) == 0 {
					continue
				}
				old := all[r.IntN(len(all))]
				switch r.IntN(6) {
				case 0:
					all = append(all, &twin{run: NewRun(l, 1, nil)})
				case 1: // stored
					check(t, old)
					old.run.DropThrough(strconv.Itoa(next))
					old.records = nil
				case 2: // stored in part
					cut := cutAt(r, old)
					old.run.DropThrough(strconv.Itoa(cut))
					old.records = slices.DeleteFunc(old.records, func(h held) bool { return h.sequence <= cut })
				case 3:
					cut := cutAt(r, w)
					tail := &twin{run: w.run.CutBehind(strconv.Itoa(cut))}
					i := slices.IndexFunc(w.records, func(h held) bool { return h.sequence > cut })
					if i >= 0 {
						tail.records = slices.Clone(w.records[i:])
						w.records = w.records[:i]
					}
					all = append(all, tail)
				case 4:
					if at > 0 {
						before := all[at-1]
						before.run.Join(w.run)
						before.records = append(before.records, w.records...)
						all = all[:at]
					}
				case 5:
					check(t, old)
				}
				if len(all) > 8 {
					check(t, all[0])
					all = all[1:]
				}
			}
			for _, w := range all {
				check(t, w)
			}
		})
	}
}

func cutAt(r *rand.Rand, w *twin) int {
	if len(w.records) == 0 {
		return 0
	}
	return w.records[r.IntN(len(w.records))].sequence
}

func check(t *testing.T, w *twin) {
	t.Helper()
	if w.run.Empty() != (len(w.records) == 0) || w.run.Records() != len(w.records) {
		t.Fatalf("it holds %d records, want %d", w.run.Records(), len(w.records))
	}
	if w.run.Empty() {
		return
	}
	var want []byte
	for _, h := range w.records {
		want = append(want, h.data...)
		if w.run.Layout().Config().AppendDelimiter {
			want = append(want, '\n')
		}
	}
	groups := w.run.Groups(testChain)
	var buf bytes.Buffer
	o, err := w.run.Object(t.Context(), testChain, &groups[0], &buf)
	if err != nil {
		t.Fatal(err)
	}
	got := o.Body
	if o.ContentEncoding != "" {
		z, err := gzip.NewReader(bytes.NewReader(o.Body))
		if err != nil {
			t.Fatal(err)
		}
		if got, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got, want) || w.run.Bytes() != int64(len(want)) || o.Meta.Bytes != int64(len(want)) {
		t.Fatalf("%d bytes are stored, want %d, and the run says %d", len(got), len(want), w.run.Bytes())
	}
}

// A body that is exactly as long as the record that stands for it is stored in its place.
func TestBodyOfTheRecordsLength(t *testing.T) {
	dir := t.TempDir()
	record := func(body []byte) []byte {
		return fmt.Appendf(nil, `{"data":{},"metadata":{"record-type":"data","oversized-record":{"location":"file://%s/x.json","bytes":%3d,"sha256":"%x"}}}`,
			dir, len(body), sha256.Sum256(body))
	}
	body := bytes.Repeat([]byte{'b'}, len(record(nil)))
	if err := os.WriteFile(dir+"/x.json", body, 0o600); err != nil {
		t.Fatal(err)
	}
	r := NewRun(mustLayout(LayoutConfig{Name: "n"}), 1, &FileBodies{Dir: dir})
	r.Add("1", testArrival, record(body))
	var buf bytes.Buffer
	o, err := r.Object(t.Context(), testChain, &r.Groups(testChain)[0], &buf)
	if err != nil || !bytes.Equal(o.Body, body) {
		t.Errorf("%q is stored, %v", o.Body, err)
	}
}

// TestReferencesInPartsOfARun: a record that refers to a body is found in whichever part of a run it is, also behind records
// that were known to be whole.
func TestReferencesInPartsOfARun(t *testing.T) {
	dir := t.TempDir()
	const body = "{\"body\":1}\n"
	if err := os.WriteFile(dir+"/x.json", []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	reference := fmt.Appendf(nil, `{"data":{},"metadata":{"record-type":"data","oversized-record":{"location":"file://%s/x.json","bytes":%d,"sha256":"%x"}}}`,
		dir, len(body), sha256.Sum256([]byte(body)))
	fill := func() *Run {
		r := NewRun(mustLayout(LayoutConfig{Name: "n"}), 1, &FileBodies{Dir: dir})
		for i := range 6 {
			n := r.Prepare(fmt.Sprint(i), testArrival, fmt.Appendf(nil, `{"data":{"id":%d},"metadata":{}}`+"\n", i))
			if i == 1 || i == 4 {
				n = r.Prepare(fmt.Sprint(i), testArrival, reference)
			} else {
				n.Whole = true
			}
			r.Append(n)
		}
		return r
	}
	content := func(r *Run) string {
		var buf bytes.Buffer
		o, err := r.Object(t.Context(), testChain, &r.Groups(testChain)[0], &buf)
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(o.Body)) != r.Bytes() || o.Meta.Bytes < r.Bytes() {
			t.Errorf("%d bytes are stored; the run says %d and its metadata %d", len(o.Body), r.Bytes(), o.Meta.Bytes)
		}
		return string(o.Body)
	}
	whole := func(i int) string { return fmt.Sprintf(`{"data":{"id":%d},"metadata":{}}`+"\n", i) }
	head, tail := whole(0)+body+whole(2), whole(3)+body+whole(5)
	if got := content(fill()); got != head+tail {
		t.Errorf("all: %s", got)
	}
	r := fill()
	behind := r.CutBehind("2")
	if got := content(r); got != head {
		t.Errorf("the head: %s", got)
	}
	if got := content(behind); got != tail {
		t.Errorf("the tail: %s", got)
	}
	r.Join(behind)
	if got := content(r); got != head+tail {
		t.Errorf("joined again: %s", got)
	}
	r.DropThrough("2")
	if got := content(r); got != tail {
		t.Errorf("without the head: %s", got)
	}
}
