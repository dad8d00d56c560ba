package kinesisout

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// half says in which half of the hash range, and so in which of two shards, a record belongs.
func half(e types.PutRecordsRequestEntry) int {
	if placeOf(e).Cmp(new(big.Int).Lsh(big.NewInt(1), 127)) < 0 {
		return 0
	}
	return 1
}

// halves says which of two shards a request has records of.
func halves(in *kinesis.PutRecordsInput) (has [2]bool) {
	for _, e := range in.Records {
		has[half(e)] = true
	}
	return has
}

// A shard that takes nothing for an hour, whether it refuses each record or the requests fail, stops no other one. Its own
// lane tries again with pauses of up to five seconds, and in the end has lost and overtaken nothing.
func TestAStuckLaneStopsNoOther(t *testing.T) {
	for name, broken := range map[string]func(in *kinesis.PutRecordsInput) fault{
		"refused": func(in *kinesis.PutRecordsInput) fault {
			return fault{refuse: func(i int, _ string) string {
				if half(in.Records[i]) == 0 {
					return "InternalFailure"
				}
				return ""
			}}
		},
		"failed": func(*kinesis.PutRecordsInput) fault { return fault{err: errors.New("connection reset")} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t, 2)
				begun, tries := time.Now(), 0
				f.plan = func(_ int, in *kinesis.PutRecordsInput) fault {
					if halves(in)[0] && time.Since(begun) < time.Hour {
						tries++
						return broken(in)
					}
					return fault{}
				}
				b := start(t, f, Config{})
				for i := range 1000 {
					b.put(fmt.Sprint("key", i%50))
				}
				time.Sleep(time.Minute)
				f.mu.Lock()
				sent, stuck := len(f.records), 0
				for _, r := range f.records {
					if r.shard == f.shards[0].id {
						stuck++
					}
				}
				f.mu.Unlock()
				if sent < 300 || stuck > 0 {
					t.Errorf("after a minute %d records are stored, %d of them in the shard that takes none", sent, stuck)
				}
				time.Sleep(time.Hour)
				if doubled := b.finish(); doubled > 0 || len(f.records) != 1000 {
					t.Errorf("%d records are stored, %d twice", len(f.records), doubled)
				}
				if tries < 3600/5 || tries > 2*3600/5+20 {
					t.Errorf("%d attempts in an hour, want one in 2.5 to 5 seconds", tries)
				}
			})
		})
	}
}

// Lanes that fail together do not try again together.
func TestLanesTryAgainApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 2)
		var at [2][]time.Duration
		begun := time.Now()
		f.plan = func(_ int, in *kinesis.PutRecordsInput) fault {
			now := time.Since(begun)
			if now > 10*time.Minute {
				return fault{}
			}
			for i, has := range halves(in) {
				if has {
					at[i] = append(at[i], now)
				}
			}
			return fault{err: errors.New("connection reset")}
		}
		b := start(t, f, Config{})
		for i := range 20 {
			b.put(fmt.Sprint("key", i))
		}
		time.Sleep(11 * time.Minute)
		b.finish()
		together := 0
		for _, d := range at[0] {
			if slices.Contains(at[1], d) {
				together++
			}
		}
		if n := len(at[0]); n < 100 || together > n/10 {
			t.Errorf("of %d attempts of a lane %d came in the moment of one of the other", n, together)
		}
	})
}

// However much waits, no request is larger than Kinesis takes: 500 records and 10 MiB; and one is filled as far as it is
// allowed to.
func TestKinesisLimitsOfARequest(t *testing.T) {
	for _, c := range []struct{ setting, most, least int }{
		{0, 5 << 20, 4 << 20}, {8 << 20, 8 << 20, 7 << 20}, {1 << 30, 10 << 20, 9 << 20},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t, 1)
			f.summary.MaxRecordSizeInKiB = aws.Int32(10240)
			f.plan = func(int, *kinesis.PutRecordsInput) fault { return fault{delay: time.Second} }
			b := start(t, f, Config{MaxRequestBytes: c.setting, MaxBytes: 256 << 20})
			for i := range 60 {
				if err := b.w.Put(t.Context(), f.ledger.record(fmt.Sprint("key", i), 700<<10)); err != nil {
					t.Fatal(err)
				}
			}
			b.finish()
			if largest := slices.Max(f.sizes); largest > c.most || largest < c.least {
				t.Errorf("with a setting of %d the largest request has %d bytes, want %d to %d", c.setting, largest, c.least, c.most)
			}
		})
	}
}
