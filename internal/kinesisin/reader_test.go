package kinesisin_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"go.uber.org/goleak"

	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin/kinesistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// probe is a Health and a Gate that note what they hear.
type probe struct {
	mu       sync.Mutex
	failing  []error
	reserved int64
	highest  int64
	block    chan struct{}
}

func (p *probe) Failing(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failing = append(p.failing, err)
}
func (p *probe) Working() {}

func (p *probe) Reserve(ctx context.Context, n int64) error {
	if p.block != nil {
		select {
		case <-p.block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.Add(n)
	return nil
}

func (p *probe) Add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reserved += n
	p.highest = max(p.highest, p.reserved)
}

func open(t *testing.T, api kinesisin.API, p *probe, change ...func(*kinesisin.Config)) *kinesisin.Stream {
	t.Helper()
	c := kinesisin.Config{API: api, Stream: "s", Health: p, Gate: p}
	for _, f := range change {
		f(&c)
	}
	s := kinesisin.New(c)
	if _, err := s.Describe(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

const shard0 = "shardId-000000000000"

var errStop = errors.New("enough")

// collect reads until n records have come, and gives their text.
func collect(ctx context.Context, s *kinesisin.Stream, req kinesisin.Request, n int, also func(*kinesisin.Batch)) ([]string, error) {
	var got []string
	err := s.Read(ctx, req, func(_ context.Context, b *kinesisin.Batch) error {
		for _, r := range b.Records {
			for _, d := range r.Data {
				got = append(got, string(d))
			}
		}
		if also != nil {
			also(b)
		}
		if len(got) >= n && n >= 0 {
			return errStop
		}
		return nil
	})
	return got, err
}

func puts(k *kinesistest.Stream, shard string, from, to int) []string {
	var want []string
	for i := from; i < to; i++ {
		k.Put(shard, fmt.Appendf(nil, "%d", i))
		want = append(want, fmt.Sprint(i))
	}
	return want
}

func TestReadToTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kinesistest.New("s", 1)
		want := puts(k, shard0, 0, 5000)
		a, b := k.Split(shard0)
		p := &probe{}
		var last *kinesisin.Batch
		var taken int64
		got, err := collect(t.Context(), open(t, k, p), kinesisin.Request{Shard: shard0, From: kinesisin.Horizon()}, -1, func(b *kinesisin.Batch) { last = b; taken += b.Reserved })
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("read %d records of %d, %v", len(got), len(want), err)
		}
		if !last.End || !slices.Equal(last.Children, []string{a, b}) {
			t.Errorf("the end is %v with children %v", last.End, last.Children)
		}
		if p.reserved != taken {
			t.Errorf("%d bytes stay reserved, the batches own %d", p.reserved, taken)
		}
	})
}

// A busy shard is read as fast as 5 calls a second go, an idle one once a second.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kinesistest.New("s", 1)
		puts(k, shard0, 0, 20000)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
		defer cancel()
		s := open(t, k, &probe{})
		start := time.Now()
		var caughtUp time.Duration
		got, err := collect(ctx, s, kinesisin.Request{Shard: shard0, From: kinesisin.Horizon()}, -1, func(b *kinesisin.Batch) {
			if b.Behind == 0 && caughtUp == 0 {
				caughtUp = time.Since(start)
			}
		})
		if len(got) != 20000 || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%d records, %v", len(got), err)
		}
		if caughtUp > 10*time.Second {
			t.Errorf("caught up after %s", caughtUp)
		}
		if n := k.Calls("get"); n < 95 || n > 125 {
			t.Errorf("%d calls in 100 s", n)
		}
	})
}

func TestFaultsAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kinesistest.New("s", 1)
		want := puts(k, shard0, 0, 3000)
		calls := 0
		k.Fault = func(call, _ string) error {
			calls++
			switch {
			case calls%7 == 1:
				return &types.ProvisionedThroughputExceededException{}
			case calls%7 == 3:
				return errors.New("connection refused")
			case calls%7 == 5 && call == "get":
				return &types.ExpiredIteratorException{}
			case calls == 20:
				time.Sleep(10 * time.Minute)
			}
			return nil
		}
		p := &probe{}
		got, err := collect(t.Context(), open(t, k, p), kinesisin.Request{Shard: shard0, From: kinesisin.Horizon()}, 3000, nil)
		if !errors.Is(err, errStop) || !slices.Equal(got, want) {
			t.Fatalf("read %d records of %d, %v", len(got), len(want), err)
		}
		if len(p.failing) == 0 {
			t.Error("no failure was told")
		}
		for _, err := range p.failing {
			if _, ok := errors.AsType[*kinesisin.Error](err); !ok {
				t.Errorf("failure told as %v", err)
			}
		}
	})
}

// Waiting for memory lets the iterator expire; reading goes on where it was.
func TestExpiredIterator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kinesistest.New("s", 1)
		want := puts(k, shard0, 0, 10)
		p := &probe{block: make(chan struct{})}
		go func() {
			p.block <- struct{}{}
			time.Sleep(20 * time.Minute)
			want = append(want, puts(k, shard0, 10, 20)...)
			close(p.block)
		}()
		got, err := collect(t.Context(), open(t, k, p), kinesisin.Request{Shard: shard0, From: kinesisin.Horizon()}, 20, nil)
		if !errors.Is(err, errStop) || !slices.Equal(got, want) {
			t.Errorf("read %v, %v", got, err)
		}
		if k.Calls("iterator") != 2 {
			t.Errorf("%d iterators", k.Calls("iterator"))
		}
	})
}

func TestRetention(t *testing.T) {
	for _, tc := range []struct {
		name   string
		away   time.Duration
		put    time.Duration // when a record comes that expires unread; 0: none
		idle   time.Duration // how long after the last record it was still read to the end
		accept bool
		lost   bool
	}{
		{"a short stop", 5 * time.Hour, 0, 0, false, false},
		{"a stop that is too long", 30 * time.Hour, time.Hour, 0, false, true},
		{"a stop that may be too long", 30 * time.Hour, 0, 0, false, true},
		{"the loss is accepted", 30 * time.Hour, time.Hour, 0, true, false},
		{"an old position, but idle until lately", 40 * time.Hour, 0, 30 * time.Hour, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := kinesistest.New("s", 1)
				sequence := k.Put(shard0, []byte("read"))
				seen := time.Now().Add(tc.idle)
				if tc.put > 0 {
					time.Sleep(tc.put)
					k.Put(shard0, []byte("unread"))
					time.Sleep(tc.away - tc.put)
				} else {
					time.Sleep(tc.away)
				}
				want := puts(k, shard0, 1, 3)
				s := open(t, k, &probe{}, func(c *kinesisin.Config) { c.AcceptLoss = tc.accept })
				got, err := collect(t.Context(), s, kinesisin.Request{Shard: shard0, From: kinesisin.After(sequence), Seen: seen}, 2, nil)
				if tc.lost {
					e, ok := errors.AsType[*kinesisin.ExpiredError](err)
					if !ok || e.Sequence != sequence || e.Retention != 24*time.Hour {
						t.Errorf("Read = %v", err)
					}
					return
				}
				if !errors.Is(err, errStop) || !slices.Equal(got, want) {
					t.Errorf("read %v, %v", got, err)
				}
			})
		})
	}
}

func TestShardIsGone(t *testing.T) {
	for _, accept := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			k := kinesistest.New("s", 1)
			sequence := k.Put(shard0, []byte("x"))
			k.Split(shard0)
			k.Forget(shard0)
			s := open(t, k, &probe{}, func(c *kinesisin.Config) { c.AcceptLoss = accept })
			_, err := collect(t.Context(), s, kinesisin.Request{Shard: shard0, From: kinesisin.After(sequence)}, 1, nil)
			if _, ok := errors.AsType[*kinesisin.ExpiredError](err); ok == accept || kinesisin.IsGone(err) != accept {
				t.Errorf("accept %v: %v", accept, err)
			}
		})
	}
}

func TestStreamIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kinesistest.New("s", 1)
		s := open(t, k, &probe{})
		k.Created = k.Created.Add(time.Hour)
		k.Forget(shard0)
		_, err := collect(t.Context(), s, kinesisin.Request{Shard: shard0, From: kinesisin.Horizon()}, 1, nil)
		if _, ok := errors.AsType[*kinesisin.ReplacedError](err); !ok {
			t.Errorf("Read = %v", err)
		}
	})
}

func TestListShardsPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kinesistest.New("s", 7)
		k.PageSize = 3
		open1 := k.Open()
		k.Split(open1[0])
		k.Merge(open1[1], open1[2])
		shards, err := open(t, k, &probe{}).Shards(t.Context())
		if err != nil || len(shards) != 10 {
			t.Fatalf("%d shards, %v", len(shards), err)
		}
		if got := shards[9]; !slices.Equal(got.Parents, []string{open1[1], open1[2]}) || got.Closed {
			t.Errorf("the merged shard is %+v", got)
		}
		if !shards[0].Closed || shards[3].Closed {
			t.Errorf("shards are %+v", shards)
		}
	})
}

func TestReady(t *testing.T) {
	shards := []kinesisin.Shard{
		{ID: "old child", Parents: []string{"expired"}},
		{ID: "a"}, {ID: "b"},
		{ID: "ab", Parents: []string{"a", "b"}},
		{ID: "ab1", Parents: []string{"ab"}}, {ID: "ab2", Parents: []string{"ab"}},
	}
	for _, tc := range []struct{ done, want []string }{
		{nil, []string{"old child", "a", "b"}},
		{[]string{"a"}, []string{"old child", "b"}},
		{[]string{"a", "b"}, []string{"old child", "ab"}},
		{[]string{"a", "b", "ab", "old child"}, []string{"ab1", "ab2"}},
	} {
		var got []string
		for _, s := range kinesisin.Ready(shards, func(id string) bool { return slices.Contains(tc.done, id) }) {
			got = append(got, s.ID)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("done %v: ready %v, want %v", tc.done, got, tc.want)
		}
	}
}
