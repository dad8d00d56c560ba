package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestBucketCreatesOnce(t *testing.T) {
	b := &bucket{}
	server := httptest.NewServer(b)
	defer server.Close()
	do := func(method string) *http.Response {
		req, _ := http.NewRequest(method, server.URL+"/bench/key", strings.NewReader("body"))
		req.Header.Set("If-None-Match", "*")
		req.Header.Set(countHeader, "7")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	for _, c := range []struct {
		method string
		status int
	}{{http.MethodHead, 404}, {http.MethodPut, 200}, {http.MethodPut, 412}, {http.MethodHead, 200}, {http.MethodDelete, 501}} {
		resp := do(c.method)
		if resp.StatusCode != c.status {
			t.Errorf("%s: %d, want %d", c.method, resp.StatusCode, c.status)
		}
		if c.status == 200 && resp.Header.Get("ETag") == "" {
			t.Errorf("%s: no ETag", c.method)
		}
		if c.method == http.MethodHead && c.status == 200 && resp.Header.Get(countHeader) != "7" {
			t.Errorf("metadata %v", resp.Header)
		}
	}
	if n := b.records.Load(); n != 7 {
		t.Errorf("%d records are counted, want 7", n)
	}
	b.downTill.Store(time.Now().Add(time.Minute).UnixNano())
	if resp := do(http.MethodHead); resp.StatusCode != 503 {
		t.Errorf("while it is down: %d", resp.StatusCode)
	}
}

// Whatever the number of shards is, each record is handed out once.
func TestStubHandsOutEachRecordOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records")
	line := strings.Repeat("x", pageBytes/3) + "\n"
	const records = 17 // in pages of three
	if err := os.WriteFile(path, []byte(strings.Repeat(line, records)), 0o600); err != nil {
		t.Fatal(err)
	}
	for shards, limit := range map[int]int{1: 10_000, 2: 3, 4: 2, 64: 1} {
		s := &stub{open: shards}
		if err := s.load(path); err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(s)
		seen := map[string]bool{}
		for shard := range shards {
			var at struct{ ShardIterator string }
			callStream(t, server.URL, "GetShardIterator", fmt.Sprintf(`{"ShardId": "shardId-%012d"}`, shard), &at)
			for {
				var out struct {
					NextShardIterator string
					Records           []struct{ SequenceNumber string }
				}
				callStream(t, server.URL, "GetRecords", fmt.Sprintf(`{"ShardIterator": %q, "Limit": %d}`, at.ShardIterator, limit), &out)
				if len(out.Records) > limit {
					t.Errorf("%d records, the limit is %d", len(out.Records), limit)
				}
				if len(out.Records) == 0 {
					break
				}
				for _, r := range out.Records {
					if seen[r.SequenceNumber] {
						t.Errorf("%d shards: record %s comes again", shards, r.SequenceNumber)
					}
					seen[r.SequenceNumber] = true
				}
				at.ShardIterator = out.NextShardIterator
			}
		}
		if len(seen) != records {
			t.Errorf("%d shards: %d records came of %d", shards, len(seen), records)
		}
		server.Close()
	}
}

func callStream(t *testing.T, url, operation, body string, into any) {
	t.Helper()
	req, _ := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	req.Header.Set("X-Amz-Target", "Kinesis_20131202."+operation)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}
