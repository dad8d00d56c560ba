package kinesisout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"pgregory.net/rapid"
)

func (b *bench) lanes() (ids []string) {
	b.w.routing.RLock()
	defer b.w.routing.RUnlock()
	for _, l := range b.w.lanes {
		ids = append(ids, l.shard.id)
	}
	return ids
}

func TestShardsAreFollowed(t *testing.T) {
	t.Run("because a record landed elsewhere", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t, 2)
			f.plan = func(int, *kinesis.PutRecordsInput) fault { return fault{delay: 20 * time.Millisecond} }
			b := start(t, f, Config{ListEvery: 1000 * time.Hour})
			for i := range 2000 {
				switch i {
				case 500:
					f.split(0)
				case 1000:
					f.split(1)
				case 1500:
					f.merge(1)
				}
				b.put(fmt.Sprint(i % 97))
				time.Sleep(time.Millisecond)
			}
			if doubled := b.finish(); doubled > 0 {
				t.Errorf("%d records are stored twice", doubled)
			}
			if got := len(b.lanes()); got != 3 {
				t.Errorf("%d lanes, want 3", got)
			}
		})
	})
	t.Run("now and then without a reason", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t, 1)
			b := start(t, f, Config{})
			b.put("a")
			f.split(0)
			time.Sleep(61 * time.Second)
			if got := len(b.lanes()); got != 2 {
				t.Errorf("%d lanes after a minute, want 2", got)
			}
			b.finish()
		})
	})
	t.Run("although the listing lags behind", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t, 1)
			b := start(t, f, Config{ListEvery: 1000 * time.Hour})
			b.put("a")
			f.split(0)
			f.stale = 3
			for range 100 {
				b.put("a")
				time.Sleep(100 * time.Millisecond)
			}
			if got := len(b.lanes()); got != 2 {
				t.Errorf("%d lanes after the listing caught up, want 2", got)
			}
			if f.lists > 6 {
				t.Errorf("%d listings in ten seconds", f.lists)
			}
			b.finish()
		})
	})
	t.Run("because a closed shard is refused", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t, 1)
			f.plan = func(call int, _ *kinesis.PutRecordsInput) fault {
				if call == 1 {
					f.split(0)
				}
				if call < 3 {
					return fault{err: apiError("ResourceNotFoundException")}
				}
				return fault{}
			}
			b := start(t, f, Config{ListEvery: 1000 * time.Hour})
			b.put("a")
			b.put("a")
			b.finish()
			if got := len(b.lanes()); got != 2 {
				t.Errorf("%d lanes, want 2", got)
			}
		})
	})
}

// While lanes change hands, a request that is under way is waited for: its keys must not be sent from another lane.
func TestReshardWaitsForWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 1)
		f.plan = func(call int, _ *kinesis.PutRecordsInput) fault {
			if call == 1 {
				return fault{delay: 20 * time.Second}
			}
			return fault{}
		}
		b := start(t, f, Config{ListEvery: time.Second})
		b.put("a")
		time.Sleep(100 * time.Millisecond)
		f.split(0)
		for range 100 {
			b.put("a")
		}
		time.Sleep(10 * time.Second) // the listing has told long ago
		if f.calls != 1 {
			t.Errorf("%d calls while the first is under way", f.calls)
		}
		if doubled := b.finish(); doubled > 0 {
			t.Errorf("%d records are stored twice", doubled)
		}
	})
}

func TestPagesOfShards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 25)
		f.pageSize = 10
		b := start(t, f, Config{})
		for i := range 500 {
			b.put(fmt.Sprint(i))
		}
		b.finish()
		if got := len(b.lanes()); got != 25 {
			t.Errorf("%d lanes, want 25", got)
		}
		for _, r := range f.records {
			if at := b.w.layout[b.w.layout.find(hashOf([]byte(r.key)))].id; at != r.shard {
				t.Fatalf("key %q was sent by the lane of %s and stored in %s", r.key, at, r.shard)
			}
		}
	})
}

func TestEachShard(t *testing.T) {
	for name, disturb := range map[string]func(f *fakeKinesis, call int) fault{
		"a quiet stream": func(*fakeKinesis, int) fault { return fault{} },
		"shards split and merge meanwhile": func(f *fakeKinesis, call int) fault {
			if call%3 == 1 && call < 20 {
				f.split(call)
			} else if call < 20 {
				f.merge(call)
			}
			return fault{delay: time.Millisecond}
		},
		"the listing lags behind": func(f *fakeKinesis, call int) fault {
			if call < 4 {
				f.split(call)
				f.mu.Lock()
				f.stale = 3
				f.mu.Unlock()
			}
			return fault{}
		},
		"refusals and lost answers": func(f *fakeKinesis, call int) fault {
			return fault{lost: call%3 == 0, refuse: func(i int, _ string) string {
				if (i+call)%2 == 0 {
					return throttle
				}
				return ""
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t, 4)
				f.plan = func(call int, _ *kinesis.PutRecordsInput) fault { return disturb(f, call) }
				b := start(t, f, Config{CallTimeout: time.Second})
				ended := make(chan error, 1)
				go func() { ended <- b.w.EachShard(t.Context(), "fence", fences()) }()
				for i := range 200 {
					b.put(fmt.Sprint(i % 50))
				}
				if err := <-ended; err != nil {
					t.Fatal(err)
				}
				f.wantFences(t)
				b.finish()
			})
		})
	}
}

// fences gives records with numbers to EachShard, as the pipeline does.
func fences() func(context.Context) ([]byte, error) {
	n := 0
	return func(context.Context) ([]byte, error) {
		n++
		return fmt.Appendf(nil, "fence %d", n), nil
	}
}

func (f *fakeKinesis) wantFences(t *testing.T) {
	t.Helper()
	for _, id := range f.unfenced() {
		t.Errorf("shard %s lacks the record, and one of its parents does", id)
	}
}

// unfenced gives the open shards that lack, as one of their parents does, a record with an explicit hash key that a reader
// keeps: one with a number that neither the shard nor an ancestor of it has seen.
func (f *fakeKinesis) unfenced() (ids []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	has, seen := make(map[string]bool), make(map[string]map[string]bool)
	for _, s := range f.shards {
		has[s.id], seen[s.id] = len(s.parents) > 0, make(map[string]bool)
		for _, p := range s.parents {
			has[s.id] = has[s.id] && has[p]
			maps.Copy(seen[s.id], seen[p])
		}
		for _, r := range f.records {
			if r.explicit && r.shard == s.id && strings.HasPrefix(r.data, "fence ") && !seen[s.id][r.data] {
				has[s.id], seen[s.id][r.data] = true, true
			}
		}
		if s.open && !has[s.id] {
			ids = append(ids, s.id)
		}
	}
	return ids
}

// Of two shards one has the record when they are merged, whether the writer was told or not. The copy for the other, or
// both, come to their child, where a reader takes them for repeated.
func TestEachShardWhenShardsMerge(t *testing.T) {
	for name, told := range map[string]fault{
		"and it is told":              {},
		"and its answer is lost":      {lost: true},
		"and its answer is cut short": {cut: 1},
		"and its answer says nothing": {after: func(out *kinesis.PutRecordsOutput) { clear(out.Records) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t, 2)
				var mu sync.Mutex // covers has and merged: two requests ask the plan
				has, merged := false, false
				f.plan = func(_ int, in *kinesis.PutRecordsInput) fault {
					mu.Lock()
					defer mu.Unlock()
					own := func(i int) bool { return aws.ToString(in.Records[i].ExplicitHashKey) == "0" } // of the first shard
					switch {
					case own(0) && !has:
						has = true
						told.refuse = func(i int, _ string) string {
							if own(i) {
								return ""
							}
							return "InternalFailure"
						}
						return told
					case !merged && f.stores("fence "):
						f.merge(0)
						merged = true
					case !merged:
						return fault{refuse: func(int, string) string { return "InternalFailure" }}
					}
					return fault{}
				}
				b := start(t, f, Config{CallTimeout: time.Second, ListEvery: time.Second})
				if err := b.w.EachShard(t.Context(), "fence", fences()); err != nil {
					t.Fatal(err)
				}
				if !merged {
					t.Fatal("the shards were not merged")
				}
				f.wantFences(t)
				b.finish()
			})
		})
	}
}

// stores says whether a record that begins with this is stored.
func (f *fakeKinesis) stores(prefix string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.records, func(r stored) bool { return strings.HasPrefix(r.data, prefix) })
}

func TestEachShardEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 2)
		f.plan = func(int, *kinesis.PutRecordsInput) fault { return fault{err: errors.New("away")} }
		b := start(t, f, Config{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := b.w.EachShard(ctx, "fence", fences()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("EachShard = %v, want the context's error", err)
		}
		if err := b.end(); err != nil {
			t.Fatal(err)
		}
		if err := b.w.EachShard(t.Context(), "fence", fences()); !errors.Is(err, ErrStopped) {
			t.Errorf("EachShard of a stopped writer = %v", err)
		}
	})
}

// Random records meet random faults of every kind; every promise is checked.
func TestWriterProperty(t *testing.T) {
	outer := t
	rapid.Check(t, func(t *rapid.T) {
		var (
			shards   = rapid.IntRange(1, 4).Draw(t, "shards")
			keys     = rapid.IntRange(1, 60).Draw(t, "keys")
			records  = rapid.IntRange(1, 600).Draw(t, "records")
			trouble  = rapid.IntRange(0, 60).Draw(t, "trouble") // percent
			reshards = rapid.IntRange(0, 5).Draw(t, "reshards") // percent
			padding  = rapid.IntRange(0, 3000).Draw(t, "padding")
			seed     = rapid.Uint64().Draw(t, "seed")
			cfg      = Config{
				CallTimeout:     3 * time.Second,
				MaxBytes:        rapid.IntRange(1, 200_000).Draw(t, "max bytes"),
				MaxRequestBytes: rapid.IntRange(1, 50_000).Draw(t, "max request bytes"),
				ListEvery:       time.Duration(rapid.IntRange(1, 100).Draw(t, "list every")) * time.Second,
				Aggregate:       rapid.Bool().Draw(t, "aggregate"),
				ShardLimits:     rapid.Bool().Draw(t, "shard limits"),
			}
		)
		var faults []string
		var err error
		synctest.Test(outer, func(t *testing.T) {
			faults, err = runRandom(t, newFake(t, shards), cfg, seed, keys, records, padding, trouble, reshards)
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range faults {
			t.Error(s)
		}
	})
}

func runRandom(t *testing.T, f *fakeKinesis, cfg Config, seed uint64, keys, records, padding, trouble, reshards int) ([]string, error) {
	feed, faulty := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
	f.plan = func(call int, in *kinesis.PutRecordsInput) fault {
		f.mu.Lock()
		r := rand.New(rand.NewPCG(faulty.Uint64(), uint64(call)))
		f.mu.Unlock()
		if r.IntN(100) < reshards {
			f.mu.Lock()
			f.stale = r.IntN(3)
			f.mu.Unlock()
			if r.IntN(2) == 0 {
				f.split(r.IntN(100))
			} else {
				f.merge(r.IntN(100))
			}
		}
		broken := fault{delay: time.Duration(r.IntN(50)) * time.Millisecond}
		if r.IntN(100) >= trouble {
			return broken
		}
		switch r.IntN(6) {
		case 0:
			broken.err = errors.New("connection reset")
		case 1:
			broken.lost = true
		case 2:
			broken.cut = r.IntN(len(in.Records)) + 1
		case 3:
			broken.after = func(out *kinesis.PutRecordsOutput) {
				out.Records[r.IntN(len(out.Records))] = types.PutRecordsResultEntry{}
			}
		case 4:
			broken.delay = 5 * time.Second // longer than we wait
		default:
			broken.refuse = func(int, string) string {
				return []string{"", throttle, "InternalFailure"}[r.IntN(3)]
			}
		}
		return broken
	}
	b := start(t, f, cfg)
	fenced := make(chan error, 1)
	go func() { fenced <- b.w.EachShard(t.Context(), "fence", fences()) }()
	for range records {
		key := fmt.Sprint("k", feed.IntN(keys)*feed.IntN(2)) // half of them are of one key
		if err := b.w.Put(t.Context(), f.ledger.record(key, feed.IntN(padding+1))); err != nil {
			return nil, err
		}
		if feed.IntN(20) == 0 {
			time.Sleep(time.Duration(feed.IntN(300)) * time.Millisecond)
		}
	}
	if err := <-fenced; err != nil {
		return nil, err
	}
	if ids := f.unfenced(); len(ids) > 0 {
		return nil, fmt.Errorf("%v lack the record, and so does one of the parents of each", ids) // not by t, so that rapid tells the seed
	}
	if err := b.w.Flush(t.Context()); err != nil {
		return nil, err
	}
	if err := b.end(); err != nil {
		return nil, err
	}
	if used := b.w.budget.used(); used != 0 {
		return nil, fmt.Errorf("%d bytes are held by nobody", used)
	}
	_, faults := f.verify()
	return faults, nil
}
