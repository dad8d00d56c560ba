package s3sink

import (
	"strings"
	"testing"
	"time"
)

var (
	testChain   = Chain{Stream: "tickets", Created: time.Unix(1_760_000_000, 0), Shard: "shardId-000000000003"}
	testArrival = time.Date(2026, 1, 31, 23, 5, 9, 987_654_321, time.UTC)
)

const testSequence = "49668899999999999999999999999999999999999999999999999999"

func TestKey(t *testing.T) {
	const id = "482e7d7e-daff-56d5-8076-22381daed202"
	for _, tc := range []struct {
		name   string
		config LayoutConfig
		want   string
	}{
		{"default", LayoutConfig{Compression: GZIP}, "2026/01/31/23/tickets-7-2026-01-31-23-05-09-" + id + ".gz"},
		{"text is joined without a slash", LayoutConfig{Prefix: "legacy"}, "legacy2026/01/31/23/tickets-7-2026-01-31-23-05-09-" + id},
		{"text with a slash", LayoutConfig{Prefix: "a/b/", Compression: ZIP}, "a/b/2026/01/31/23/tickets-7-2026-01-31-23-05-09-" + id + ".zip"},
		{"expression", LayoutConfig{Prefix: "p/!{timestamp:'year='yyyy'/month='MM'/day='dd}/", Compression: Snappy}, "p/year=2026/month=01/day=31/tickets-7-2026-01-31-23-05-09-" + id + ".snappy"},
		{"calendar year", LayoutConfig{Prefix: "!{timestamp:YYYY}/!{timestamp:MM}/", Compression: HadoopSnappy}, "2026/01/tickets-7-2026-01-31-23-05-09-" + id + ".snappy"},
		{"zone", LayoutConfig{TimeZone: "Asia/Kolkata", Compression: GZIP}, "2026/02/01/04/tickets-7-2026-02-01-04-35-09-" + id + ".gz"},
		{"extension", LayoutConfig{Extension: ".json.gz", Compression: GZIP}, "2026/01/31/23/tickets-7-2026-01-31-23-05-09-" + id + ".json.gz"},
		{"random string", LayoutConfig{Prefix: "!{firehose:random-string}/!{firehose:random-string}/", Compression: ZSTD}, "pXGxMltbWSA/6Cu7KVK7usf/tickets-7-2026-01-31-23-05-09-" + id + ".zst"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.config.Name = "tickets"
			l, err := NewLayout(tc.config)
			if err != nil {
				t.Fatal(err)
			}
			if got := keyOf(l, testChain, 7, testSequence, testArrival); got != tc.want {
				t.Errorf("key\n got %s\nwant %s", got, tc.want)
			}
		})
	}
}

// keyOf is the key of the one object of a run.
func keyOf(l *Layout, c Chain, version int, sequence string, arrival time.Time) string {
	key, err := l.key(start{c, version, sequence, arrival}, &partition{})
	if err != nil {
		return err.Error()
	}
	return key
}

// Objects must get other keys if any part of their identity differs.
func TestKeyIdentity(t *testing.T) {
	l, err := NewLayout(LayoutConfig{Name: "n"})
	if err != nil {
		t.Fatal(err)
	}
	base := keyOf(l, testChain, 1, testSequence, testArrival)
	if again := keyOf(l, testChain, 1, testSequence, testArrival); again != base {
		t.Errorf("one run has two keys: %s, %s", base, again)
	}
	stream, created, shard := testChain, testChain, testChain
	stream.Stream = "other"
	created.Created = created.Created.Add(time.Second)
	shard.Shard = "shardId-000000000004"
	for _, c := range []Chain{stream, created, shard} {
		if keyOf(l, c, 1, testSequence, testArrival) == base {
			t.Errorf("%+v has the key of %+v", c, testChain)
		}
	}
	if keyOf(l, testChain, 1, testSequence+"0", testArrival) == base || keyOf(l, testChain, 2, testSequence, testArrival) == base {
		t.Error("another run has the same key")
	}
}

func TestLayoutFaults(t *testing.T) {
	for _, tc := range []struct {
		config LayoutConfig
		want   []string
	}{
		{LayoutConfig{}, []string{"name: "}},
		{LayoutConfig{Name: "n", Prefix: "!{timestamp:yyyy"}, []string{"delivery.prefix", "does not end"}},
		{LayoutConfig{Name: "n", Prefix: "!{timestamp:ww}"}, []string{"delivery.prefix", "letter 'w' is not supported"}},
		{LayoutConfig{Name: "n", Prefix: "!{timestamp:'a}"}, []string{"does not end"}},
		{LayoutConfig{Name: "n", Prefix: "!{partitionKeyFromQuery:customer}/"}, []string{"dynamic partitioning"}},
		{LayoutConfig{Name: "n", Prefix: "!{firehose:error-output-type}/"}, []string{"error_output_prefix only"}},
		{LayoutConfig{Name: "n", Prefix: "!{nonsense}/"}, []string{"is not known"}},
		{LayoutConfig{Name: "n", Prefix: strings.Repeat("x", 513)}, []string{"527", "512"}},
		{LayoutConfig{Name: "n", ErrorOutputPrefix: "!{timestamp:yyyyyyyyyyyyyyyyyyyyy}"}, []string{"delivery.error_output_prefix", "at most 19"}},
		{LayoutConfig{Name: "n", TimeZone: "Europe/Atlantis", Compression: "LZ4", Extension: "gz"}, []string{"custom_time_zone", "Atlantis", "compression_format", `"LZ4"`, "file_extension", `"gz"`}},
	} {
		_, err := NewLayout(tc.config)
		if err == nil {
			t.Errorf("%+v is accepted", tc.config)
			continue
		}
		for _, want := range tc.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %q does not say %q", tc.config, err, want)
			}
		}
	}
	if _, err := NewLayout(LayoutConfig{Name: "n", ErrorOutputPrefix: "!{firehose:error-output-type}/!{timestamp:yyyy}/"}); err != nil {
		t.Error(err)
	}
}

func TestDatePattern(t *testing.T) {
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 5, 0, 7, 8, 123_456_789, zone)
	for pattern, want := range map[string]string{
		"yyyy/MM/dd/HH": "2026/03/05/00", "yy M d H m s": "26 3 5 0 7 8", "uuuu DDD D": "2026 064 64",
		"MMM MMMM LLL": "Mar March Mar", "E EEEE": "Thu Thursday", "h hh K k kk a": "12 12 0 24 24 AM",
		"SSS SSSSSS S SSSSSSSSSSSS": "123 123456 1 123456789000", "n A N": "123456789 428123 428123456789",
		"Q QQ QQQ QQQQ": "1 01 Q1 1st quarter", "G": "AD", "VV z": "America/New_York EST",
		"X XX XXX x xxx Z": "-05 -0500 -05:00 -05 -05:00 -0500", "XXXX XXXXX xx xxxx xxxxx": "-0500 -05:00 -0500 -0500 -05:00", "O OOOO ZZZZ ZZZZZ": "GMT-5 GMT-05:00 GMT-05:00 -05:00", "'it''s' yyyy''": "it's 2026'", "yyyy-MM-dd'T'HH:mm": "2026-03-05T00:07",
	} {
		p, err := parseDatePattern(pattern)
		if err != nil {
			t.Errorf("%q: %v", pattern, err)
			continue
		}
		if got := p.format(at); got != want {
			t.Errorf("%q = %q, want %q", pattern, got, want)
		}
	}
	for name, want := range map[string]string{"UTC": "GMT GMT Z Z +00:00", "Asia/Kolkata": "GMT+5:30 GMT+05:30 +0530 +05:30 +05:30", "America/St_Johns": "GMT-3:30 GMT-03:30 -0330 -03:30 -03:30"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := parseDatePattern("O OOOO XX ZZZZZ xxxxx")
		if err != nil {
			t.Fatal(err)
		}
		if got := p.format(at.In(zone)); got != want {
			t.Errorf("in %s the offset is %q, want %q", name, got, want)
		}
	}
	for _, bad := range []string{"OO", "XXXXXX", "'open", "[yyyy]", "{", "ww", "MMMMM", "V", "c", "p"} {
		if _, err := parseDatePattern(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func FuzzPrefix(f *testing.F) {
	for _, s := range []string{"", "a/", "!{timestamp:yyyy/'!{'}", "!{firehose:random-string}", "!{", "!{timestamp:'}'}", "!{timestamp:''}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePrefix(s, false)
		if err != nil {
			return
		}
		e := evaluation{at: testArrival, seed: []byte("seed"), values: []string{"x"}}
		if a, b := p.format(e), p.format(e); a != b {
			t.Errorf("%q evaluates to %q and %q", s, a, b)
		}
	})
}
