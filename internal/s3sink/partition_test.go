package s3sink

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite golden files")

// change is a record of a table.
func change(schema, table, operation, data, commit string) []byte {
	return fmt.Appendf(nil, `{"data":%s,"metadata":{"timestamp":"2026-01-02T03:04:05.000000Z","record-type":"data","operation":%q,"partition-key-type":"primary-key","schema-name":%q,"table-name":%q,"transaction-id":1,"commit-timestamp":%q}}`+"\n",
		data, operation, schema, table, commit)
}

func partitioned(prefix, query string) LayoutConfig {
	return LayoutConfig{Name: "n", Prefix: prefix, Partitioned: true, Query: query, ErrorOutputPrefix: "errors/!{firehose:error-output-type}/"}
}

// prefixOf is the prefix of the object that a record alone makes, and the message of its error document.
func prefixOf(t testing.TB, c LayoutConfig, data []byte) (prefix, message string) {
	t.Helper()
	r := NewRun(mustLayout(c), 1, nil)
	r.Add("1", testArrival, data)
	groups := r.Groups(testChain)
	if len(groups) != 1 {
		t.Fatalf("one record makes %d objects", len(groups))
	}
	if groups[0].failed {
		message = r.failure(&r.entries[0], data).Error()
	}
	at := strings.LastIndex(groups[0].key, c.Name+"-1-2026-")
	return groups[0].key[:at], message
}

func TestPartition(t *testing.T) {
	const commit = "2026-01-31T21:59:59.999999Z"
	row := change("dms_sample", "seat", "update", `{"id":12345678901234567890,"name":"Zürich","no":null,"deep":{"kind":"x"},"flag":true,"price":1.50,"list":[1],"empty":"","slash":"a/b"}`, commit)
	const failed = "errors/processing-failed/"
	for _, tc := range []struct {
		name, prefix, query string
		data                []byte
		want, message       string
	}{
		{"table", "!{partitionKeyFromQuery:schema}/!{partitionKeyFromQuery:table}/", "", row, "dms_sample/seat/", ""},
		{"operation and arrival", "!{partitionKeyFromQuery:operation}/!{timestamp:yyyy/MM/dd/HH}/", "", row, "update/2026/01/31/23/", ""},
		{"query", "kind=!{partitionKeyFromQuery:kind}/", "{kind: .data.deep.kind}", row, "kind=x/", ""},
		{"query and table", "!{partitionKeyFromQuery:table}/!{partitionKeyFromQuery:town}/", `{"town": .data.name | ascii_downcase}`, row, "seat/zürich/", ""},
		{"number as it is written", "!{partitionKeyFromQuery:id}/", "{id: .data.id}", row, "12345678901234567890/", ""},
		{"truth value", "!{partitionKeyFromQuery:f}/", "{f: .data.flag}", row, "true/", ""},
		{"key twice", "!{partitionKeyFromQuery:f}/!{partitionKeyFromQuery:f}/", "{f: .data.flag}", row, "true/true/", ""},
		{"value with a slash", "!{partitionKeyFromQuery:s}/", "{s: .data.slash}", row, "a/b/", ""},
		{"computed name", "!{partitionKeyFromQuery:x}/", `{("x"): .data.deep.kind}`, row, "x/", ""},
		{"null", "!{partitionKeyFromQuery:v}/", "{v: .data.no}", row, failed, "null or missing"},
		{"empty", "!{partitionKeyFromQuery:v}/", "{v: .data.empty}", row, failed, "is empty"},
		{"object", "!{partitionKeyFromQuery:v}/", "{v: .data.deep}", row, failed, "an object"},
		{"query fails", "!{partitionKeyFromQuery:v}/", "{v: (.data.name + 1)}", row, failed, "query fails"},
		{"query without an end", "!{partitionKeyFromQuery:v}/", "def f: f; {v: f}", row, failed, "not at its end after 1000000 steps"},
		{"query without an end behind its object", "!{partitionKeyFromQuery:v}/", "{v: 1}, (def f: f; f)", row, failed, "not at its end"},
		{"query of ever deeper calls", "!{partitionKeyFromQuery:v}/", "def f: 1 + f; {v: f}", row, failed, "not at its end"},
		{"query of an endless list", "!{partitionKeyFromQuery:v}/", "{v: [repeat(1)]}", row, failed, "not at its end"},
		{"query of many steps", "!{partitionKeyFromQuery:v}/", "{v: reduce range(50000) as $i (0; . + $i)}", row, "1249975000/", ""},
		{"nothing", "!{partitionKeyFromQuery:v}/", "{v: .data.list[5:][]}", row, failed, "makes nothing"},
		{"several", "!{partitionKeyFromQuery:v}/", "{v: (1, 2)}", row, failed, "more than one"},
		{"computed name that is missing", "!{partitionKeyFromQuery:v}/", `{("x"): 1}`, row, failed, "null or missing"},
		{"no object", "!{partitionKeyFromQuery:v}/", ".data.id", row, failed, "no object"},
		{"no JSON", "!{partitionKeyFromQuery:v}/", "{v: .a}", []byte("hello"), failed, "not JSON"},
		{"two documents", "!{partitionKeyFromQuery:v}/", "{v: .a}", []byte(`{"a":1}{"a":2}`), failed, "not one JSON document"},
		{"no metadata", "!{partitionKeyFromQuery:table}/", "", []byte(`{"data":{}}`), failed, "no metadata object"},
		{"no table", "!{partitionKeyFromQuery:table}/", "", change("s", "", "insert", "{}", commit), failed, "is empty"},
		{"up", "!{partitionKeyFromQuery:table}/", "", change("s", "..", "insert", "{}", commit), failed, `segment ".."`},
		{"up in two halves", "a/!{partitionKeyFromQuery:schema}!{partitionKeyFromQuery:table}/", "", change(".", ".", "insert", "{}", commit), failed, "segment"},
		{"our own folder", "!{partitionKeyFromQuery:table}/", "", change("s", ".binlogstreamer", "insert", "{}", commit), failed, "own files"},
		{"from the root", "!{partitionKeyFromQuery:table}/", "", change("s", "/etc", "insert", "{}", commit), failed, "empty path segment"},
		{"control character", "!{partitionKeyFromQuery:table}/", "", change("s", "a\nb", "insert", "{}", commit), failed, "control character"},
		{"512 characters", "!{partitionKeyFromQuery:table}/!{partitionKeyFromQuery:schema}/", "", change(strings.Repeat("é", 115), strings.Repeat("a", 255)+"/"+strings.Repeat("b", 139), "insert", "{}", commit),
			strings.Repeat("a", 255) + "/" + strings.Repeat("b", 139) + "/" + strings.Repeat("é", 115) + "/", ""},
		{"513 characters", "!{partitionKeyFromQuery:table}/!{partitionKeyFromQuery:schema}/", "", change(strings.Repeat("é", 116), strings.Repeat("a", 255)+"/"+strings.Repeat("b", 139), "insert", "{}", commit), failed, "513 characters"},
		{"long segment", "!{partitionKeyFromQuery:table}/", "", change("s", strings.Repeat("a", 256), "insert", "{}", commit), failed, "256 bytes"},
		{"long key", "!{partitionKeyFromQuery:table}/", "", change("s", strings.Repeat(strings.Repeat("語", 80)+"/", 5)+strings.Repeat("語", 80), "insert", "{}", commit), failed, "1024 are allowed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, message := prefixOf(t, partitioned(tc.prefix, tc.query), tc.data)
			if got != tc.want || (message == "") != (tc.message == "") || !strings.Contains(message, tc.message) {
				t.Errorf("prefix %q, message %q; want %q, %q", got, message, tc.want, tc.message)
			}
		})
	}
}

func TestPartitionByCommitTime(t *testing.T) {
	c := LayoutConfig{Name: "n", PartitionTime: ByCommit, TimeZone: "Asia/Kolkata"}
	r := NewRun(mustLayout(c), 1, nil)
	r.Add("1", testArrival, change("s", "t", "insert", "{}", "2026-01-31T18:00:00.000000Z"))
	r.Add("2", testArrival.Add(time.Second), change("s", "t", "insert", "{}", "2026-01-31T18:29:59.999999Z"), change("s", "t", "insert", "{}", "2026-01-31T18:30:00.000000Z"))
	r.Add("3", testArrival.Add(time.Hour), []byte(`{"data":{},"metadata":{"record-type":"data","operation":"load"}}`), []byte("no record"))
	var keys []string
	for _, g := range r.Groups(testChain) {
		prefix, rest, _ := strings.Cut(g.key, "n-1-")
		if !strings.HasPrefix(rest, "2026-02-01-04-35-09-") { // the first record's arrival, in that zone
			t.Errorf("key %s", g.key)
		}
		keys = append(keys, prefix)
	}
	// What has no commit time counts by its arrival.
	if got, want := strings.Join(keys, " "), "2026/01/31/23/ 2026/02/01/00/ 2026/02/01/05/"; got != want {
		t.Errorf("prefixes %s, want %s", got, want)
	}
}

// Values that read alike when they are joined belong into one object: two of one key could not both be stored.
func TestOnePrefixIsOneObject(t *testing.T) {
	c := partitioned("!{partitionKeyFromQuery:schema}!{partitionKeyFromQuery:table}/", "")
	r := NewRun(mustLayout(c), 1, nil)
	r.Add("1", testArrival, change("a", "bc", "insert", "{}", ""), change("ab", "c", "insert", "{}", ""), change("ab", "d", "insert", "{}", ""))
	if groups := r.Groups(testChain); len(groups) != 2 || !groups[0].First() {
		t.Errorf("groups %+v", groups)
	}
}

func TestRunFits(t *testing.T) {
	l := mustLayout(partitioned("!{partitionKeyFromQuery:table}/", ""))
	of := func(tables ...string) (records [][]byte) {
		for _, table := range tables {
			records = append(records, change("s", table, "insert", "{}", ""))
		}
		return records
	}
	r := NewRun(l, 1, nil)
	fits := func(want bool, tables ...string) {
		t.Helper()
		if got := r.Fits(r.Prepare("9", testArrival, of(tables...)...), 2); got != want {
			t.Errorf("%v fits: %v", tables, got)
		}
	}
	fits(true, "a", "b", "c") // into an empty run: it cannot be cut
	r.Add("1", testArrival, of("a", "")...)
	fits(true, "b", "a", "b", "")
	fits(false, "b", "c")
	r.Add("2", testArrival, of("b")...)
	fits(true, "b", "a", "")
	fits(false, "c")
	tail := r.CutBehind("1")
	fits(true, "b")
	if tail.Empty() || tail.open != 1 || r.open != 1 {
		t.Errorf("open %d and %d", r.open, tail.open)
	}
	r.Join(tail)
	fits(false, "c")
	r.DropThrough("1")
	fits(true, "c")
}

// A run is the same objects whether it was cut out of a longer one, joined, or added at once.
func TestGroupsFollowFromTheRun(t *testing.T) {
	l := mustLayout(partitioned("!{partitionKeyFromQuery:table}/!{timestamp:HH}/!{firehose:random-string}/", ""))
	whole := func(from, to int) *Run {
		r := NewRun(l, 3, nil)
		for i := from; i < to; i++ {
			r.Add(fmt.Sprint(100+i), testArrival.Add(time.Duration(i)*time.Minute), change("s", string(rune('a'+i*i%5)), "insert", fmt.Sprint(i), ""), []byte("junk"))
		}
		return r
	}
	objects := func(r *Run) string {
		var b strings.Builder
		for _, g := range r.Groups(testChain) {
			o, err := r.Object(t.Context(), testChain, &g, new(bytes.Buffer))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%s %+v\n%s", o.Key, o.Meta, o.Body)
		}
		return b.String()
	}
	for from := range 8 {
		for to := from + 1; to < 9; to++ {
			want := objects(whole(from, to))
			cut := whole(0, 10)
			if from > 0 {
				cut.DropThrough(fmt.Sprint(100 + from - 1))
			}
			rest := cut.CutBehind(fmt.Sprint(100 + to - 1))
			joined := whole(from, from+1)
			joined.Join(whole(from+1, to))
			if objects(cut) != want || objects(joined) != want {
				t.Fatalf("records %d to %d make other objects", from, to)
			}
			if rest.Records() != 2*(10-to) {
				t.Fatalf("%d records are left", rest.Records())
			}
		}
	}
}

func TestLayoutFaultsOfPartitions(t *testing.T) {
	with := func(change func(*LayoutConfig)) LayoutConfig {
		c := partitioned("!{partitionKeyFromQuery:a}/", "{a: .x}")
		change(&c)
		return c
	}
	for want, c := range map[string]LayoutConfig{
		"error_output_prefix: it is needed":             with(func(c *LayoutConfig) { c.ErrorOutputPrefix = "" }),
		"enabled: true":                                 with(func(c *LayoutConfig) { c.Partitioned = false }),
		"query: it is missing":                          with(func(c *LayoutConfig) { c.Query = "" }),
		"not a jq program":                              with(func(c *LayoutConfig) { c.Query = "{a: " }),
		"cannot be compiled":                            with(func(c *LayoutConfig) { c.Query = "{a: nosuch}" }),
		"now gives another result":                      with(func(c *LayoutConfig) { c.Query = "{a: (if .x then [now] else 1 end)}" }),
		"$ENV gives another":                            with(func(c *LayoutConfig) { c.Query = "{a: $ENV.HOME}" }),
		"is not among the keys":                         with(func(c *LayoutConfig) { c.Query = "{b: .x}" }),
		"makes b, which delivery.prefix does":           with(func(c *LayoutConfig) { c.Query = "{a: .x, b: .y}" }),
		"table is always the record's own":              with(func(c *LayoutConfig) { c.Query = "{a: .x, table: .y}" }),
		"no partition key stands here":                  with(func(c *LayoutConfig) { c.Prefix, c.Query = "x/", "" }),
		"uses none of its keys":                         with(func(c *LayoutConfig) { c.Prefix, c.Query = "!{partitionKeyFromQuery:table}/", ".x" }),
		"51 partition keys":                             with(func(c *LayoutConfig) { c.Prefix, c.Query = fiftyOne(), "." }),
		"Lambda":                                        with(func(c *LayoutConfig) { c.Prefix = "!{partitionKeyFromLambda:a}/" }),
		"is for prefix only":                            with(func(c *LayoutConfig) { c.ErrorOutputPrefix = "!{partitionKeyFromQuery:a}/" }),
		"commit has no effect":                          with(func(c *LayoutConfig) { c.PartitionTime = ByCommit }),
		`"yesterday" is unknown`:                        with(func(c *LayoutConfig) { c.PartitionTime = "yesterday" }),
		`path segment "..":`[:len(`path segment ".."`)]: {Name: "n", Prefix: "a/../b/"},
	} {
		if _, err := NewLayout(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v does not say %q", c, err, want)
		}
	}
}

func fiftyOne() string {
	var b strings.Builder
	for i := range 51 {
		fmt.Fprintf(&b, "!{partitionKeyFromQuery:k%d}/", i)
	}
	return b.String()
}

// TestObjectsOfARun holds keys, metadata and error documents, which docs/FORMATS.md promises.
func TestObjectsOfARun(t *testing.T) {
	const golden = "testdata/run.golden.txt"
	c := partitioned("db=!{partitionKeyFromQuery:schema}/!{partitionKeyFromQuery:table}/hour=!{timestamp:yyyy-MM-dd-HH}/", "")
	c.AppendDelimiter = true
	r := NewRun(mustLayout(c), 4, nil)
	r.Add("4961", testArrival, change("shop", "order", "insert", `{"id":1}`, "2026-01-31T23:05:09.000000Z"))
	r.Add("4962", testArrival.Add(time.Second), []byte("<not a record>"), change("shop", "line", "insert", `{"id":7}`, "2026-01-31T23:05:09.000000Z"))
	r.Add("4965", testArrival.Add(2*time.Second), change("shop", "order", "delete", `{"id":1}`, "2026-01-31T23:05:10.000000Z"), change("shop", "..", "insert", `{}`, ""))
	var b strings.Builder
	for _, g := range r.Groups(testChain) {
		o, err := r.Object(t.Context(), testChain, &g, new(bytes.Buffer))
		if err != nil {
			t.Fatal(err)
		}
		meta, err := json.Marshal(o.Meta.Map())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n%s\n%s\n", o.Key, meta, o.Body)
		if back, err := MetaFromMap(o.Meta.Map()); err != nil || back != o.Meta {
			t.Errorf("metadata comes back as %+v, %v", back, err)
		}
		if o.Meta.Bytes != int64(len(o.Body)) || o.Meta.Parts != 3 {
			t.Errorf("meta %+v of %d bytes", o.Meta, len(o.Body))
		}
	}
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("objects are\n%swant\n%s", b.String(), want)
	}
}

// The metadata of a gzip object stands in its header also where its size is known only in the end.
func TestGzipHeaderOfErrorOutput(t *testing.T) {
	c := partitioned("!{partitionKeyFromQuery:table}/", "")
	c.Compression = GZIP
	r := NewRun(mustLayout(c), 1, nil)
	for i := range 100 {
		r.Add(fmt.Sprint(100+i), testArrival, []byte("junk"))
	}
	o, err := r.Object(t.Context(), testChain, &r.Groups(testChain)[0], new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	if m, err := MetaFromGzip(bytes.NewReader(o.Body)); err != nil || m != o.Meta || m.Records != 100 {
		t.Errorf("the header says %+v, %v; want %+v", m, err, o.Meta)
	}
	if plain := expand(t, GZIP, o.Body); int64(len(plain)) != o.Meta.Bytes || bytes.Count(plain, []byte("\n")) != 100 {
		t.Errorf("%d bytes, the metadata says %d", len(plain), o.Meta.Bytes)
	}
}

// FuzzPartition puts any record into any of some layouts: it makes one object, always the same, under a key that any
// destination takes.
func FuzzPartition(f *testing.F) {
	layouts := []*Layout{
		mustLayout(partitioned("!{partitionKeyFromQuery:schema}/!{partitionKeyFromQuery:table}/!{partitionKeyFromQuery:operation}/", "")),
		mustLayout(partitioned("!{partitionKeyFromQuery:a}!{partitionKeyFromQuery:b}/", "{a: .a, b: .b}")),
		mustLayout(partitioned("x/!{timestamp:yyyy}/!{partitionKeyFromQuery:a}", "{a: (.a | tostring)}")),
		mustLayout(LayoutConfig{Name: "n", PartitionTime: ByCommit, Prefix: "!{timestamp:yyyy/MM/dd}/!{firehose:random-string}/"}),
	}
	for i, s := range []string{"", "{}", `{"a":"..","b":"/"}`, `{"a":".","b":"."}`, `{"a":"\u0000","b":1e999}`, `{"a":"` + strings.Repeat("é", 600) + `"}`,
		string(change("s", "t", "insert", "{}", "2026-01-31T23:05:09.000000Z")), string(change("a/b", "..", "update", "{}", "0000-13-99"))} {
		f.Add(byte(i), []byte(s))
	}
	f.Fuzz(func(t *testing.T, which byte, data []byte) {
		l := layouts[int(which)%len(layouts)]
		var keys []string
		for range 2 {
			r := NewRun(l, 1, nil)
			r.Add("1", testArrival, data)
			g := r.Groups(testChain)
			if len(g) != 1 {
				t.Fatalf("one record makes %d objects", len(g))
			}
			o, err := r.Object(t.Context(), testChain, &g[0], new(bytes.Buffer))
			if err != nil {
				t.Fatal(err)
			}
			if !g[0].failed && !bytes.Equal(o.Body, data) {
				t.Errorf("%q is stored as %q", data, o.Body)
			}
			keys = append(keys, o.Key)
		}
		if keys[0] != keys[1] {
			t.Errorf("%q belongs under %q and under %q", data, keys[0], keys[1])
		}
		if err := checkKey("", keys[0]); err != nil || checkPath(keys[0]) != nil || strings.HasPrefix(keys[0], "/") {
			t.Errorf("%q gets the key %q: %v", data, keys[0], err)
		}
	})
}
