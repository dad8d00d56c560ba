package faultproxy_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/binlogstreamer/binlogstreamer/internal/faultproxy"
	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// server is what stands behind a proxy. It stores what it is sent.
type server struct {
	*httptest.Server

	mu     sync.Mutex // covers stored
	stored []string
}

// newServer answers PutRecords with a sequence number for each record, a conditional PUT with 412 from the second time on,
// and everything else with a long text.
func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".PutRecords") {
			s.putRecords(t, w, body)
			return
		}
		what := r.Method + " " + r.RequestURI + " " + string(body)
		if r.Header.Get("If-None-Match") != "" && slices.Contains(s.stored, what) {
			w.WriteHeader(http.StatusPreconditionFailed)
			return
		}
		s.stored = append(s.stored, what)
		_, _ = io.WriteString(w, strings.Repeat("answer", 1000))
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) putRecords(t *testing.T, w io.Writer, body []byte) {
	var request struct{ Records []struct{ Data []byte } }
	if err := json.Unmarshal(body, &request); err != nil {
		t.Errorf("the server was sent %q: %v", body, err)
	}
	var answers []string
	for _, r := range request.Records {
		s.stored = append(s.stored, string(r.Data))
		answers = append(answers, fmt.Sprintf(`{"SequenceNumber":"%s","ShardId":"shardId-0"}`, r.Data))
	}
	_, _ = fmt.Fprintf(w, `{"FailedRecordCount":0,"Records":[%s]}`, strings.Join(answers, ","))
}

func (s *server) has() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.stored)
}

// call sends one request over a connection of its own.
func call(t *testing.T, method, url, target, body string, header ...string) (status int, answer string, err error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Close = true
	if target != "" {
		r.Header.Set("X-Amz-Target", "Service."+target)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// always is one fault of every request of a call.
func always(call string, f faultproxy.Fault) faultproxy.Faults {
	return faultproxy.Faults{call: {f: 1}}
}

func TestFaults(t *testing.T) {
	const long = 6000
	for _, c := range []struct {
		fault    faultproxy.Fault
		service  faultproxy.Service
		method   string
		target   string
		status   int // 0: the connection is cut
		says     string
		stored   int
		atOnce   bool // stored when the client knows
		cutShort bool // the status came, the whole answer did not
	}{
		{fault: "", service: faultproxy.S3, method: "PUT", status: 200, stored: 1, atOnce: true},
		{fault: faultproxy.Delay, service: faultproxy.S3, method: "PUT", status: 200, stored: 1, atOnce: true},
		{fault: faultproxy.LateAnswer, service: faultproxy.S3, method: "PUT", status: 200, stored: 1, atOnce: true},
		{fault: faultproxy.Throttle, service: faultproxy.S3, method: "GET", status: 503, says: "SlowDown"},
		{fault: faultproxy.Throttle, service: faultproxy.Kinesis, method: "POST", target: "GetRecords", status: 400, says: "ProvisionedThroughputExceededException"},
		{fault: faultproxy.Throttle, service: faultproxy.DynamoDB, method: "POST", target: "PutItem", status: 400, says: "v20120810#ProvisionedThroughputExceededException"},
		{fault: faultproxy.ExpireIterator, service: faultproxy.Kinesis, method: "POST", target: "GetRecords", status: 400, says: "ExpiredIteratorException"},
		{fault: faultproxy.Conflict, service: faultproxy.S3, method: "PUT", status: 409, says: "ConditionalRequestConflict"},
		{fault: faultproxy.Fail, service: faultproxy.DynamoDB, method: "POST", target: "PutItem", status: 500, says: "InternalServerError"},
		{fault: faultproxy.FailStored, service: faultproxy.DynamoDB, method: "POST", target: "PutItem", status: 500, says: "InternalServerError", stored: 1, atOnce: true},
		{fault: faultproxy.CutRequest, service: faultproxy.S3, method: "PUT"},
		{fault: faultproxy.LoseAnswer, service: faultproxy.S3, method: "PUT", stored: 1, atOnce: true},
		{fault: faultproxy.CutAnswer, service: faultproxy.S3, method: "GET", status: 200, stored: 1, atOnce: true, cutShort: true},
		{fault: faultproxy.HoldBack, service: faultproxy.S3, method: "PUT", stored: 1},
		{fault: faultproxy.Twice, service: faultproxy.S3, method: "PUT", status: 412, stored: 1, atOnce: true},
	} {
		t.Run(fmt.Sprintf("%s of %s %s", c.fault, c.method, c.target), func(t *testing.T) {
			s := newServer(t)
			name := c.target
			if name == "" {
				name = c.method
			}
			p := faultproxy.New(t, faultproxy.Config{Service: c.service, Target: s.URL, Faults: always(name, c.fault), Longest: 20 * time.Millisecond, Held: time.Hour})
			status, answer, err := call(t, c.method, p.Endpoint()+"/a%20key?x=1", c.target, "body", "If-None-Match", "*")
			switch {
			case c.cutShort:
				if status != c.status || err == nil || len(answer) == 0 || len(answer) >= long {
					t.Errorf("answered %d with %d bytes, %v; want %d and a part", status, len(answer), err, c.status)
				}
			case c.status == 0:
				if err == nil {
					t.Errorf("answered %d, want no answer", status)
				}
			case status != c.status || err != nil || !strings.Contains(answer, c.says):
				t.Errorf("answered %d %.200q, %v; want %d with %q", status, answer, err, c.status, c.says)
			}
			if got := len(s.has()); c.atOnce && got != c.stored {
				t.Errorf("stored %d times, want %d", got, c.stored)
			}
			if c.fault == faultproxy.HoldBack && len(s.has()) != 0 {
				t.Error("what is held back for an hour has arrived")
			}
			p.LetThrough()
			if err := p.Settle(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := s.has()
			if len(got) != c.stored {
				t.Errorf("in the end stored %q, want %d", got, c.stored)
			}
			if want := c.method + " /a%20key?x=1 body"; len(got) > 0 && got[0] != want {
				t.Errorf("passed on %q, want %q", got[0], want)
			}
			counts := p.Counts()
			if n := counts.Of(c.fault); c.fault != "" && n != 1 || counts[name] != 1 {
				t.Errorf("counted %v", counts)
			}
			if status, _, err := call(t, c.method, p.Endpoint()+"/other", c.target, "other"); err != nil || status != 200 {
				t.Errorf("after LetThrough: %d, %v", status, err)
			}
		})
	}
}

func putRecords(n int, data func(int) string) string {
	var entries []string
	for i := range n {
		entries = append(entries, fmt.Sprintf(`{"Data":%q,"PartitionKey":"k%d"}`, base64.StdEncoding.EncodeToString([]byte(data(i))), i))
	}
	return fmt.Sprintf(`{"StreamName":"s","Records":[%s]}`, strings.Join(entries, ","))
}

// TestPartialAnswersStandInPlace sends requests whose entries are refused in part: each answer stands at its entry's place,
// what is answered with a sequence number is stored, and nothing else is.
func TestPartialAnswersStandInPlace(t *testing.T) {
	s := newServer(t)
	p := faultproxy.New(t, faultproxy.Config{Service: faultproxy.Kinesis, Target: s.URL, Seed: 3, Faults: always("PutRecords", faultproxy.Partial), Throttled: 0.3})
	refused := map[string]int{}
	var want []string
	for round := range 30 {
		_, answer, err := call(t, "POST", p.Endpoint(), "PutRecords", putRecords(20, func(i int) string { return fmt.Sprint(round*100 + i) }))
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			FailedRecordCount int
			Records           []struct{ SequenceNumber, ErrorCode string }
		}
		if err := json.Unmarshal([]byte(answer), &got); err != nil || len(got.Records) != 20 {
			t.Fatalf("answer %q, %v", answer, err)
		}
		failed := 0
		for i, r := range got.Records {
			switch number := fmt.Sprint(round*100 + i); {
			case r.ErrorCode != "" && r.SequenceNumber == "":
				failed++
				refused[r.ErrorCode]++
			case r.SequenceNumber == number && r.ErrorCode == "":
				want = append(want, number)
			default:
				t.Fatalf("the answer to entry %s is %+v", number, r)
			}
		}
		if failed != got.FailedRecordCount {
			t.Errorf("%d entries are refused, the answer says %d", failed, got.FailedRecordCount)
		}
	}
	if got := s.has(); !slices.Equal(got, want) {
		t.Errorf("stored %v, answered as stored %v", got, want)
	}
	if len(want) == 0 || refused["InternalFailure"] == 0 || refused["ProvisionedThroughputExceededException"] == 0 {
		t.Errorf("%d stored, refused %v: nothing of this may be missing", len(want), refused)
	}
}

// TestHeldRequestsComeBehindNewerOnes is what holding back is for.
func TestHeldRequestsComeBehindNewerOnes(t *testing.T) {
	s := newServer(t)
	held := always("PutRecords", faultproxy.HoldBack)
	p := faultproxy.New(t, faultproxy.Config{Service: faultproxy.Kinesis, Target: s.URL, Held: time.Hour, Faults: held})
	if _, _, err := call(t, "POST", p.Endpoint(), "PutRecords", putRecords(1, func(int) string { return "older" })); err == nil {
		t.Fatal("a request that is held back was answered")
	}
	p.Set(faultproxy.Faults{})
	if _, _, err := call(t, "POST", p.Endpoint(), "PutRecords", putRecords(1, func(int) string { return "newer" })); err != nil {
		t.Fatal(err)
	}
	if got := s.has(); !slices.Equal(got, []string{"newer"}) {
		t.Fatalf("stored %q", got)
	}
	p.LetThrough()
	if err := p.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.has(); !slices.Equal(got, []string{"newer", "older"}) {
		t.Errorf("stored %q, want what was held back at the end", got)
	}
}

// TestASeedRepeatsFaults sends the same requests through two proxies.
func TestASeedRepeatsFaults(t *testing.T) {
	run := func(seed uint64) string {
		s := newServer(t)
		rates := faultproxy.Rates{faultproxy.Fail: 0.2, faultproxy.Throttle: 0.2, faultproxy.LoseAnswer: 0.1, faultproxy.CutAnswer: 0.1}
		p := faultproxy.New(t, faultproxy.Config{Service: faultproxy.S3, Target: s.URL, Seed: seed, Faults: faultproxy.Faults{"*": rates}})
		var b strings.Builder
		for range 40 {
			status, _, err := call(t, "GET", p.Endpoint(), "", "")
			fmt.Fprint(&b, status, err == nil, " ")
		}
		return b.String()
	}
	if a, b := run(7), run(7); a != b {
		t.Errorf("one seed, two courses:\n%s\n%s", a, b)
	}
	if a, b := run(7), run(8); a == b {
		t.Errorf("two seeds, one course: %s", a)
	}
}

// TestTheClientMayDie: what is under way arrives.
func TestTheClientMayDie(t *testing.T) {
	s := newServer(t)
	p := faultproxy.New(t, faultproxy.Config{Service: faultproxy.S3, Target: s.URL, Longest: time.Hour, Faults: always("PUT", faultproxy.Delay)})
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, p.Endpoint(), bytes.NewReader([]byte("body")))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		resp, err := http.DefaultClient.Do(r)
		if err == nil {
			resp.Body.Close()
			t.Error("answered")
		}
	}()
	for p.Counts()["PUT delay"] == 0 {
		time.Sleep(time.Millisecond) // the request is on its way in another process's place
	}
	cancel()
	<-done
	p.LetThrough()
	for len(s.has()) == 0 {
		time.Sleep(time.Millisecond)
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestReshards splits and merges the shards of a real server.
func TestReshards(t *testing.T) {
	s := testservers.Kinesalite(t)
	s.CreateStream(t, "s", 2)
	r := &faultproxy.Resharder{API: s.Kinesis(), Stream: "s", Most: 4}
	did := map[string]int{}
	random := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		what, err := r.Reshard(t.Context(), random)
		if err != nil {
			t.Fatal(err)
		}
		did[what]++
		s.AwaitStream(t, "s")
	}
	if did["split"] == 0 || did["merge"] == 0 {
		t.Errorf("did %v", did)
	}
}
