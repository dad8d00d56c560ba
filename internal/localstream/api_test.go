package localstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/outage"
)

// bench is a store with its API at a time that the test sets.
type bench struct {
	t     testing.TB
	dir   string
	clock time.Time
	store *store
	h     http.Handler
}

func newBench(t testing.TB) *bench {
	b := &bench{t: t, dir: t.TempDir(), clock: time.Now()}
	b.open()
	t.Cleanup(func() { b.store.close() })
	return b
}

func (b *bench) open() {
	b.t.Helper()
	s, err := openStore(b.dir, 2000, quiet(), newMetrics(nil), func() time.Time { return b.clock })
	if err != nil {
		b.t.Fatal(err)
	}
	b.store = s
	a := &api{store: s, region: "us-east-1", reads: newBudget(1 << 20)}
	b.h = &handler{operations: a.operations(), bodies: newBudget(1 << 20), logger: quiet(), health: outage.New(nil, "stream")}
}

func request(target, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("X-Amz-Target", targetPrefix+target)
	return r
}

// call makes a call and returns the answer, or the type of the error.
func (b *bench) call(target, body string) (out map[string]any, kind string) {
	b.t.Helper()
	w := httptest.NewRecorder()
	b.h.ServeHTTP(w, request(target, body))
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			b.t.Fatalf("%s: %v in %s", target, err, w.Body)
		}
	}
	if w.Code != http.StatusOK {
		kind, _ = out["__type"].(string)
		if kind == "" {
			b.t.Fatalf("%s: status %d without a type: %s", target, w.Code, w.Body)
		}
	}
	return out, kind
}

func (b *bench) must(target, format string, args ...any) map[string]any {
	b.t.Helper()
	out, kind := b.call(target, fmt.Sprintf(format, args...))
	if kind != "" {
		b.t.Fatalf("%s: %s: %v", target, kind, out["message"])
	}
	return out
}

func (b *bench) refused(want, target, format string, args ...any) {
	b.t.Helper()
	if out, kind := b.call(target, fmt.Sprintf(format, args...)); kind != want {
		b.t.Errorf("%s: got %s %v, want %s", target, kind, out, want)
	}
}

func (b *bench) put(data string) (sequence string) {
	b.t.Helper()
	return b.must("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":%q}`, data)["SequenceNumber"].(string)
}

func (b *bench) iterator(rest string) string {
	b.t.Helper()
	return b.must("GetShardIterator", `{"StreamName":"s","ShardId":"shardId-000000000000",%s}`, rest)["ShardIterator"].(string)
}

func TestIteratorsExpire(t *testing.T) {
	b := newBench(t)
	b.must("CreateStream", `{"StreamName":"s","ShardCount":3}`)
	it := b.iterator(`"ShardIteratorType":"LATEST"`)
	token := b.must("ListShards", `{"StreamName":"s","MaxResults":1}`)["NextToken"].(string)
	b.clock = b.clock.Add(5 * time.Minute)
	next := b.must("GetRecords", `{"ShardIterator":%q}`, it)["NextShardIterator"]
	b.must("ListShards", `{"NextToken":%q}`, token)
	b.clock = b.clock.Add(time.Millisecond)
	b.refused("ExpiredIteratorException", "GetRecords", `{"ShardIterator":%q}`, it)
	b.refused("ExpiredNextTokenException", "ListShards", `{"NextToken":%q}`, token)
	b.must("GetRecords", `{"ShardIterator":%q}`, next)
}

// What is past the retention period goes away, and whoever has not read it is told.
func TestRetention(t *testing.T) {
	b := newBench(t)
	b.must("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	b.store.now = time.Now // the logs have the real clock for arrivals
	var numbers []string
	for i := range 100 {
		numbers = append(numbers, b.put(strings.Repeat("AAAA", i)))
	}
	b.store.now = func() time.Time { return b.clock }
	b.clock = time.Now().Add(time.Minute)
	horizon := b.iterator(`"ShardIteratorType":"TRIM_HORIZON"`)
	before := b.store.size()

	b.clock = time.Now().Add(23 * time.Hour)
	if err := b.store.sweep(); err != nil || b.store.size() != before {
		t.Fatalf("after 23 hours %d of %d bytes are left, %v", b.store.size(), before, err)
	}
	b.clock = time.Now().Add(24*time.Hour + time.Second)
	if err := b.store.sweep(); err != nil || b.store.size() > 100 {
		t.Fatalf("after 24 hours %d of %d bytes are left, %v", b.store.size(), before, err)
	}
	b.clock = time.Now().Add(2 * time.Minute) // for the iterator's sake
	b.refused("ExpiredIteratorException", "GetRecords", `{"ShardIterator":%q}`, horizon)
	b.refused("InvalidArgumentException", "GetShardIterator",
		`{"StreamName":"s","ShardId":"shardId-000000000000","ShardIteratorType":"AFTER_SEQUENCE_NUMBER","StartingSequenceNumber":%q}`, numbers[98])
	// Whoever has read the last record has lost nothing.
	it := b.iterator(fmt.Sprintf(`"ShardIteratorType":"AFTER_SEQUENCE_NUMBER","StartingSequenceNumber":%q`, numbers[99]))
	next := b.put("bmV3")
	if next <= numbers[99] {
		t.Errorf("number %s comes after %s", next, numbers[99])
	}
	if got := b.must("GetRecords", `{"ShardIterator":%q}`, it)["Records"].([]any); len(got) != 1 {
		t.Errorf("after the last record that expired come %v", got)
	}
}

func TestExpiredShardsAreForgotten(t *testing.T) {
	b := newBench(t)
	b.must("CreateStream", `{"StreamName":"s","ShardCount":2}`)
	b.put("AAAA")
	b.must("MergeShards", `{"StreamName":"s","ShardToMerge":"shardId-000000000000","AdjacentShardToMerge":"shardId-000000000001"}`)
	b.put("BBBB")
	b.clock = b.clock.Add(25 * time.Hour)
	if err := b.store.sweep(); err != nil {
		t.Fatal(err)
	}
	shards := b.must("ListShards", `{"StreamName":"s"}`)["Shards"].([]any)
	if len(shards) != 1 || shards[0].(map[string]any)["ShardId"] != "shardId-000000000002" {
		t.Fatalf("after everything expired there are %v", shards)
	}
	b.refused("ResourceNotFoundException", "GetShardIterator", `{"StreamName":"s","ShardId":"shardId-000000000000","ShardIteratorType":"TRIM_HORIZON"}`)
	b.store.close()
	b.open()
	b.must("SplitShard", `{"StreamName":"s","ShardToSplit":"shardId-000000000002","NewStartingHashKey":"9"}`)
	shards = b.must("ListShards", `{"StreamName":"s"}`)["Shards"].([]any)
	if len(shards) != 3 || shards[2].(map[string]any)["ShardId"] != "shardId-000000000004" {
		t.Errorf("after the next split there are %v", shards)
	}
	if left, _ := filepath.Glob(filepath.Join(b.dir, "data", "*", "*")); len(left) != 1 {
		t.Errorf("directories left: %v", left)
	}
}

// A shard that can't be written fails its own records only, with an error that the SDKs try again.
func TestPutsThatCanNotBeStored(t *testing.T) {
	b := newBench(t)
	b.must("CreateStream", `{"StreamName":"s","ShardCount":2}`)
	st, err := b.store.lookup("s")
	if err != nil {
		t.Fatal(err)
	}
	inTheWay := b.store.shardDir(st.meta, 0)
	if err := os.MkdirAll(filepath.Dir(inTheWay), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	both := `{"StreamName":"s","Records":[{"PartitionKey":"k","ExplicitHashKey":"0","Data":"AAAA"},` +
		`{"PartitionKey":"k","ExplicitHashKey":"340282366920938463463374607431768211455","Data":"BBBB"}]}`
	out := b.must("PutRecords", "%s", both)
	records := out["Records"].([]any)
	if out["FailedRecordCount"].(float64) != 1 || records[0].(map[string]any)["ErrorCode"] != "InternalFailure" ||
		records[1].(map[string]any)["SequenceNumber"] == nil {
		t.Errorf("one shard of two fails: %v", out)
	}
	w := httptest.NewRecorder()
	b.h.ServeHTTP(w, request("PutRecord", `{"StreamName":"s","PartitionKey":"k","ExplicitHashKey":"0","Data":"AAAA"}`))
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "InternalFailure") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	if out := b.must("PutRecords", "%s", both); out["FailedRecordCount"].(float64) != 0 {
		t.Errorf("after the fault is gone: %v", out)
	}
	records = b.must("GetRecords", `{"ShardIterator":%q}`, b.iterator(`"ShardIteratorType":"TRIM_HORIZON"`))["Records"].([]any)
	if len(records) != 1 {
		t.Errorf("the shard that failed shows %v", records)
	}
}

// If the new shards can't be written down, the old ones go on as if nothing had been asked.
func TestSplitThatCanNotBeSaved(t *testing.T) {
	b := newBench(t)
	b.must("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	b.put("AAAA")
	moved := b.dir + ".away"
	if err := os.Rename(b.dir, moved); err != nil {
		t.Fatal(err)
	}
	b.refused("InternalFailure", "SplitShard", `{"StreamName":"s","ShardToSplit":"shardId-000000000000","NewStartingHashKey":"9"}`)
	b.refused("InternalFailure", "CreateStream", `{"StreamName":"other","ShardCount":1}`)
	if err := os.Rename(moved, b.dir); err != nil {
		t.Fatal(err)
	}
	b.put("BBBB")
	if shards := b.must("ListShards", `{"StreamName":"s"}`)["Shards"].([]any); len(shards) != 1 {
		t.Errorf("shards %v", shards)
	}
	b.must("SplitShard", `{"StreamName":"s","ShardToSplit":"shardId-000000000000","NewStartingHashKey":"9"}`)
	b.store.close()
	b.open()
	if got := b.must("GetRecords", `{"ShardIterator":%q}`, b.iterator(`"ShardIteratorType":"TRIM_HORIZON"`)); len(got["Records"].([]any)) != 2 ||
		len(got["ChildShards"].([]any)) != 2 {
		t.Errorf("after reopening: %v", got)
	}
}

func TestStoreRefusesDamage(t *testing.T) {
	b := newBench(t)
	b.must("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	b.put("AAAA")
	b.store.close()
	path := b.store.metaPath()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	reopen := func() error {
		s, err := openStore(b.dir, 0, quiet(), newMetrics(nil), time.Now)
		if err == nil {
			s.close()
		}
		return err
	}
	for name, content := range map[string][]byte{
		"changed":         bytes.Replace(good, []byte(`"next_shard":1`), []byte(`"next_shard":2`), 1),
		"cut":             good[:len(good)/2],
		"empty":           {},
		"another version": bytes.Replace(good, []byte(`{"version":1`), []byte(`{"version":2`), 1),
	} {
		if bytes.Equal(content, good) {
			t.Fatalf("%s: nothing was changed", name)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := reopen(); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want an error that names the file", name, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := reopen(); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("without the file: %v", err)
	}
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	stray := filepath.Join(b.dir, "data", "0000000000001-deleted")
	foreign := filepath.Join(b.dir, "data", "not ours")
	temporary := filepath.Join(b.dir, ".streams.json-123")
	for _, dir := range []string{stray, foreign, temporary} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := reopen(); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{stray: false, temporary: false, foreign: true} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", dir, err == nil, want)
		}
	}
}

// What a web page can make a browser send must not get through, whatever else the request says.
func TestGate(t *testing.T) {
	b := newBench(t)
	b.must("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	for name, c := range map[string]struct {
		change func(*http.Request)
		status int
	}{
		"as an SDK does":              {func(*http.Request) {}, 200},
		"content type with a charset": {func(r *http.Request) { r.Header.Set("Content-Type", contentType+"; charset=utf-8") }, 200},
		"localhost":                   {func(r *http.Request) { r.Host = "localhost:4567" }, 200},
		"IPv6":                        {func(r *http.Request) { r.Host = "[::1]:4567" }, 200},
		"the Node's own endpoint":     {func(r *http.Request) { r.Host = "embedded.localhost" }, 200},
		"form":                        {func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 415},
		"no content type":             {func(r *http.Request) { r.Header.Del("Content-Type") }, 415},
		"CBOR":                        {func(r *http.Request) { r.Header.Set("Content-Type", "application/x-amz-cbor-1.1") }, 415},
		"no target":                   {func(r *http.Request) { r.Header.Del("X-Amz-Target") }, 400},
		"another service":             {func(r *http.Request) { r.Header.Set("X-Amz-Target", "DynamoDB_20120810.ListTables") }, 400},
		"unknown call":                {func(r *http.Request) { r.Header.Set("X-Amz-Target", targetPrefix+"Destroy") }, 400},
		"from a page":                 {func(r *http.Request) { r.Header.Set("Origin", "http://localhost:3000") }, 403},
		"a name that was rebound":     {func(r *http.Request) { r.Host = "evil.example:4567" }, 403},
		"a name that looks alike":     {func(r *http.Request) { r.Host = "127.0.0.1.evil.example" }, 403},
		"GET":                         {func(r *http.Request) { r.Method = http.MethodGet }, 404},
		"a preflight":                 {func(r *http.Request) { r.Method = http.MethodOptions }, 404},
		"another path":                {func(r *http.Request) { r.URL.Path = "/x" }, 404},
	} {
		r := request("ListStreams", "{}")
		c.change(r)
		w := httptest.NewRecorder()
		b.h.ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%s: status %d, want %d", name, w.Code, c.status)
		}
		for h := range w.Header() {
			if strings.HasPrefix(h, "Access-Control-") {
				t.Errorf("%s: the answer has the header %s", name, h)
			}
		}
	}
}

func TestClosedShardsAreBounded(t *testing.T) {
	b := newBench(t)
	b.must("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	kind, target := "", 1000
	for n := 0; kind == "" && n < 20; n++ {
		_, kind = b.call("UpdateShardCount", fmt.Sprintf(`{"StreamName":"s","TargetShardCount":%d,"ScalingType":"UNIFORM_SCALING"}`, target))
		target = 1001 - target
	}
	if kind != "LimitExceededException" {
		t.Errorf("many shards are answered with %q", kind)
	}
	b.put("AAAA")
}

func TestTooLargeRequests(t *testing.T) {
	b := newBench(t)
	b.must("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	for name, length := range map[string]int64{"announced": maxBody + 1, "not announced": -1, "announced as less": 10} {
		r := request("PutRecord", strings.Repeat(" ", maxBody+1))
		r.ContentLength = length
		w := httptest.NewRecorder()
		b.h.ServeHTTP(w, r)
		if w.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: status %d", name, w.Code)
		}
	}
}

func TestRequestsWaitForMemory(t *testing.T) {
	b := newBudget(100)
	release, err := b.reserve(t.Context(), 60)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := b.reserve(ctx, 60); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want a wait", err)
	}
	release()
	if release, err = b.reserve(t.Context(), 1000); err != nil {
		t.Errorf("more than there is, alone: %v", err)
	}
	release()
}

func TestConfigIsChecked(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no directory":     {},
		"public address":   {Dir: "d", Listen: "0.0.0.0:4567"},
		"name for address": {Dir: "d", Listen: "localhost:4567"},
		"no port":          {Dir: "d", Listen: "127.0.0.1"},
		"stream name":      {Dir: "d", Stream: "a b"},
		"shards":           {Dir: "d", Shards: 5000},
		"negative shards":  {Dir: "d", Shards: -1},
		"retention":        {Dir: "d", RetentionHours: 2},
		"record size":      {Dir: "d", MaxRecordKiB: 20000},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: %+v is taken", name, cfg)
		}
	}
}

func TestRunTellsWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "streams.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := New(Config{Dir: dir, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "streams.json is damaged") {
		t.Errorf("Run: %v", err)
	}
	lock, err := tryLock(filepath.Join(dir, "lock"))
	if err != nil || lock == nil {
		t.Fatalf("the lock is not free after Run: %v", err)
	}
	lock.release()
}

func TestMetrics(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	m := newMetrics(r)
	m.committed(3, 100, time.Millisecond, nil)
	m.committed(2, 50, time.Millisecond, errors.New("disk full"))
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		got[f.GetName()] = f.GetMetric()[0].GetCounter().GetValue() + f.GetMetric()[0].GetGauge().GetValue() +
			float64(f.GetMetric()[0].GetHistogram().GetSampleCount())
	}
	want := map[string]float64{
		"binlogstreamer_localstream_stored_records_total": 3,
		"binlogstreamer_localstream_written_bytes_total":  100,
		"binlogstreamer_localstream_failed_commits_total": 1,
		"binlogstreamer_localstream_commit_seconds":       2,
		"binlogstreamer_localstream_serving":              0,
		"binlogstreamer_localstream_disk_bytes":           0,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// FuzzRequest sends what may be anything to every call: there is always a well-formed answer, and it never blames the
// server.
func FuzzRequest(f *testing.F) {
	b := newBench(f)
	b.must("CreateStream", `{"StreamName":"s","ShardCount":2}`)
	b.put("AAAA")
	calls := []string{"CreateStream", "DeleteStream", "DescribeStream", "DescribeStreamSummary", "DescribeLimits", "ListStreams",
		"ListShards", "SplitShard", "MergeShards", "UpdateShardCount", "UpdateMaxRecordSize", "IncreaseStreamRetentionPeriod",
		"DecreaseStreamRetentionPeriod", "PutRecord", "PutRecords", "GetShardIterator", "GetRecords"}
	for i := range calls {
		f.Add(i, `{"StreamName":"s"}`)
	}
	f.Add(6, `{"StreamName":"s","ShardFilter":{"Type":"AT_TIMESTAMP","Timestamp":1e300},"MaxResults":1}`)
	f.Add(13, `{"StreamName":"s","PartitionKey":"k","Data":"AA=="}`)
	f.Add(14, `{"StreamARN":"arn:aws:kinesis:eu-west-1:1:stream/s","Records":[{"PartitionKey":"k","ExplicitHashKey":"7","Data":""}]}`)
	f.Add(15, `{"StreamName":"s","ShardId":"shardId-000000000000","ShardIteratorType":"AT_TIMESTAMP","Timestamp":-1e300}`)
	f.Add(16, fmt.Sprintf(`{"ShardIterator":%q}`, encodeToken(iterator{Issued: 1 << 60, Stream: "s"})))
	f.Add(16, `{"ShardIterator":null,"Limit":99999999999999999999}`)
	f.Fuzz(func(t *testing.T, call int, body string) {
		if call < 0 || call >= len(calls) {
			return
		}
		w := httptest.NewRecorder()
		b.h.ServeHTTP(w, request(calls[call], body))
		if w.Code >= 500 {
			t.Fatalf("%s %s: status %d, %s", calls[call], body, w.Code, w.Body)
		}
		if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%s %s: %s", calls[call], body, w.Body)
		}
	})
}
