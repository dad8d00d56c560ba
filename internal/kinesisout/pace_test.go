package kinesisout

import (
	"context"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// realShard refuses what is more than a shard takes, as Kinesis does.
type realShard struct {
	bytes, records *rate.Limiter
	refused        int
}

func newRealShard(share float64) *realShard {
	return &realShard{
		bytes:   rate.NewLimiter(rate.Limit(share*shardBytes), int(share*shardBytes)),
		records: rate.NewLimiter(rate.Limit(share*shardRecords), int(share*shardRecords)),
	}
}

// plan answers after 10 ms.
func (s *realShard) plan(_ int, in *kinesis.PutRecordsInput) fault {
	return fault{delay: 10 * time.Millisecond, refuse: func(i int, key string) string {
		now, size := time.Now(), len(key)+len(in.Records[i].Data)
		if s.records.TokensAt(now) < 1 || s.bytes.TokensAt(now) < min(float64(size), float64(s.bytes.Burst())) {
			s.refused++
			return throttle
		}
		charge(s.records, now, 1)
		charge(s.bytes, now, size)
		return ""
	}}
}

// feed puts records of this size as fast as they are taken, for so long, and says how many were acknowledged.
func (b *bench) feed(d time.Duration, size int) (acked int) {
	b.Helper()
	before := b.f.ledger.acked()
	ctx, cancel := context.WithTimeout(b.Context(), d)
	defer cancel()
	for i := 0; ; i++ {
		if err := b.w.Put(ctx, b.f.ledger.record(fmt.Sprint("key", i%2000), size)); err != nil {
			if ctx.Err() == nil {
				b.Fatal(err)
			}
			b.f.ledger.forget()
			return b.f.ledger.acked() - before
		}
	}
}

func (l *ledger) acked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// forget takes the newest record back, which was not Put.
func (l *ledger) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, seqs := range l.seqs {
		if n := len(seqs); n > 0 && seqs[n-1] == l.next {
			l.seqs[key] = seqs[:n-1]
		}
	}
	l.next--
}

// A shard of a provisioned stream is used to its limit and hardly ever throttles.
func TestPaceOfAProvisionedShard(t *testing.T) {
	for name, c := range map[string]struct{ size, perSecond int }{
		"by records": {100, shardRecords},
		"by bytes":   {10_000, shardBytes / 10_000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, s := newFake(t, 1), newRealShard(1)
				f.summary.StreamModeDetails = &types.StreamModeDetails{StreamMode: types.StreamModeProvisioned}
				f.plan = s.plan
				reg := prometheus.NewRegistry()
				b := start(t, f, Config{ShardLimits: true, MaxBytes: 1 << 20, Registerer: reg})
				const seconds = 20
				got := b.feed(seconds*time.Second, c.size)
				if want := seconds * c.perSecond; got < want*95/100 || got > want+want/seconds*3/2 {
					t.Errorf("%d records, want about %d", got, want)
				}
				if s.refused > got/1000 {
					t.Errorf("%d of %d records were throttled", s.refused, got)
				}
				if limit := gather(t, reg)["binlogstreamer_stream_pace_records_per_second"]; limit > shardRecords || limit < 700 {
					t.Errorf("metrics tell of %v records/s", limit)
				}
				if waited := gather(t, reg)["binlogstreamer_stream_pace_wait_seconds_total"]; waited < seconds/2 || waited > seconds+1 {
					t.Errorf("metrics tell of %v s of waiting", waited)
				}
				b.finish()
			})
		})
	}
}

// Where nothing is known of the limits, they are learned from throttling, followed, and forgotten.
func TestPaceIsLearned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newFake(t, 1), newRealShard(0.8)
		f.summary.StreamModeDetails = &types.StreamModeDetails{StreamMode: types.StreamModeOnDemand}
		f.plan = s.plan
		reg := prometheus.NewRegistry()
		b := start(t, f, Config{ShardLimits: true, MaxBytes: 1 << 20, Registerer: reg})
		limit := func() float64 { return gather(t, reg)["binlogstreamer_stream_pace_records_per_second"] }
		b.put("a")
		synctest.Wait()
		if got := limit(); !math.IsInf(got, 1) {
			t.Errorf("an on-demand stream is held to %v records/s from the start", got)
		}
		b.feed(10*time.Second, 100) // learn
		before := s.refused
		const seconds = 40
		got := b.feed(seconds*time.Second, 100)
		if want := seconds * shardRecords * 8 / 10; got < want*85/100 {
			t.Errorf("%d records, want about %d", got, want)
		}
		if refused := s.refused - before; refused > got/10 {
			t.Errorf("%d of %d records were throttled once the limit was known", refused, got)
		}
		if got := limit(); got < 500 || got > 1000 {
			t.Errorf("held to %v records/s, want about 800", got)
		}
		if err := b.w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(forgetIn)
		f.plan = nil
		b.put("a")
		if err := b.w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.put("a")
		synctest.Wait()
		if got := limit(); !math.IsInf(got, 1) {
			t.Errorf("after a quiet minute still held to %v records/s", got)
		}
		b.finish()
	})
}

// Without throttling there is no limit at all.
func TestNoPaceWithoutThrottling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 1)
		f.plan = func(int, *kinesis.PutRecordsInput) fault { return fault{delay: time.Millisecond} }
		b := start(t, f, Config{MaxBytes: 1 << 20})
		if got := b.feed(50*time.Millisecond, 100); got < 10_000 {
			t.Errorf("%d records in 50 answers of 1 ms", got)
		}
		b.finish()
	})
}

// Throttling of a trickle is not this writer's doing, and teaches nothing.
func TestPaceOfATrickle(t *testing.T) {
	now := time.Now()
	var p pace
	for range 100 {
		now = now.Add(50 * time.Millisecond)
		p.sent(now, 1000, 10)
		p.throttled(now)
		if got := p.room(now, false); got.wait > 0 || p.bytes != nil {
			t.Fatalf("200 records/s are held to %+v", p.limited)
		}
	}
}

// A record that is larger than a second's worth goes at once where nothing was sent lately, and what follows waits.
func TestPaceOfALargeRecord(t *testing.T) {
	now := time.Now()
	var p pace
	p.room(now, true)
	p.sent(now, 5*shardBytes, 1)
	if got, want := p.room(now, true).wait, 4*time.Second+time.Second/paceStep; got.Round(time.Millisecond) != want {
		t.Errorf("the next one waits for %v, want %v", got, want)
	}
	if got := p.room(now.Add(5*time.Second), true); got.wait > 0 || got.bytes < shardBytes*9/10 {
		t.Errorf("five seconds later: %+v", got)
	}
}

// What a shard has taught survives a reshard of others.
func TestPaceSurvivesAReshard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 2)
		f.plan = func(call int, _ *kinesis.PutRecordsInput) fault {
			// First each lane sends what is there, then a full request, and then it is refused.
			return fault{delay: 10 * time.Millisecond, refuse: func(int, string) string {
				if 5 <= call && call <= 10 {
					return throttle
				}
				return ""
			}}
		}
		b := start(t, f, Config{})
		for i := range 6000 {
			b.put(fmt.Sprint(i))
		}
		if err := b.w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.split(0)
		f.mu.Lock()
		kept := f.shards[1].id
		f.mu.Unlock()
		time.Sleep(30 * time.Second)
		b.w.lookAgain()
		time.Sleep(time.Second)
		if err := b.end(); err != nil {
			t.Fatal(err)
		}
		for _, l := range b.w.lanes {
			if limited := l.pace.bytes != nil; limited != (l.shard.id == kept) {
				t.Errorf("shard %s is limited: %t", l.shard.id, limited)
			}
		}
		if len(b.w.lanes) != 3 {
			t.Errorf("%d lanes", len(b.w.lanes))
		}
	})
}

// A record of an idle stream leaves at once: on a clock that only moves when everybody waits, it does not move.
func TestNoLinger(t *testing.T) {
	for _, cfg := range []Config{{}, {Aggregate: true}, {ShardLimits: true}} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t, 4)
			var left time.Time
			f.plan = func(int, *kinesis.PutRecordsInput) fault {
				left = time.Now()
				return fault{delay: 10 * time.Millisecond}
			}
			b := start(t, f, cfg)
			for i := range 20 {
				b.put(fmt.Sprint(i))
				put := time.Now()
				if err := b.w.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				if waited := left.Sub(put); waited != 0 {
					t.Errorf("%+v: the record left after %v", cfg, waited)
				}
				time.Sleep(time.Duration(i) * time.Second)
			}
			b.finish()
		})
	}
}
