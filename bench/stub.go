package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
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
	Bytes   int64 `json:"bytes"` // of requests
}

// serveStub runs until standard input ends.
func serveStub() int {
	s := &stub{}
	var p params
	in := json.NewDecoder(os.Stdin)
	err := in.Decode(&p)
	if err == nil && p.Records != "" {
		err = s.load(p.Records)
	}
	var l net.Listener
	if err == nil {
		l, err = net.Listen("tcp4", "127.0.0.1:0")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "stub stream:", err)
		return 1
	}
	server := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	fmt.Printf("http://%s\n", l.Addr())
	_, _ = io.Copy(io.Discard, in.Buffered())
	_, _ = io.Copy(io.Discard, os.Stdin) // our parent holds the other end for as long as it wants us
	_ = server.Close()
	return 0
}

// startStub starts a stub and returns its endpoint and what ends it.
func startStub(ctx context.Context, p params) (endpoint string, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), stepVariable+"="+stubStep)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = in.Close()
		_ = cmd.Wait()
	}
	if err := json.NewEncoder(in).Encode(p); err != nil {
		stop()
		return "", nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("start the stub stream: %w", err)
	}
	return strings.TrimSpace(line), stop, nil
}

func askStub(ctx context.Context, endpoint string) (stubState, error) {
	var s stubState
	return s, callStub(ctx, endpoint+"/state", &s)
}

// failStub makes every call fail for d from now on.
func failStub(ctx context.Context, endpoint string, d time.Duration) error {
	return callStub(ctx, endpoint+"/fail?for="+d.String(), nil)
}

func callStub(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/state":
		_ = json.NewEncoder(w).Encode(stubState{s.records.Load(), s.bytes.Load()})
		return
	case "/fail":
		d, _ := time.ParseDuration(r.URL.Query().Get("for"))
		s.downTill.Store(time.Now().Add(d).UnixNano())
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
		return []byte(`{"ShardIterator": "0"}`), nil
	case "GetRecords":
		return s.getRecords(body)
	}
	return nil, errors.New("not played here: " + operation)
}

// shards is one where records are handed out, so that they come in the order of the file.
func (s *stub) shards() int {
	if s.pages != nil {
		return 1
	}
	return stubShards
}

func (s *stub) listShards() []byte {
	n := s.shards()
	var shards []string
	width := 100 / n // percent of the space of hash keys
	for i := range n {
		end := hashKey((i+1)*width, -1)
		if i == n-1 {
			end = "340282366920938463463374607431768211455"
		}
		shards = append(shards, fmt.Sprintf(`{"ShardId": "shardId-%012d", "HashKeyRange": {"StartingHashKey": %q, "EndingHashKey": %q},
			"SequenceNumberRange": {"StartingSequenceNumber": "1"}}`, i, hashKey(i*width, 0), end))
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

func (s *stub) getRecords(body []byte) ([]byte, error) {
	var in struct{ ShardIterator string }
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	at, err := strconv.Atoi(in.ShardIterator)
	if err != nil {
		return nil, err
	}
	if at >= len(s.pages) {
		return fmt.Appendf(nil, `{"Records": [], "NextShardIterator": "%d", "MillisBehindLatest": 0}`, at), nil
	}
	s.records.Add(int64(s.counts[at]))
	out := make([]byte, 0, len(s.pages[at])+100)
	out = append(append(out, `{"Records": [`...), s.pages[at]...)
	return fmt.Appendf(out, `], "NextShardIterator": "%d", "MillisBehindLatest": %d}`, at+1, (len(s.pages)-at-1)*1000), nil
}
