package kinesisout

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// recordedHTTP keeps the last request and answers with body.
type recordedHTTP struct {
	status int
	body   string
	header http.Header
	sent   []byte
}

func (r *recordedHTTP) Do(req *http.Request) (resp *http.Response, err error) {
	r.header = req.Header
	if r.sent, err = io.ReadAll(req.Body); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: r.status, Request: req, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(r.body))}, nil
}

func (r *recordedHTTP) client() *kinesis.Client {
	return NewClient(aws.Config{Region: "eu-west-1", HTTPClient: r, Credentials: aws.CredentialsProviderFunc(credentials)}, "http://stub")
}

func newWire() *wire { return &wire{bodies: new(sync.Pool)} }

func TestWireSendsWhatTheSDKSends(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	entry := func(key string, data []byte, hashKey *string) types.PutRecordsRequestEntry {
		return types.PutRecordsRequestEntry{PartitionKey: &key, Data: data, ExplicitHashKey: hashKey}
	}
	w := newWire()
	for name, in := range map[string]*kinesis.PutRecordsInput{
		"name":      {StreamName: aws.String("s"), Records: []types.PutRecordsRequestEntry{entry("k", []byte("data"), nil)}},
		"arn":       {StreamARN: aws.String("arn:aws:kinesis:eu-west-1:1:stream/s"), Records: []types.PutRecordsRequestEntry{entry("k", []byte{}, nil)}},
		"hash keys": {StreamName: aws.String("s"), Records: []types.PutRecordsRequestEntry{entry("a", every, aws.String("0")), entry("b", every, nil)}},
		"odd keys": {StreamName: aws.String("s"), Records: []types.PutRecordsRequestEntry{
			entry("quote\" back\\slash /", []byte{}, nil), entry("\x00\x1f\n\t\u007f\u2028", every[:1], nil), entry("日本 😀 <&>", every[:2], nil),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := &recordedHTTP{status: 200, body: `{"FailedRecordCount":0,"Records":[]}`}
			client := h.client()
			if _, err := client.PutRecords(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			want, wantHeader := h.sent, h.header
			if _, err := client.PutRecords(t.Context(), in, w.use); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(parse(t, want), parse(t, h.sent)); diff != "" {
				t.Errorf("body (-sdk +wire):\n%s", diff)
			}
			for _, name := range []string{"X-Amz-Target", "Content-Type"} {
				if got := h.header.Get(name); got != wantHeader.Get(name) {
					t.Errorf("header %s is %q, the SDK's is %q", name, got, wantHeader.Get(name))
				}
			}
		})
	}
}

// The encoder is one of machine instructions, which are others for the begin, the middle and the end of what is encoded, and
// for each kind of processor.
func TestBase64IsTheStandardLibrarys(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	memory := make([]byte, 5000)
	for n := range 4000 {
		for i := range memory {
			memory[i] = byte(random.Uint32())
		}
		data := memory[n%64 : n%64+n]
		if got, want := appendBase64([]byte("kept"), data), base64.StdEncoding.AppendEncode([]byte("kept"), data); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes %x become\n%s, want\n%s", n, data, got, want)
		}
	}
}

func FuzzBase64(f *testing.F) {
	f.Add([]byte(`{"data":{"id":1}}`), 3)
	f.Fuzz(func(t *testing.T, data []byte, room int) {
		dst := make([]byte, 1, 1+max(0, min(room, 1<<16))) // less room than it takes, or more
		behind := slices.Clone(dst[:cap(dst)])
		got := appendBase64(dst, data)
		if want := base64.StdEncoding.EncodeToString(data); string(got[1:]) != want {
			t.Errorf("%x becomes\n%s, want\n%s", data, got[1:], want)
		}
		if len(got) < cap(dst) && !bytes.Equal(dst[:cap(dst)][len(got):], behind[len(got):]) {
			t.Error("something was written behind the text")
		}
	})
}

func parse(t *testing.T, b []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return v
}

// answers are bodies of answers, and whether the fast reader must understand them.
var answers = map[string]bool{
	`{"FailedRecordCount":0,"Records":[{"SequenceNumber":"49543463076548007577105092703039560359975228518395012686","ShardId":"shardId-000000000000"}]}`: true,
	`{"FailedRecordCount":1,"Records":[{"ErrorCode":"InternalFailure","ErrorMessage":"Internal Service Failure"},{"SequenceNumber":"1","ShardId":"s"}]}`: true,
	`{"EncryptionType":"KMS","Records":[],"FailedRecordCount":0}`:                                                                                        true,
	"{ \"Records\" : [ { \"ShardId\" :\"s\" , \"SequenceNumber\":\"1\" } ] ,\n\t\"FailedRecordCount\" : 12 }\r\n":                                        true,
	`{"Records":[{"ErrorCode":null,"ErrorMessage":null,"SequenceNumber":"1","ShardId":"s"}]}`:                                                            true,
	`{"Records":[{}]}`: true,
	`{"Records":[{"ErrorMessage":"a \"quoted\" word"}]}`:   false,
	`{"Records":[{"ErrorMessage":"ü"}]}`:                   false,
	`{"Records":[{"SequenceNumber":"1","New":{"a":[1]}}]}`: false,
	`{"Records":null}`:                   false,
	`{"FailedRecordCount":0}`:            false,
	`{"Records":[{"SequenceNumber":1}]}`: false,
	`{"Records":[`:                       false,
	`{"Records":[]} x`:                   false,
	`{}`:                                 false,
	``:                                   false,
}

// An answer has the shards of many lanes in turn, and so has the next one.
func TestNamesOfShardsAreKept(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates too")
	}
	var parts []string
	for i := range MaxRecordsPerRequest {
		parts = append(parts, fmt.Sprintf(`{"SequenceNumber":"4954346307654800757710509%d","ShardId":"shardId-%012d"}`, i, i/4%64))
	}
	memory := []byte(`{"FailedRecordCount":0,"Records":[` + strings.Join(parts, ",") + `]}`)
	var r answerReader
	read := func() {
		if !r.read(textOf(memory)) {
			t.Fatal("it is not understood")
		}
	}
	read()
	first := *r.records[4].ShardId
	if got := testing.AllocsPerRun(10, read); got > 0 {
		t.Errorf("%v allocations to read an answer again", got)
	}
	clear(memory)
	if first != "shardId-000000000001" || first != *r.records[4].ShardId {
		t.Errorf("a shard's name is %q when the answer's memory is used again, want it kept", first)
	}
}

func TestWireReadsWhatTheSDKReads(t *testing.T) {
	for body, fast := range answers {
		compareAnswer(t, body)
		if got := new(answerReader).read(body); got != fast {
			t.Errorf("the fast reader says %v to %s", got, body)
		}
	}
}

func FuzzWireAnswer(f *testing.F) {
	for body := range answers {
		f.Add(body)
	}
	var r answerReader
	f.Fuzz(func(t *testing.T, body string) {
		if !r.read(body) {
			return
		}
		var want struct{ Records []types.PutRecordsResultEntry }
		if err := json.Unmarshal([]byte(body), &want); err != nil {
			t.Fatalf("%q was read although it is not JSON: %v", body, err)
		}
		if diff := cmp.Diff(want.Records, r.records, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(types.PutRecordsResultEntry{})); diff != "" {
			t.Errorf("%q (-json +wire):\n%s", body, diff)
		}
	})
}

// compareAnswer reads a body both ways. The wire may give up, which leaves it to the SDK, but not differ.
func compareAnswer(t *testing.T, body string) {
	t.Helper()
	h := &recordedHTTP{status: 200, body: body}
	in := &kinesis.PutRecordsInput{StreamName: aws.String("s"), Records: []types.PutRecordsRequestEntry{{PartitionKey: aws.String("k"), Data: []byte{1}}}}
	want, wantErr := h.client().PutRecords(t.Context(), in)
	got, err := h.client().PutRecords(t.Context(), in, newWire().use)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%q gives %v, the SDK says %v", body, err, wantErr)
	}
	if err != nil {
		return
	}
	ignore := cmpopts.IgnoreFields(kinesis.PutRecordsOutput{}, "EncryptionType", "FailedRecordCount", "ResultMetadata")
	if diff := cmp.Diff(want, got, ignore, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(kinesis.PutRecordsOutput{}, types.PutRecordsResultEntry{})); diff != "" {
		t.Errorf("%q (-sdk +wire):\n%s", body, diff)
	}
}

// A body whose call failed may still be read by its transport: the next call must not write over it.
func TestWireLeavesBodiesOfFailedCallsAlone(t *testing.T) {
	w := newWire()
	in := &kinesis.PutRecordsInput{StreamName: aws.String("s"), Records: []types.PutRecordsRequestEntry{{PartitionKey: aws.String("k"), Data: []byte("one")}}}
	failing := &recordedHTTP{status: 500, body: `{"__type":"InternalFailure"}`}
	if _, err := failing.client().PutRecords(t.Context(), in, w.use); err == nil {
		t.Fatal("no error")
	}
	first, content := *w.body, string(*w.body)
	in.Records[0].Data = []byte("two")
	ok := &recordedHTTP{status: 200, body: `{"Records":[{"SequenceNumber":"1"}]}`}
	for range 3 {
		if _, err := ok.client().PutRecords(t.Context(), in, w.use); err != nil {
			t.Fatal(err)
		}
	}
	if string(first) != content {
		t.Errorf("the body of the failed call was changed to %s", first)
	}
	if !bytes.Contains(ok.sent, []byte("dHdv")) {
		t.Errorf("sent %s", ok.sent)
	}
}

// kinesisServer answers over HTTP as Kinesis does; put answers PutRecords.
func kinesisServer(t *testing.T, put http.HandlerFunc) *Writer {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch _, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); op {
		case "DescribeStreamSummary":
			fmt.Fprint(rw, `{"StreamDescriptionSummary":{"StreamName":"s","StreamStatus":"ACTIVE","StreamCreationTimestamp":1.7e9}}`)
		case "ListShards":
			fmt.Fprint(rw, `{"Shards":[{"ShardId":"shardId-0","HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"340282366920938463463374607431768211455"},"SequenceNumberRange":{"StartingSequenceNumber":"1"}}]}`)
		case "PutRecords":
			put(rw, r)
		default:
			t.Errorf("unexpected call %q", op)
		}
	}))
	t.Cleanup(server.Close)
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	cfg := aws.Config{Region: "eu-west-1", Credentials: aws.CredentialsProviderFunc(credentials), HTTPClient: client}
	return New(Config{API: NewClient(cfg, server.URL), StreamName: "s", Logger: slog.New(slog.DiscardHandler), CallTimeout: 300 * time.Millisecond})
}

func TestOverHTTP(t *testing.T) {
	var mu sync.Mutex
	var calls int
	got := make(map[string][]string)
	w := kinesisServer(t, func(rw http.ResponseWriter, r *http.Request) {
		var in struct {
			Records []struct {
				Data         []byte
				PartitionKey string
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		switch calls++; calls {
		case 1:
			rw.WriteHeader(400)
			fmt.Fprint(rw, `{"__type":"ProvisionedThroughputExceededException","message":"slow down"}`)
			return
		case 2:
			rw.WriteHeader(503)
			return
		case 3:
			panic(http.ErrAbortHandler) // the connection breaks
		case 4:
			time.Sleep(500 * time.Millisecond) // longer than the writer waits
			return
		}
		var answers []string
		for i, rec := range in.Records {
			if (calls+i)%3 == 0 {
				answers = append(answers, `{"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"Rate exceeded"}`)
				continue
			}
			got[rec.PartitionKey] = append(got[rec.PartitionKey], string(rec.Data))
			answers = append(answers, `{"SequenceNumber":"1","ShardId":"shardId-0"}`)
		}
		fmt.Fprintf(rw, `{"FailedRecordCount":1,"Records":[%s]}`, strings.Join(answers, ","))
	})
	var group sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	group.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer group.Wait()
	defer cancel()
	want := make(map[string][]string)
	for i := range 300 {
		key, data := fmt.Sprint("key", i%40), fmt.Sprint("data ", i)
		want[key] = append(want[key], data)
		if err := w.Put(ctx, Record{Key: []byte(key), Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}

func TestClientDoesNotRetry(t *testing.T) {
	var calls atomic.Int32
	w := kinesisServer(t, func(rw http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		rw.WriteHeader(500)
		fmt.Fprint(rw, `{"__type":"InternalFailure"}`)
	})
	_, err := w.cfg.API.PutRecords(t.Context(), &kinesis.PutRecordsInput{
		StreamName: aws.String("s"), Records: []types.PutRecordsRequestEntry{{PartitionKey: aws.String("k"), Data: []byte{1}}},
	})
	if err == nil || calls.Load() != 1 {
		t.Errorf("%d calls, %v", calls.Load(), err)
	}
}

func TestFatalOverHTTP(t *testing.T) {
	w := kinesisServer(t, func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(400)
		fmt.Fprint(rw, `{"__type":"com.amazonaws.kinesis#AccessDeniedException","Message":"User: x is not authorized to perform: kinesis:PutRecords"}`)
	})
	done := make(chan error, 1)
	go func() { done <- w.Run(t.Context()) }()
	if err := w.Put(t.Context(), Record{Key: []byte("k")}); err != nil {
		t.Fatal(err)
	}
	failed, ok := errors.AsType[*Error](<-done)
	if !ok || failed.Code != "AccessDeniedException" || failed.Step != stepPut {
		t.Errorf("Run = %v", failed)
	}
}
