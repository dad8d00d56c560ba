package kinesisin

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin/kinesistest"
)

const (
	middle  = "170141183460469231731687303715884105728" // 2^127
	highest = "340282366920938463463374607431768211455" // 2^128 - 1
)

// "a" hashes to 0x0cc1…, "c" to 0x4a8a…, "b" to 0x92eb…
func TestAggregatesOutsideOfTheRange(t *testing.T) {
	one := func(key, hash uint64) aggregated { return aggregated{data: []byte("x"), key: key, hash: hash} }
	lower := HashRange{known: true}
	var err error
	if lower.last, err = parseHashKey("170141183460469231731687303715884105727"); err != nil {
		t.Fatal(err)
	}
	withHashes := func(hash string, records ...aggregated) []byte {
		data := aggregate([]string{"a", "b"}, records...)
		body := data[len(aggregateMagic) : len(data)-16]
		return seal(append([]byte{fieldHashKey<<3 | 2, byte(len(hash))}, append([]byte(hash), body...)...))
	}
	for name, tc := range map[string]struct {
		data    []byte
		outside bool
	}{
		"all inside":                     {aggregate([]string{"a", "c"}, one(0, 0), one(1, 0)), false},
		"the last one outside":           {aggregate([]string{"a", "b"}, one(0, 0), one(0, 0), one(1, 0)), true},
		"a key that no record has":       {aggregate([]string{"a", "b"}, one(0, 0)), false},
		"an explicit hash key inside":    {withHashes("0", one(1, 1)), false},
		"the range's own end":            {withHashes("170141183460469231731687303715884105727", one(1, 1)), false},
		"an explicit hash key outside":   {withHashes(middle, one(0, 1)), true},
		"a hash key that is no number":   {withHashes("x1", one(0, 1)), false},
		"not an aggregate":               {[]byte("b"), false},
		"a damaged aggregate of outside": {append(aggregate([]string{"b"}, one(0, 0)), 0), false},
	} {
		t.Run(name, func(t *testing.T) {
			records, outside := deaggregate(tc.data, &lower)
			if outside != tc.outside || outside != (len(records) == 0) {
				t.Errorf("outside is %v with %d records, want %v", outside, len(records), tc.outside)
			}
			if _, outside := deaggregate(tc.data, nil); outside {
				t.Error("outside of no range")
			}
			if _, outside := deaggregate(tc.data, &HashRange{}); outside {
				t.Error("outside of a range that is not known")
			}
		})
	}
}

func TestHashRangeOfAShard(t *testing.T) {
	r, err := Shard{StartHash: middle, EndHash: highest}.Range()
	if err != nil || r.first != [16]byte{0x80} || r.last[0] != 0xff || r.last[15] != 0xff {
		t.Errorf("Range = %x to %x, %v", r.first, r.last, err)
	}
	for _, bad := range []string{"", "-1", "x", highest + "0"} {
		if _, err := (Shard{StartHash: "0", EndHash: bad}).Range(); err == nil {
			t.Errorf("range up to %q is accepted", bad)
		}
	}
}

// free is a Gate and a Health without limits.
type free struct{}

func (free) Reserve(context.Context, int64) error { return nil }
func (free) Add(int64)                            {}
func (free) Failing(error)                        {}
func (free) Working()                             {}

// An aggregate that is dropped is counted, and reading goes on behind it.
func TestReaderDropsAggregates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kinesistest.New("s", 1)
		k.Hashes("shardId-000000000000", middle, highest)
		inside := aggregate([]string{"b"}, aggregated{data: []byte("in 1")}, aggregated{data: []byte("in 2")})
		for _, data := range [][]byte{inside, aggregate([]string{"b", "a"}, aggregated{data: []byte("out")}, aggregated{data: []byte("out"), key: 1}), []byte("plain"), inside} {
			k.Put("shardId-000000000000", data)
		}
		registry := prometheus.NewRegistry()
		s := New(Config{API: k, Stream: "s", Health: free{}, Gate: free{}, Metrics: NewMetrics(registry)})
		shards, err := s.Shards(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		within, err := shards[0].Range()
		if err != nil {
			t.Fatal(err)
		}
		done := errors.New("enough")
		var got []string
		err = s.Read(t.Context(), Request{Shard: shards[0].ID, From: Horizon(), Within: &within}, func(_ context.Context, b *Batch) error {
			for _, r := range b.Records {
				for _, d := range r.Data {
					got = append(got, string(d))
				}
			}
			return done
		})
		if !errors.Is(err, done) || len(got) != 5 || got[2] != "plain" {
			t.Errorf("read %q, %v", got, err)
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "binlogstreamer_read_aggregates_dropped_total" && f.GetMetric()[0].GetCounter().GetValue() != 1 {
				t.Errorf("counted as dropped: %v", f)
			}
		}
	})
}
