package kinesisout

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
)

var update = flag.Bool("update", false, "rewrite golden files")

func waiting(q *queue, key string, data ...string) *item {
	var first *item
	for _, d := range data {
		it := &item{buf: []byte(key + d), keyLen: len(key), key64: hashOf([]byte(key)).lo, hash: hashOf([]byte(key))}
		if q.push(it); first == nil {
			first = it
		}
	}
	return first
}

// The bytes of an aggregated record are a promise to everybody's readers.
func TestAggregateGolden(t *testing.T) {
	q := newQueue()
	records := []string{`{"id":1}`, "", strings.Repeat("é", 100), string(make([]byte, 300))}
	it := waiting(&q, "shop.customer", records...)
	q.pack(it, 1<<20)
	got := appendAggregate([]byte("kept"), it)
	if string(got[:4]) != "kept" {
		t.Fatal("what was there is gone")
	}
	got = got[4:]
	const file = "testdata/aggregate.golden"
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("aggregate is\n%q, want\n%q", got, want)
	}
	var back []string
	for _, part := range kinesisin.Deaggregate(got) {
		back = append(back, string(part))
	}
	if !slices.Equal(back, records) {
		t.Errorf("taken apart it is %q", back)
	}
	if size := it.wireSize(); size != len(got)+len("shop.customer") {
		t.Errorf("its size is told as %d, it has %d with its key", size, len(got)+len("shop.customer"))
	}
}

// Sizes are foretold exactly, at each length where a varint grows.
func TestAggregateSizes(t *testing.T) {
	for _, n := range []int{0, 1, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129, 16370, 16377, 16378, 16379, 16380, 16383, 16384} {
		q := newQueue()
		it := waiting(&q, "k", strings.Repeat("a", n), strings.Repeat("b", n), "c")
		q.pack(it, 1<<20)
		got := appendAggregate(nil, it)
		if want := len(got) + 1; it.wireSize() != want {
			t.Errorf("with records of %d bytes the size is told as %d, it is %d", n, it.wireSize(), want)
		}
		if parts := kinesisin.Deaggregate(got); len(parts) != 3 || len(parts[1]) != n {
			t.Errorf("an aggregate of records of %d bytes reads as %d records", n, len(parts))
		}
	}
}

func TestWhatIsNotAggregated(t *testing.T) {
	packed := func(q *queue, limit int) (n int) {
		it := q.take(nil, 1, 1<<20, limit)[0]
		for range it.records {
			n++
		}
		return n
	}
	q := newQueue()
	waiting(&q, "k", strings.Repeat("a", 60), strings.Repeat("b", 60), strings.Repeat("c", 60))
	if n := packed(&q, 160); n != 2 {
		t.Errorf("%d records in an aggregate with room for two", n)
	}
	q = newQueue()
	waiting(&q, "k", "alone")
	if n := packed(&q, 1000); n != 1 {
		t.Errorf("a record alone is an aggregate of %d", n)
	}
	q = newQueue()
	a := waiting(&q, "a", "1")
	b := &item{buf: []byte("b1"), keyLen: 1, key64: a.key64} // two keys with the same 64 bits
	q.push(b)
	if n := packed(&q, 1000); n != 1 {
		t.Error("two keys stand in one aggregate")
	}
	for _, special := range []*item{{fence: newFence(1)}, {hashKey: "0"}, {loose: true}} {
		q = newQueue()
		a = waiting(&q, "a", "1")
		special.buf, special.keyLen, special.key64 = []byte("a2"), 1, a.key64
		q.push(special)
		if n := packed(&q, 1000); n != 1 {
			t.Errorf("%+v stands in an aggregate with an ordinary record", special)
		}
	}
}

// While a request is under way a key's records gather, and leave as one. A refused aggregate is sent again, with what has
// come meanwhile, and a record that nothing waits behind stays plain.
func TestAggregatesAreTakenAndRefusedAsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 1)
		var counts []int
		f.plan = func(call int, in *kinesis.PutRecordsInput) fault {
			counts = append(counts, len(kinesisin.Deaggregate(in.Records[0].Data)))
			if len(in.Records) != 1 {
				t.Errorf("a request of %d records for one key", len(in.Records))
			}
			return fault{delay: time.Second, refuse: func(int, string) string {
				if call == 2 {
					return throttle
				}
				return ""
			}}
		}
		b := start(t, f, Config{Aggregate: true})
		b.put("a")
		time.Sleep(100 * time.Millisecond)
		for range 5 {
			b.put("a")
		}
		time.Sleep(time.Second) // the aggregate is under way
		for range 3 {
			b.put("a")
		}
		if doubled := b.finish(); doubled > 0 {
			t.Errorf("%d records are stored twice", doubled)
		}
		if want := []int{1, 5, 8}; !slices.Equal(counts, want) {
			t.Errorf("requests of %v records, want %v", counts, want)
		}
	})
}

// Aggregates meet shards that split and merge, several at once.
func TestAggregatesAndReshards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 4)
		f.plan = func(call int, _ *kinesis.PutRecordsInput) fault {
			if call%40 == 0 && call <= 200 { // UpdateShardCount changes all shards at a time
				for i := range 4 {
					f.split(2 * i)
				}
			}
			if call%40 == 20 && call <= 200 {
				for range 3 {
					f.merge(0)
				}
			}
			return fault{delay: 5 * time.Millisecond, refuse: func(i int, _ string) string {
				if (call+i)%7 == 0 {
					return throttle
				}
				return ""
			}}
		}
		b := start(t, f, Config{Aggregate: true, ListEvery: time.Second})
		for i := range 20_000 {
			b.put(fmt.Sprint(i * i % 13))
			if i%100 == 0 {
				time.Sleep(20 * time.Millisecond)
			}
		}
		if doubled := b.finish(); doubled > 0 {
			t.Errorf("%d records are stored twice", doubled)
		}
		if f.calls > 5000 {
			t.Errorf("%d requests for 20,000 records of 13 keys", f.calls)
		}
	})
}
