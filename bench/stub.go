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
	"slices"
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
	open     int           // shards; 0: the usual number
	takes    time.Duration // until PutRecords is answered
	records  atomic.Int64
	bytes    atomic.Int64
	downTill atomic.Int64 // Unix nanoseconds: before that, every call fails
	answers  sync.Map     // number of records -> answer of PutRecords
	pages    []page       // what GetRecords answers, one after the other
}

// page is records as they are written in answers, with commas between them.
type page struct {
	text []byte
	ends []int // where each record ends, without the comma
}

// cut gives n records from the one with that number on, or as many as there are.
func (p *page) cut(from, n int) (text []byte, got int) {
	begin := 0
	if from > 0 {
		begin = p.ends[from-1] + 1
	}
	got = min(n, len(p.ends)-from)
	return p.text[begin:p.ends[from+got-1]], got
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
		time.Sleep(s.takes)
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
	var text, data []byte
	var ends []int
	size, total := 0, int64(0)
	cut := func() {
		s.pages = append(s.pages, page{bytes.Clone(text), slices.Clone(ends)})
		text, ends, size = text[:0], ends[:0], 0
	}
	for lines.Scan() {
		if size > 0 {
			text = append(text, ',')
		}
		total++
		text = fmt.Appendf(text, `{"SequenceNumber": "4960000000000000000000000000000000000%019d", "ApproximateArrivalTimestamp": %d, "PartitionKey": "k%d", "Data": "`,
			total, 1760000000+total/10000, total%9973)
		data = append(append(data[:0], lines.Bytes()...), '\n')
		text = base64.StdEncoding.AppendEncode(text, data)
		text = append(text, `"}`...)
		ends, size = append(ends, len(text)), size+len(data)
		if size >= pageBytes {
			cut()
		}
	}
	if size > 0 {
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
	return fmt.Appendf(nil, `{"ShardIterator": "%d:0"}`, shard), err
}

// mostRecords is how many records Kinesis gives at once, if no limit is asked for.
const mostRecords = 10_000

// getRecords answers with a part of a page as it was prepared: its bytes go to the connection without being copied.
func (s *stub) getRecords(w http.ResponseWriter, body []byte) {
	in := struct {
		ShardIterator string
		Limit         int
	}{Limit: mostRecords}
	err := json.Unmarshal(body, &in)
	var at, record int
	_, scanErr := fmt.Sscanf(in.ShardIterator, "%d:%d", &at, &record)
	if err = errors.Join(err, scanErr); err != nil {
		http.Error(w, fmt.Sprintf(`{"__type": "InvalidArgumentException", "message": %q}`, err), http.StatusBadRequest)
		return
	}
	begin := []byte(`{"Records": [`)
	var records []byte
	if at < len(s.pages) {
		var n int
		records, n = s.pages[at].cut(record, in.Limit)
		s.records.Add(int64(n))
		if record += n; record == len(s.pages[at].ends) {
			at, record = at+s.shards(), 0
		}
	}
	end := fmt.Appendf(nil, `], "NextShardIterator": "%d:%d", "MillisBehindLatest": %d}`, at, record, max(0, len(s.pages)-at)*1000)
	w.Header().Set("Content-Length", strconv.Itoa(len(begin)+len(records)+len(end)))
	for _, part := range [][]byte{begin, records, end} {
		_, _ = w.Write(part)
	}
}
