package kinesisout

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// queueing is a Writer that does not run, with so many lanes in line, named by letters.
type queueing struct {
	*testing.T
	w   *Writer
	now time.Time
	n   int
}

func newQueueing(t *testing.T, lanes int, cfg Config) *queueing {
	cfg.StreamName, cfg.Logger = "s", slog.New(slog.DiscardHandler)
	w := New(cfg)
	w.maxRecord.Store(1 << 20)
	var shards layout
	for i := range lanes {
		shards = append(shards, shard{id: string(rune('A' + i)), start: hash{hi: uint64(i) << 58}})
	}
	w.install(shards)
	for _, l := range w.lanes {
		w.line.push(l)
	}
	return &queueing{T: t, w: w, now: time.Now()}
}

// put gives a lane so many records of keys of their own.
func (q *queueing) put(name byte, records, size int) {
	l := q.w.lanes[name-'A']
	for range records {
		q.n++
		key := fmt.Appendf(nil, "key %d", q.n)
		l.put(&Record{Key: key, Data: make([]byte, size)}, hashOf(key), l.shard.start, nil)
	}
}

// fill makes the next request, and says what it has of which lane; "" is none.
func (q *queueing) fill() (r *request, has string) {
	if r = q.w.line.fill(q.now); r == nil {
		return nil, ""
	}
	var parts []string
	for _, l := range r.lanes {
		parts = append(parts, fmt.Sprint(l.shard.id, len(l.batch)))
	}
	return r, strings.Join(parts, " ")
}

func (q *queueing) want(what, want string) *request {
	q.Helper()
	r, has := q.fill()
	if has != want {
		q.Errorf("%s the request has %q, want %q", what, has, want)
	}
	return r
}

// settle says that all of a request was taken, and that its lanes may go on after a pause.
func (q *queueing) settle(r *request, pause time.Duration) {
	q.take(r, pause)
	q.w.line.back(r)
}

func (q *queueing) take(r *request, pause time.Duration) {
	for _, l := range r.lanes {
		l.took = slices.Repeat([]bool{true}, len(l.batch))
		q.w.settled(l.settle(q.now))
		l.until = q.now.Add(pause)
	}
}

func TestARequestTakesWhatIsThere(t *testing.T) {
	q := newQueueing(t, 4, Config{})
	q.want("where there is nothing", "")
	q.put('C', 3, 10)
	q.put('A', 1, 10)
	q.put('D', 700, 10)
	r := q.want("of three lanes in the order in which they got something", "C3 A1 D496")
	q.put('C', 1, 10)
	q.want("while theirs are on their way", "")
	q.put('B', 1, 10)
	q.want("of a lane that is not in the first", "B1")
	q.settle(r, 0)
	q.want("when that is answered", "C1 D204")
}

// A lane that always has enough to fill a request gets its turn when all others had theirs, and no turn is smaller than
// what there is room for.
func TestALaneWithABacklogFillsNoMoreThanItsTurn(t *testing.T) {
	q := newQueueing(t, 4, Config{})
	q.put('A', 3000, 10)
	r := q.want("alone", "A500")
	q.settle(r, 0)
	r = q.want("alone again", "A500")
	for _, name := range []byte("BCD") {
		q.put(name, 300, 10)
	}
	q.settle(r, 0)
	first := q.want("of those that came meanwhile", "B300 C200")
	second := q.want("of the next ones", "D300 A200")
	q.put('B', 300, 10)
	q.settle(second, 0)
	q.settle(first, 0)
	first = q.want("of those that came back first", "A500")
	q.want("of the others", "B300 C100")
	q.settle(first, 0)
	q.want("of who is left", "A500")
}

// However many have enough to fill requests, and in whatever order these are answered: nobody gets two turns more than another.
func TestNoLaneStarves(t *testing.T) {
	const lanes = 30
	q := newQueueing(t, lanes, Config{})
	for i := range lanes {
		q.put(byte('A'+i), 4000, 10)
	}
	var under []*request
	turns := make(map[string]int)
	for n := range lanes * 8 { // of 500 records, so that each lane has some to the end
		r, _ := q.fill()
		if r == nil {
			t.Fatal("nothing leaves")
		}
		for _, l := range r.lanes {
			turns[l.shard.id]++
		}
		under = append(under, r)
		if len(under) == 2 { // the later one is answered first, always
			q.settle(under[1], 0)
			q.settle(under[0], 0)
			under = nil
		}
		if n%lanes == lanes-1 {
			least, most := n, 0
			for _, l := range q.w.lanes {
				least, most = min(least, turns[l.shard.id]), max(most, turns[l.shard.id])
			}
			if most-least > 1 {
				t.Fatalf("after %d requests one lane had %d turns and another one %d", n+1, most, least)
			}
		}
	}
}

func TestALaneThatRestsHoldsNoOther(t *testing.T) {
	q := newQueueing(t, 3, Config{})
	q.put('A', 1, 10)
	r := q.want("to begin with", "A1")
	q.put('A', 1, 10)
	q.settle(r, time.Minute)
	q.put('B', 1, 10)
	q.want("while A rests", "B1")
	q.now = q.now.Add(59 * time.Second)
	q.put('C', 1, 10)
	q.want("while A still rests", "C1")
	q.now = q.now.Add(time.Second)
	q.want("when A has rested", "A1")
}

// A shard's pace holds back its own records, and a request takes from each lane what its own pace allows.
func TestPacesOfSeveralLanes(t *testing.T) {
	q := newQueueing(t, 3, Config{ShardLimits: true})
	q.w.paced.Store(true)
	q.put('A', 1, 900<<10)
	r := q.want("to begin with", "A1")
	q.put('A', 10, 50<<10)
	q.put('B', 1, 10)
	q.settle(r, 0)
	r = q.want("of which A has 124 KiB left", "B1 A2")
	q.put('B', 1, 10)
	q.put('C', 1, 10)
	q.settle(r, 0)
	q.want("when A has nothing left", "C1 B1")
	q.now = q.now.Add(200 * time.Millisecond)
	q.want("when A has some again", "A4")
}

// A record that finds no room is the first of the next request, also where it is larger than one should be.
func TestALargeRecordAmongSeveralLanes(t *testing.T) {
	q := newQueueing(t, 3, Config{MaxRequestBytes: 1000})
	q.put('A', 2, 300)
	q.put('B', 1, 5000)
	q.put('C', 1, 10)
	q.want("before the large one", "A2")
	q.want("of the large one", "B1")
	q.now = q.now.Add(youth)
	q.want("behind it", "C1")
}

// What failed as a whole may have failed because of one lane. That does not take others with it again before it succeeds.
func TestALaneWhoseRequestFailedGoesAlone(t *testing.T) {
	q := newQueueing(t, 4, Config{})
	for _, name := range []byte("ABC") {
		q.put(name, 2, 10)
	}
	r := q.want("to begin with", "A2 B2 C2")
	for _, l := range r.lanes {
		if _, err := l.failed(t.Context(), q.now, errors.New("connection reset")); err != nil {
			t.Fatal(err)
		}
		l.until = q.now
	}
	q.put('D', 1, 10)
	q.w.line.back(r)
	r = q.want("of who was not in it", "D1")
	q.settle(r, 0)
	q.put('D', 1, 10)
	r = q.want("of who was", "A2")
	q.want("of who was", "B2")
	taken := types.PutRecordsResultEntry{SequenceNumber: aws.String("1")}
	took, _, err := r.lanes[0].answered(q.now, []types.PutRecordsResultEntry{taken, taken})
	if took.records != 2 || err != nil {
		t.Fatalf("%+v is taken, %v", took, err)
	}
	q.w.line.back(r)
	q.put('A', 1, 10)
	q.want("of who was", "C2")
	q.now = q.now.Add(youth)
	q.want("of who was not, and who has succeeded", "D1 A1")
}

// Where there are too many requests, more of them are no cure.
func TestLanesWhoseRequestIsThrottledGoTogether(t *testing.T) {
	q := newQueueing(t, 2, Config{})
	q.put('A', 1, 10)
	q.put('B', 1, 10)
	r := q.want("to begin with", "A1 B1")
	for _, l := range r.lanes {
		if _, err := l.failed(t.Context(), q.now, apiError("LimitExceededException")); err != nil {
			t.Fatal(err)
		}
		l.until = q.now
	}
	q.w.line.back(r)
	q.want("after that", "A1 B1")
}

// Who has sent a request makes the next one itself, and wakes who waits at the line only if there is more to do.
func TestWhoHasSentGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // whose clock stands still: no request grows old
		q := newQueueing(t, 3, Config{})
		woken := func() bool { return len(q.w.line.wake) > 0 }
		again := func(r *request, stop chan struct{}, pause time.Duration) *request {
			q.take(r, pause)
			q.w.line.doze(q.now)
			return q.w.line.again(t.Context(), stop, r)
		}
		q.put('A', 600, 10)
		r := q.want("to begin with", "A500")
		q.put('B', 1, 10)
		q.want("as the second one", "B1")
		r = again(r, nil, 0)
		if r == nil || r.count != 100 || woken() {
			t.Fatalf("the next request is %+v, and who waits is woken: %t", r, woken())
		}
		if r = again(r, nil, time.Hour); r != nil || !woken() {
			t.Errorf("with a lane that rests the next request is %+v, and who waits for more is woken: %t", r, woken())
		}
		<-q.w.line.wake

		q.put('C', 1, 10)
		r = q.want("of another lane", "C1")
		q.put('C', 1, 10)
		stop := make(chan struct{})
		close(stop)
		if r = again(r, stop, 0); r != nil || !woken() {
			t.Errorf("when no more are to be made the next request is %+v, and who waits is woken: %t", r, woken())
		}
	})
}

// What comes between the look at the line and the wait for more is not waited for.
func TestWhatComesInBetweenIsNotMissed(t *testing.T) {
	q := newQueueing(t, 2, Config{})
	q.want("where there is nothing", "")
	if wait, must := q.w.line.doze(q.now); !must || wait != 0 {
		t.Errorf("with nothing there is to do, wait %t for %v", must, wait)
	}
	q.put('A', 1, 10)
	if _, must := q.w.line.doze(q.now); must {
		t.Error("a lane that came is waited for")
	}
	r := q.want("of the lane", "A1")
	q.settle(r, time.Minute)
	if wait, must := q.w.line.doze(q.now); !must || wait != time.Minute {
		t.Errorf("while the lane rests, wait %t for %v", must, wait)
	}
}

// While two requests are on their way, what comes gathers; neither does a third one leave, nor one for each lane.
func TestRequestsGrowWithWhatComes(t *testing.T) {
	q := newQueueing(t, 10, Config{})
	q.put('A', 1, 10)
	first := q.want("to begin with", "A1")
	q.put('B', 1, 10)
	q.want("while one is on its way", "B1")
	for _, name := range []byte("CDEF") {
		q.put(name, 2, 10)
	}
	q.now = q.now.Add(youth - 1)
	q.want("while two are on their way", "")
	q.settle(first, 0)
	q.want("when one is answered", "C2 D2 E2 F2")
	q.put('G', 1, 10)
	q.now = q.now.Add(1)
	q.want("when one is not answered for long", "G1")
}

func TestMostYoung(t *testing.T) {
	for lanes, want := range map[int]int{1: 2, 64: 2, 100: 2, 101: 3, 1000: 20} {
		if got := newLine(nil, lanes).most; got != want {
			t.Errorf("%d lanes may have %d young requests, want %d", lanes, got, want)
		}
	}
}

// Requests that hang, however many, hold back what is in them and nothing else; who made them ends when they are over.
func TestHangingRequestsHoldBackNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const shards = 16
		f := newFake(t, shards)
		var hangs = true
		f.plan = func(int, *kinesis.PutRecordsInput) fault {
			if hangs {
				return fault{delay: time.Hour}
			}
			return fault{delay: time.Millisecond}
		}
		b := start(t, f, Config{CallTimeout: 2 * time.Hour})
		lanes := make(map[*lane]string) // and a key for each
		if err := b.w.Takes(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		for i := 0; len(lanes) < shards; i++ {
			key := fmt.Sprint("key", i)
			lanes[b.w.lanes[b.w.layout.find(hashOf([]byte(key)))]] = key
		}
		synctest.Wait()
		before := runtime.NumGoroutine()
		n := 0
		for l, key := range lanes {
			if n++; n == shards { // this one's requests are answered
				f.mu.Lock()
				hangs = false
				f.mu.Unlock()
			}
			b.put(key)
			time.Sleep(youth)
			synctest.Wait()
			if f.calls != n {
				t.Fatalf("%d requests were made for %d lanes, the others' hang: lane %s waits", f.calls, n, l.shard.id)
			}
			b.put(key) // behind it
		}
		time.Sleep(time.Minute)
		f.mu.Lock()
		if len(f.records) != 2 || f.calls != shards+1 {
			t.Errorf("%d requests were made and %d records are stored, want those of the lane whose requests are answered", f.calls, len(f.records))
		}
		f.mu.Unlock()
		if doubled := b.flush(); doubled > 0 {
			t.Errorf("%d records are stored twice", doubled)
		}
		synctest.Wait()
		if more := runtime.NumGoroutine() - before; more > leastYoung+2 {
			t.Errorf("%d goroutines are left over", more)
		}
		if spare := len(b.w.line.spare); spare == 0 || spare > leastYoung {
			t.Errorf("the memory of %d requests is kept", spare)
		}
		b.finish()
	})
}

// One request carries the records of as many shards as there are, and no shard's refusal holds another one back.
func TestRequestsOfSeveralShards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const shards, keys = 64, 400
		f := newFake(t, shards)
		last := new(string)
		f.plan = func(call int, in *kinesis.PutRecordsInput) fault {
			return fault{delay: 5 * time.Millisecond, refuse: func(_ int, key string) string {
				if key == *last && call < 200 {
					return throttle
				}
				return ""
			}}
		}
		b := start(t, f, Config{})
		*last = "key 0"
		if err := b.w.Takes(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		own := b.w.layout.find(hashOf([]byte(*last))) // the shard of the key that is refused
		for range 100 {
			for i := range keys {
				b.put(fmt.Sprint("key ", i))
			}
			time.Sleep(10 * time.Millisecond)
		}
		throttled := 0
		for i, s := range b.w.Status().Shards {
			if i == own {
				throttled = int(s.Throttled)
			} else if s.Throttled > 0 {
				t.Errorf("shard %s is said to have throttled", s.Shard)
			}
		}
		if throttled < 3 || throttled > 60 {
			t.Errorf("a key was refused %d times in a second, want some with growing pauses between them", throttled)
		}
		b.finish()
		if sent := float64(len(f.records)) / float64(f.calls); sent < 100 {
			t.Errorf("a request has %.1f records", sent)
		}
	})
}
