package kinesisin

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/binlogstreamer/binlogstreamer/internal/requestbody"
)

// answer is a body as AWS writes it.
func answerBody(records int) string {
	var b strings.Builder
	b.WriteString(`{"MillisBehindLatest":1000,"NextShardIterator":"AAAA+/=","Records":[`)
	for i := range records {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"ApproximateArrivalTimestamp":1.44121541%04dE9,"Data":%q,"PartitionKey":"key %d é","SequenceNumber":"4954498525690737027657006468035880500137%04d"}`,
			i, base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{byte(i), 0xff}, i%40)), i, i)
	}
	return b.String() + `]}`
}

// askBoth makes a call with and without the wire and compares the answers.
func askBoth(t testing.TB, status int, body string) (same bool, direct bool) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // an answer before that would break the request off
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	defer server.Close()
	client := kinesis.New(kinesis.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL), Credentials: aws.AnonymousCredentials{}, Retryer: aws.NopRetryer{},
		HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		APIOptions: requestbody.Options(),
	})
	in := &kinesis.GetRecordsInput{ShardIterator: aws.String("i")}
	ask := func(options ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error) {
		return client.GetRecords(t.Context(), in, options...)
	}
	want, wantErr := ask()
	got, gotErr := ask(useWire)
	if (wantErr == nil) != (gotErr == nil) {
		t.Errorf("errors differ: %v, %v", wantErr, gotErr)
		return false, false
	}
	if wantErr != nil {
		return true, false
	}
	clear := func(out *kinesis.GetRecordsOutput) {
		out.ResultMetadata = want.ResultMetadata
		for i := range out.Records {
			out.Records[i].PartitionKey, out.Records[i].EncryptionType = nil, ""
			if len(out.Records[i].Data) == 0 {
				out.Records[i].Data = nil
			}
		}
		if len(out.Records) == 0 {
			out.Records = nil
		}
	}
	clear(got)
	clear(want)
	var direct2 kinesis.GetRecordsOutput
	return reflect.DeepEqual(got, want), readAnswer([]byte(body), &direct2)
}

func TestWireReadsWhatTheSDKReads(t *testing.T) {
	long := answerBody(300)
	for name, tc := range map[string]struct {
		body   string
		direct bool // by the wire itself
	}{
		"records":        {long, true},
		"none":           {`{"MillisBehindLatest":0,"NextShardIterator":"x","Records":[]}`, true},
		"spaces":         {" {\n\t\"Records\" : [ ] , \"NextShardIterator\" : null,\"MillisBehindLatest\": 7 }\n", true},
		"at the end":     {`{"MillisBehindLatest":0,"Records":[],"ChildShards":[{"ShardId":"s","ParentShards":["p"],"HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"1"}}]}`, false},
		"encrypted":      {`{"Records":[{"Data":"YQ==","PartitionKey":"k","SequenceNumber":"1","ApproximateArrivalTimestamp":1760000000.123,"EncryptionType":"KMS"}]}`, true},
		"escaped key":    {`{"Records":[{"Data":"YQ==","PartitionKey":"a\"b","SequenceNumber":"1","ApproximateArrivalTimestamp":1}]}`, false},
		"escaped slash":  {`{"Records":[{"Data":"YQ==","PartitionKey":"a\\","SequenceNumber":"1","ApproximateArrivalTimestamp":1}]}`, false},
		"escaped member": {`{"Records":[{"D\u0061ta":"YQ==","PartitionKey":"k","SequenceNumber":"1","ApproximateArrivalTimestamp":1}]}`, false},
		"something new":  {`{"Records":[{"Data":"YQ==","PartitionKey":"k","SequenceNumber":"1","ApproximateArrivalTimestamp":1,"New":{"a":[1]}}],"Other":true}`, false},
		"no data":        {`{"Records":[{"PartitionKey":"k","SequenceNumber":"1","ApproximateArrivalTimestamp":1}]}`, false},
		"cut off":        {long[:len(long)-40], false},
		"not base64":     {`{"Records":[{"Data":"@@","PartitionKey":"k","SequenceNumber":"1","ApproximateArrivalTimestamp":1}]}`, false},
		"not JSON":       {`<html>`, false},
		"nothing":        {``, false},
	} {
		t.Run(name, func(t *testing.T) {
			same, direct := askBoth(t, 200, tc.body)
			if !same || direct != tc.direct {
				t.Errorf("same %v, read by the wire %v, want %v", same, direct, tc.direct)
			}
		})
	}
	askBoth(t, 400, `{"__type":"ExpiredIteratorException","message":"old"}`)
}

func FuzzWire(f *testing.F) {
	f.Add([]byte(answerBody(3)))
	f.Add([]byte(`{"Records":[{"Data":"YQ==","PartitionKey":"k\\","SequenceNumber":"1","ApproximateArrivalTimestamp":1e3}],"NextShardIterator":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var out kinesis.GetRecordsOutput
		before := bytes.Clone(body)
		if !readAnswer(body, &out) {
			return
		}
		if !bytes.Equal(before, body) {
			t.Fatal("the answer was changed")
		}
		if same, _ := askBoth(t, 200, string(body)); !same {
			t.Errorf("the wire reads %q otherwise than the SDK", body)
		}
	})
}

func BenchmarkWire(b *testing.B) {
	record := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("0123456789"), 50))
	var body strings.Builder
	body.WriteString(`{"MillisBehindLatest":1000,"NextShardIterator":"AAAA","Records":[`)
	for i := range 1000 {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `{"ApproximateArrivalTimestamp":1760000000.%03d,"Data":"%s","PartitionKey":"key","SequenceNumber":"4954498525690737027657006468035880500137%04d"}`, i, record, i)
	}
	body.WriteString("]}")
	data := []byte(body.String())
	b.SetBytes(1000 * 500)
	for b.Loop() {
		var out kinesis.GetRecordsOutput
		if !readAnswer(data, &out) {
			b.Fatal("not read")
		}
	}
}

// TestIsPlain holds eight bytes at a time against one at a time.
func TestIsPlain(t *testing.T) {
	for length := range 20 {
		for at := range length {
			for c := range 256 {
				for _, rest := range []byte{' ', '0', '\x7f', '[', ']'} {
					text := bytes.Repeat([]byte{rest}, length)
					text[at] = byte(c)
					want := c >= 0x20 && c < 0x80 && c != '\\'
					if got := isPlain(text); got != want {
						t.Fatalf("%q: %v", text, got)
					}
				}
			}
		}
	}
}
