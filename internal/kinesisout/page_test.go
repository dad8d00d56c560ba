package kinesisout

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// standing is a Writer that does not run, with one lane.
func standing(cfg Config) (*Writer, *lane) {
	cfg.StreamName = "s"
	w := New(cfg)
	w.maxRecord.Store(1 << 20)
	w.install(layout{{id: "only"}})
	close(w.ready)
	return w, w.lanes[0]
}

// settleAll takes a batch and settles what took says of each of it.
func (l *lane) settleAll(took func(i int) bool) {
	l.take(room{records: MaxRecordsPerRequest, bytes: MaxRequestBytes})
	l.took = l.took[:0]
	for i := range l.batch {
		l.took = append(l.took, took(i))
	}
	l.w.settled(l.settle(time.Now()))
}

func every(int) bool { return true }

// hold makes it a request of the batches of these lanes.
func (r *request) hold(lanes ...*lane) {
	r.reset()
	for _, l := range lanes {
		r.add(l)
	}
}

// What may stay for long must not hold a page, which is memory for a hundred others.
func TestWhatWaitsHasMemoryOfItsOwn(t *testing.T) {
	w, l := standing(Config{})
	put := func(key string, size int) *item {
		t.Helper()
		if err := w.Put(t.Context(), Record{Key: []byte(key), Data: make([]byte, size)}); err != nil {
			t.Fatal(err)
		}
		return l.queue.tails[hashOf([]byte(key)).lo]
	}
	if it := put("a", 100); it.page == nil {
		t.Error("a record that can leave at once is not in a page")
	}
	if it := put("a", 100); it.page != nil {
		t.Error("a record whose key is busy is in a page")
	}
	if it := put("b", largestPage/largestInPage); it.page != nil {
		t.Error("a large record is in a page")
	}
	l.settleAll(every)
	if it := put("a", 100); it.page != nil {
		t.Error("a record behind one that waits is in a page")
	}
}

// A page is used again when its last record is settled, and not before.
func TestPagesAreUsedAgain(t *testing.T) {
	w, l := standing(Config{})
	key := 0
	put := func() {
		key++
		if err := w.Put(t.Context(), Record{Key: fmt.Append(nil, "key", key), Data: make([]byte, 500)}); err != nil {
			t.Fatal(err)
		}
	}
	put()
	first := l.page
	for l.page == first && key < 1000 {
		put()
	}
	if n := int(first.held.Load()); n != len(first.items) || n < 50 {
		t.Fatalf("a full page of %d records is held by %d", len(first.items), n)
	}
	l.settleAll(func(i int) bool { return i > 0 })
	if n := first.held.Load(); n != 1 {
		t.Errorf("it is held by %d when one record is left", n)
	}
	l.settleAll(every)
	if n := first.held.Load(); n != 0 || len(first.items) != 0 || len(first.bytes) != 0 {
		t.Errorf("it is held by %d when none is left, and has %d records", n, len(first.items))
	}

	second := l.page
	for range 10_000 { // a lane that keeps up needs one page
		put()
		l.settleAll(every)
	}
	if l.page != second {
		t.Error("a page that is filled was not used again when it was empty")
	}
	w.install(layout{{id: "other"}})
	if n := second.held.Load(); n != 0 {
		t.Errorf("the page that a former lane filled is held by %d", n)
	}
}

// The pages that lanes fill stay small beside the queue, however many there are.
func TestPagesOfManyLanes(t *testing.T) {
	for _, lanes := range []int{0, 1, 4, 64, 128, 129, 500, 1024} {
		size := pageSize(32<<20, lanes)
		if size > largestPage || size < smallestPage || size*lanes > 4<<20 {
			t.Errorf("%d lanes have pages of %d bytes", lanes, size)
		}
	}
}

// Whatever is settled, refused and moved to other lanes in whatever order: a record's memory is its own until then.
func TestMemoryIsNobodyElses(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 7))
	w, _ := standing(Config{MaxBytes: 256 << 10})
	want := map[*item]string{}
	check := func() {
		for it, s := range want {
			if got := string(it.buf); got != s {
				t.Fatalf("a record is %.40q now, it was %.40q", got, s)
			}
		}
	}
	for n := range 20_000 {
		if l := w.lanes[r.IntN(len(w.lanes))]; r.IntN(60) == 0 || w.budget.used() > 200<<10 {
			check()
			l.take(room{records: MaxRecordsPerRequest, bytes: MaxRequestBytes})
			l.took = l.took[:0]
			for _, it := range l.batch {
				took := r.IntN(5) > 0
				if l.took = append(l.took, took); took {
					delete(want, it)
				}
			}
			w.settled(l.settle(time.Now()))
		}
		if r.IntN(1000) == 0 {
			shards := layout{{id: "low"}, {id: "high", start: hash{hi: 1 << 63}}}
			w.install(shards[:1+r.IntN(2)])
		}
		key, data := fmt.Sprint("key", r.IntN(300)), strings.Repeat(fmt.Sprint(n, "."), r.IntN(80))
		if err := w.Put(t.Context(), Record{Key: []byte(key), Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
		own := hashOf([]byte(key))
		it := w.lanes[w.layout.find(own)].queue.tails[own.lo]
		if _, there := want[it]; there {
			t.Fatal("a record got the memory of one that is not settled")
		}
		want[it] = key + data
	}
	check()
}

// countingHTTP answers each request with as many sequence numbers as it has records, without a network.
type countingHTTP struct {
	answers [MaxRecordsPerRequest + 1]string
	bodies  sync.Pool // of *bytes.Buffer
}

func newCountingHTTP() *countingHTTP {
	c := &countingHTTP{}
	const one = `{"SequenceNumber":"49543463076548007577105092703039560359975228518395012686","ShardId":"shardId-000000000000"}`
	for n := range c.answers {
		c.answers[n] = `{"FailedRecordCount":0,"Records":[` + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + `]}`
	}
	c.bodies.New = func() any { return new(bytes.Buffer) }
	return c
}

func (c *countingHTTP) Do(r *http.Request) (*http.Response, error) {
	body := c.bodies.Get().(*bytes.Buffer)
	defer c.bodies.Put(body)
	body.Reset()
	if _, err := body.ReadFrom(r.Body); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Request: r, Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}},
		Body: io.NopCloser(strings.NewReader(c.answers[bytes.Count(body.Bytes(), []byte(`"PartitionKey"`))])),
	}, nil
}

func (c *countingHTTP) client() *kinesis.Client {
	return NewClient(aws.Config{Region: "eu-west-1", HTTPClient: c, Credentials: aws.CredentialsProviderFunc(credentials)}, "http://stub")
}

// numbered writes n into the last eight bytes of a key.
func numbered(key []byte, n int) {
	for i := len(key) - 1; i >= len(key)-8; i, n = i-1, n/10 {
		key[i] = byte('0' + n%10)
	}
}

// From Put to the request's body and to its acknowledgement, what is allocated is the SDK's, once for each request.
func TestRecordsAllocateNothing(t *testing.T) {
	if underRace {
		t.Skip("pools forget at random under the race detector")
	}
	canned := &cannedHTTP{}
	w, l := standing(Config{API: NewClient(aws.Config{
		Region: "eu-west-1", HTTPClient: canned, Credentials: aws.CredentialsProviderFunc(credentials),
	}, "http://stub")})
	r := newRequest(w)
	answers := newCountingHTTP().answers
	key, data := []byte("shop.customer.00000000"), bytes.Repeat([]byte(`{"data":{"id":1}}`), 30)
	allocated := func(records int) float64 {
		canned.body = answers[records]
		return testing.AllocsPerRun(50, func() {
			for i := range records {
				numbered(key, i)
				if err := w.Put(t.Context(), Record{Key: key, Data: data}); err != nil {
					t.Fatal(err)
				}
			}
			l.take(room{records: MaxRecordsPerRequest, bytes: MaxRequestBytes})
			r.hold(l)
			if err := r.send(t.Context()); err != nil {
				t.Fatal(err)
			}
			if w.budget.used() != 0 {
				t.Fatalf("%d bytes are held", w.budget.used())
			}
		})
	}
	few, many := allocated(10), allocated(500)
	if many-few > 20 {
		t.Errorf("%v allocations for a request of 10 records, %v for one of 500", few, many)
	}
}

// onlyPuts is a fake stream whose records go elsewhere.
type onlyPuts struct {
	*fakeKinesis
	puts *kinesis.Client
}

func (o onlyPuts) PutRecords(ctx context.Context, in *kinesis.PutRecordsInput, opts ...func(*kinesis.Options)) (*kinesis.PutRecordsOutput, error) {
	return o.puts.PutRecords(ctx, in, opts...)
}

// cpuTime is what this process has used so far, in nanoseconds.
func cpuTime(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkShards is the way of a record from Put to its acknowledgement, with the SDK and without a network, in streams of
// more and more shards.
func BenchmarkShards(b *testing.B) {
	for _, shards := range []int{1, 4, 16, 64} {
		b.Run(fmt.Sprint(shards), func(b *testing.B) {
			listed := newFake(nil, shards)
			w := New(Config{API: onlyPuts{listed, newCountingHTTP().client()}, StreamName: "s"})
			ended := make(chan error, 1)
			ctx, cancel := context.WithCancel(b.Context())
			go func() { ended <- w.Run(ctx) }()
			data := bytes.Repeat([]byte(`{"data":{"id":1}}`), 30)
			key := []byte("shop.customer.00000000")
			if err := w.Takes(b.Context(), 1); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			begun, n := cpuTime(b), 0
			for b.Loop() {
				numbered(key, n)
				n++
				if err := w.Put(b.Context(), Record{Key: key, Data: data}); err != nil {
					b.Fatal(err)
				}
			}
			if err := w.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(cpuTime(b)-begun)/float64(n), "cpu-ns/op")
			cancel()
			if err := <-ended; err != nil {
				b.Fatal(err)
			}
		})
	}
}
