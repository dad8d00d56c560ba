package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// stubStep is the child process that plays Kinesis: it acknowledges what is put without looking at it, and hands out
// records that it was given in a file. Its own CPU time counts for nobody.
const stubStep = "stub"

const (
	streamName = "bench"
	stubShards = 4
)

// stub is a stream that costs its client as little as a server can.
type stub struct {
	bucket   bucket
	open     int // shards; 0: the usual number
	records  atomic.Int64
	bytes    atomic.Int64
	downTill atomic.Int64 // Unix nanoseconds: before that, every call fails
	answers  sync.Map     // number of records -> answer of PutRecords
	pages    [][]byte     // answers of GetRecords, one after the other, without the iterator
	counts   []int        // records in each page
}

// stubState is what the stub tells about itself, and with which it can be told to fail for some time.
type stubState struct {
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`  // of requests
	Stored  int64 `json:"stored"` // records in the objects of the bucket
}

func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/state":
		_ = json.NewEncoder(w).Encode(stubState{s.records.Load(), s.bytes.Load(), s.bucket.records.Load()})
		return
	case "/fail":
		d, _ := time.ParseDuration(r.URL.Query().Get("for"))
		down := &s.downTill
		if r.URL.Query().Has("bucket") {
			down = &s.bucket.downTill
		}
		down.Store(time.Now().Add(d).UnixNano())
		return
	}
	if r.Header.Get("X-Amz-Target") == "" {
		s.bucket.ServeHTTP(w, r)
		return
	}
	body := bodies.Get().(*bytes.Buffer)
	defer bodies.Put(body)
	body.Reset()
	if _, err := body.ReadFrom(r.Body); err != nil {
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if time.Now().UnixNano() < s.downTill.Load() {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte(`{"__type": "InternalFailureException", "message": "down for the measurement"}`))
		return
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if operation == "GetRecords" {
		s.getRecords(w, body.Bytes())
		return
	}
	answer, err := s.answer(operation, body.Bytes())
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		answer = fmt.Appendf(nil, `{"__type": "InvalidArgumentException", "message": %q}`, err)
	}
	_, _ = w.Write(answer)
}

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func (s *stub) answer(operation string, body []byte) ([]byte, error) {
	switch operation {
	case "PutRecords":
		n := bytes.Count(body, []byte(`"PartitionKey"`))
		s.records.Add(int64(n))
		s.bytes.Add(int64(len(body)))
		return s.acknowledge(n), nil
	case "DescribeStreamSummary":
		return fmt.Appendf(nil, `{"StreamDescriptionSummary": {"StreamName": %q, "StreamARN": %q, "StreamStatus": "ACTIVE",
			"StreamModeDetails": {"StreamMode": "PROVISIONED"}, "RetentionPeriodHours": 24, "StreamCreationTimestamp": 1700000000,
			"EnhancedMonitoring": [], "EncryptionType": "NONE", "OpenShardCount": %d, "ConsumerCount": 0, "MaxRecordSizeInKiB": 10240}}`,
			streamName, "arn:aws:kinesis:us-east-1:000000000000:stream/"+streamName, s.shards()), nil
	case "ListShards":
		return s.listShards(), nil
	case "GetShardIterator":
		return s.firstIterator(body)
	}
	return nil, errors.New("not played here: " + operation)
}

// shards is one where records are handed out, so that they come in the order of the file, unless more are wanted.
func (s *stub) shards() int {
	switch {
	case s.open > 0:
		return s.open
	case s.pages != nil:
		return 1
	}
	return stubShards
}

func (s *stub) listShards() []byte {
	n := s.shards()
	var shards []string
	for i := range n {
		shards = append(shards, fmt.Sprintf(`{"ShardId": "shardId-%012d", "HashKeyRange": {"StartingHashKey": %q, "EndingHashKey": %q},
			"SequenceNumberRange": {"StartingSequenceNumber": "1"}}`, i, hashKey(i, n, 0), hashKey(i+1, n, -1)))
	}
	return []byte(`{"Shards": [` + strings.Join(shards, ",") + `]}`)
}

func (s *stub) acknowledge(n int) []byte {
	if a, ok := s.answers.Load(n); ok {
		return a.([]byte)
	}
	entry := `{"SequenceNumber": "49600000000000000000000000000000000000000000000000000001", "ShardId": "shardId-000000000000"}`
	a := []byte(`{"FailedRecordCount": 0, "Records": [` + strings.TrimSuffix(strings.Repeat(entry+",", n), ",") + `]}`)
	s.answers.Store(n, a)
	return a
}

// pageBytes is about how many record bytes one GetRecords answers with; Kinesis gives up to 10 MiB.
const pageBytes = 1 << 20

// load makes the pages of GetRecords from a file of records, one a line.
func (s *stub) load(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	var page, data []byte
	n, size, total := 0, 0, int64(0)
	cut := func() {
		s.pages, s.counts = append(s.pages, bytes.Clone(page)), append(s.counts, n)
		page, n, size = page[:0], 0, 0
	}
	for lines.Scan() {
		if n > 0 {
			page = append(page, ',')
		}
		total++
		page = fmt.Appendf(page, `{"SequenceNumber": "4960000000000000000000000000000000000%019d", "ApproximateArrivalTimestamp": %d, "PartitionKey": "k%d", "Data": "`,
			total, 1760000000+total/10000, total%9973)
		data = append(append(data[:0], lines.Bytes()...), '\n')
		page = base64.StdEncoding.AppendEncode(page, data)
		page = append(page, `"}`...)
		n, size = n+1, size+len(data)
		if size >= pageBytes {
			cut()
		}
	}
	if n > 0 {
		cut()
	}
	return lines.Err()
}

// firstIterator is where a shard begins. Of n shards the i-th has every n-th page, from the i-th on.
func (s *stub) firstIterator(body []byte) ([]byte, error) {
	var in struct{ ShardId string }
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	shard, err := strconv.Atoi(strings.TrimPrefix(in.ShardId, "shardId-"))
	return fmt.Appendf(nil, `{"ShardIterator": "%d"}`, shard), err
}

// getRecords answers with a page as it was prepared: its bytes go to the connection without being copied.
func (s *stub) getRecords(w http.ResponseWriter, body []byte) {
	var in struct{ ShardIterator string }
	err := json.Unmarshal(body, &in)
	at, parseErr := strconv.Atoi(in.ShardIterator)
	if err = errors.Join(err, parseErr); err != nil {
		http.Error(w, fmt.Sprintf(`{"__type": "InvalidArgumentException", "message": %q}`, err), http.StatusBadRequest)
		return
	}
	begin, next := []byte(`{"Records": [`), at
	var page []byte
	if at < len(s.pages) {
		s.records.Add(int64(s.counts[at]))
		page, next = s.pages[at], at+s.shards()
	}
	end := fmt.Appendf(nil, `], "NextShardIterator": "%d", "MillisBehindLatest": %d}`, next, max(0, len(s.pages)-next)*1000)
	w.Header().Set("Content-Length", strconv.Itoa(len(begin)+len(page)+len(end)))
	for _, part := range [][]byte{begin, page, end} {
		_, _ = w.Write(part)
	}
}
