package kinesisout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	"github.com/prometheus/client_golang/prometheus"
)

const throttle = "ProvisionedThroughputExceededException"

func apiError(code string) error { return &smithy.GenericAPIError{Code: code, Message: "made up"} }

// bench is a running Writer on a fake stream, in a bubble of fake time.
type bench struct {
	*testing.T
	f   *fakeKinesis
	w   *Writer
	log *lockedBuffer
	end func() error // stops Run and gives what it returned
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

func start(t *testing.T, f *fakeKinesis, cfg Config) *bench {
	b := &bench{T: t, f: f, log: &lockedBuffer{}}
	cfg.API, cfg.StreamName = f, "s"
	cfg.Logger = slog.New(slog.NewTextHandler(b.log, nil))
	b.w = New(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.w.Run(ctx) }()
	b.end = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() { _ = b.end() })
	return b
}

func (b *bench) put(key string) {
	b.Helper()
	if err := b.w.Put(b.Context(), b.f.ledger.record(key, 10)); err != nil {
		b.Fatal(err)
	}
}

// flush waits until everything is acknowledged, and checks every promise.
func (b *bench) flush() (doubled int) {
	b.Helper()
	if err := b.w.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	return b.f.mustHold()
}

// finish flushes, stops, and checks every promise.
func (b *bench) finish() (doubled int) {
	b.Helper()
	if err := b.w.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := b.end(); err != nil {
		b.Fatalf("Run = %v", err)
	}
	if used := b.w.budget.used(); used != 0 {
		b.Errorf("%d bytes are held by nobody", used)
	}
	return b.f.mustHold()
}

func (f *fakeKinesis) keyOrder(key string) (data []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.records {
		if r.key == key {
			data = append(data, strings.TrimRight(r.data, "/x"))
		}
	}
	return data
}

func TestRecordThreeOfFiveIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 1)
		var sizes []int
		f.plan = func(call int, in *kinesis.PutRecordsInput) fault {
			sizes = append(sizes, len(in.Records))
			if call == 1 {
				return fault{delay: time.Second} // lets the others gather
			}
			return fault{refuse: func(i int, key string) string {
				if call == 2 && i == 2 {
					return throttle
				}
				return ""
			}}
		}
		b := start(t, f, Config{})
		b.put("first")
		time.Sleep(100 * time.Millisecond)
		for _, key := range []string{"a", "b", "c", "d", "e", "c", "c", "a"} {
			b.put(key) // 2 to 9
		}
		if doubled := b.finish(); doubled != 0 {
			t.Errorf("%d records are stored twice", doubled)
		}
		if want := []int{1, 5, 2, 1, 1}; !slices.Equal(sizes, want) {
			t.Errorf("requests of %d records, want %d", sizes, want)
		}
		if got, want := f.keyOrder("c"), []string{"4", "7", "8"}; !slices.Equal(got, want) {
			t.Errorf("key c is stored as %v, want %v", got, want)
		}
	})
}

func TestLostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 1)
		f.plan = func(call int, _ *kinesis.PutRecordsInput) fault { return fault{lost: call == 1} }
		b := start(t, f, Config{CallTimeout: 2 * time.Second})
		b.put("a")
		time.Sleep(time.Millisecond) // it is on its way alone
		for _, key := range []string{"a", "b", "a"} {
			b.put(key)
		}
		if doubled := b.finish(); doubled != 1 {
			t.Errorf("%d records are stored twice, want the first alone", doubled)
		}
		if got, want := f.keyOrder("a"), []string{"1", "1", "2", "4"}; !slices.Equal(got, want) {
			t.Errorf("key a is stored as %v, want %v", got, want)
		}
	})
}

func TestAnswersThatDoNotFit(t *testing.T) {
	for name, broken := range map[string]fault{
		"one answer missing": {cut: 1},
		"neither taken nor refused": {after: func(out *kinesis.PutRecordsOutput) {
			out.Records[0] = types.PutRecordsResultEntry{}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t, 1)
				f.plan = func(call int, _ *kinesis.PutRecordsInput) fault {
					if call == 1 {
						return broken
					}
					return fault{}
				}
				b := start(t, f, Config{})
				b.put("a")
				b.put("a")
				if doubled := b.finish(); doubled != 1 {
					t.Errorf("%d records are stored twice, want 1", doubled)
				}
			})
		})
	}
}

func TestOutageIsWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 4)
		begun := time.Now()
		f.plan = func(int, *kinesis.PutRecordsInput) fault {
			if time.Since(begun) < time.Hour {
				return fault{err: errors.New("connection refused")}
			}
			return fault{}
		}
		b := start(t, f, Config{})
		for i := range 100 {
			b.put(fmt.Sprint("key", i%20))
		}
		time.Sleep(time.Minute)
		if s := b.w.Status(); s.QueueBytes == 0 || s.QueueLimit == 0 || s.Records != 0 {
			t.Errorf("in an outage the status is %+v", s)
		}
		b.finish()
		if s := b.w.Status(); s.Records != 100 || s.QueueBytes != 0 {
			t.Errorf("after it, the status is %+v", s)
		}
		if warned, recovered := b.log.count("level=WARN"), b.log.count("works again"); warned != 1 || recovered != 1 {
			t.Errorf("an outage of all shards was announced %d times, its end %d times", warned, recovered)
		}
		if late := time.Since(begun) - time.Hour; late > pauses.Longest+time.Second {
			t.Errorf("everything was written %v after the outage", late)
		}
		if f.calls > 4*3600 {
			t.Errorf("%d calls in an hour's outage", f.calls)
		}
	})
}

func TestThrottling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 2)
		n := 0
		f.plan = func(int, *kinesis.PutRecordsInput) fault {
			return fault{refuse: func(int, string) string {
				if n++; n%3 != 0 {
					return throttle
				}
				return ""
			}}
		}
		reg := prometheus.NewRegistry()
		b := start(t, f, Config{Registerer: reg})
		for i := range 3000 {
			b.put(fmt.Sprint("key", i%700))
		}
		if doubled := b.finish(); doubled != 0 {
			t.Errorf("%d records are stored twice", doubled)
		}
		if b.log.count("level=WARN") > 0 {
			t.Error("throttling was announced as an outage")
		}
		got := gather(t, reg)
		if got["binlogstreamer_stream_records_total"] != 3000 || got["binlogstreamer_stream_queue_bytes"] != 0 {
			t.Errorf("metrics say %v", got)
		}
		refused := got["binlogstreamer_stream_throttled_total"]
		s := b.w.Status()
		if s.Throttled != uint64(refused) || len(s.Shards) != 2 || s.Shards[0].Throttled+s.Shards[1].Throttled != s.Throttled ||
			s.Shards[0].LastThrottled.IsZero() || time.Since(s.Shards[1].LastThrottled) > time.Hour {
			t.Errorf("the status is %+v", s)
		}
		if refused != float64(n-3000) || got["binlogstreamer_stream_resent_records_total"] != refused {
			t.Errorf("%v throttled and %v sent again, want %d", refused, got["binlogstreamer_stream_resent_records_total"], n-3000)
		}
	})
}

// gather sums every metric over its labels.
func gather(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sums := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.Metric {
			sums[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sums
}

func TestRequestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 1)
		var counts []int
		f.plan = func(call int, in *kinesis.PutRecordsInput) fault {
			counts = append(counts, len(in.Records))
			return fault{delay: time.Second}
		}
		b := start(t, f, Config{MaxRequestBytes: 100_000})
		put := func(n, padding int) {
			for i := range n {
				if err := b.w.Put(t.Context(), f.ledger.record(fmt.Sprintf("k%d", i), padding)); err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					time.Sleep(time.Millisecond) // it is on its way alone, the others gather
				}
			}
			if err := b.w.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		put(1+1200, 10)
		put(1+5, 30_000)
		put(2, 150_000) // larger than a request: goes alone
		b.finish()
		if want := []int{1, 500, 500, 200, 1, 3, 2, 1, 1}; !slices.Equal(counts, want) {
			t.Errorf("requests of %v records, want %v", counts, want)
		}
		for i, n := range f.sizes {
			if n > 100_000 && counts[i] > 1 {
				t.Errorf("a request of %d bytes", n)
			}
		}
	})
}

func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 2)
		var gate sync.Mutex
		blocked := true
		f.plan = func(int, *kinesis.PutRecordsInput) fault {
			gate.Lock()
			defer gate.Unlock()
			if blocked {
				return fault{err: errors.New("away")}
			}
			return fault{}
		}
		const bound = 64 << 10
		b := start(t, f, Config{MaxBytes: bound})
		var puts int
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range 1000 {
				b.put(fmt.Sprint(i))
				puts++
			}
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		if used := b.w.budget.used(); used > bound || used < bound-2000 || puts >= 1000 {
			t.Errorf("after %d Puts %d bytes are held, the bound is %d", puts, used, bound)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.w.Put(ctx, Record{Key: []byte("k")}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Put into a full queue = %v", err)
		}
		if err := b.w.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Flush during an outage = %v", err)
		}
		gate.Lock()
		blocked = false
		gate.Unlock()
		<-done
		b.finish()
	})
}

func TestRecordLargerThanTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 1)
		b := start(t, f, Config{MaxBytes: 10_000})
		b.put("a")
		if err := b.w.Put(t.Context(), f.ledger.record("a", 500_000)); err != nil {
			t.Fatal(err)
		}
		b.put("a")
		b.finish()
	})
}

func TestOversizedAndBadKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 1)
		b := start(t, f, Config{})
		key := []byte("key")
		put := func(r Record) error { return b.w.Put(t.Context(), r) }
		if err := put(Record{Key: key, Data: make([]byte, DefaultRecordBytes-3)}); err != nil {
			t.Errorf("Put of a record at the limit = %v", err)
		}
		err := put(Record{Key: key, Data: make([]byte, DefaultRecordBytes-2)})
		if big, ok := errors.AsType[*OversizedError](err); !ok || big.Size != DefaultRecordBytes+1 || big.Limit != DefaultRecordBytes {
			t.Errorf("Put of a record over the limit = %v", err)
		}
		for what, r := range map[string]Record{
			"an empty key":                   {},
			"a key that is not UTF-8":        {Key: []byte("\xff")},
			"a key of 257 characters":        {Key: bytes.Repeat([]byte("ü"), 257)},
			"a hash key that is no number":   {Key: key, HashKey: "x"},
			"a negative hash key":            {Key: key, HashKey: "-1"},
			"a hash key with leading zeros":  {Key: key, HashKey: "01"},
			"a hash key beyond the 128 bits": {Key: key, HashKey: "340282366920938463463374607431768211456"},
		} {
			if _, ok := errors.AsType[*KeyError](put(r)); !ok {
				t.Errorf("Put with %s = %v, want a KeyError", what, put(r))
			}
		}
		for _, r := range []Record{
			{Key: bytes.Repeat([]byte("ü"), 256)},
			{Key: key, HashKey: "0"}, {Key: key, HashKey: "340282366920938463463374607431768211455"},
		} {
			if err := put(r); err != nil {
				t.Errorf("Put(%.20q, %s) = %v", r.Key, r.HashKey, err)
			}
		}
		if err := b.w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(f.records); got != 4 {
			t.Errorf("%d records are stored, want 4", got)
		}
	})
}

func TestRecordLimitOfTheStream(t *testing.T) {
	for _, c := range []struct{ kib, own, want int }{
		{0, 0, 1 << 20}, {10240, 0, 10 << 20}, {2048, 4 << 20, 2 << 20}, {0, 1000, 1000},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t, 1)
			f.summary.MaxRecordSizeInKiB = aws.Int32(int32(c.kib))
			b := start(t, f, Config{MaxRecordBytes: c.own})
			b.put("k")
			if got := b.w.maxRecord.Load(); got != int64(c.want) {
				t.Errorf("a stream of %d KiB and a setting of %d give %d bytes, want %d", c.kib, c.own, got, c.want)
			}
			b.finish()
		})
	}
}

// The limit is looked at again when a record is over it, and now and then.
func TestRecordLimitIsRaised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 1)
		raise := func(kib int32) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.summary.MaxRecordSizeInKiB = aws.Int32(kib)
		}
		b := start(t, f, Config{})
		put := func(size int) error {
			return b.w.Put(t.Context(), f.ledger.record("a", size))
		}
		b.put("a")
		raise(2048)
		if err := put(3 << 19); err != nil {
			t.Errorf("Put after the limit was raised = %v", err)
		}
		raise(4096) // within the time in which nobody asks again
		size := 3 << 20
		if err := b.w.Takes(t.Context(), size); err == nil {
			t.Error("the stream was asked again at once")
		}
		time.Sleep(lookAfresh)
		if err := put(size); err != nil {
			t.Errorf("Put after the limit was raised again = %v", err)
		}
		described := f.describes
		for range 1000 {
			if _, ok := errors.AsType[*OversizedError](b.w.Takes(t.Context(), 5<<20)); !ok {
				t.Fatal("a record over the limit is taken")
			}
		}
		if more := f.describes - described; more > 1 {
			t.Errorf("the stream was described %d times for 1000 records", more)
		}
		raise(1024)
		time.Sleep(time.Minute) // of ListEvery
		if err := b.w.Takes(t.Context(), size); err == nil {
			t.Error("a lower limit was not learned")
		}
		b.finish()
	})
}

// A stream that begins to ignore partition keys ends the Writer.
func TestDistributionChangesWhileWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 1)
		b := start(t, f, Config{})
		b.put("a")
		f.mu.Lock()
		f.summary.RecordDistributionStrategy = types.RecordDistributionStrategyAuto
		f.mu.Unlock()
		<-b.w.stopped
		if err := b.end(); err == nil || !strings.Contains(err.Error(), "AUTO") {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestFatal(t *testing.T) {
	whole := func(code string) fault { return fault{err: apiError(code)} }
	for name, c := range map[string]struct {
		broken fault
		code   string
		hint   string
	}{
		"no permission":      {whole("AccessDeniedException"), "AccessDeniedException", "kinesis:PutRecords"},
		"bad request":        {whole("ValidationException"), "ValidationException", "region"},
		"unknown access key": {whole("UnrecognizedClientException"), "UnrecognizedClientException", "access key"},
		"one record is refused for good": {fault{refuse: func(i int, _ string) string {
			if i == 1 {
				return "KMSDisabledException"
			}
			return ""
		}}, "KMSDisabledException", "KMS key"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t, 2)
				f.plan = func(call int, in *kinesis.PutRecordsInput) fault {
					if len(in.Records) < 2 {
						return fault{delay: time.Second}
					}
					return c.broken
				}
				b := start(t, f, Config{})
				for i := range 20 {
					if b.w.Put(t.Context(), f.ledger.record(fmt.Sprint(i), 1)) != nil {
						break // it has failed already
					}
				}
				err := b.w.Flush(t.Context())
				failed, ok := errors.AsType[*Error](err)
				if !ok || failed.Code != c.code || !strings.Contains(err.Error(), c.hint) || !strings.Contains(err.Error(), "stream s") {
					t.Fatalf("Flush = %v, want code %s and a hint of %q", err, c.code, c.hint)
				}
				if got := b.end(); got != error(failed) {
					t.Errorf("Run = %v, Flush said %v", got, failed)
				}
				if got := b.w.Put(t.Context(), f.ledger.record("k", 1)); got != error(failed) {
					t.Errorf("Put = %v, Flush said %v", got, failed)
				}
			})
		})
	}
}

func TestTroubleThatPasses(t *testing.T) {
	for _, code := range []string{
		"ExpiredTokenException", "InternalFailure", "ServiceUnavailable", "KMSThrottlingException", throttle, "ResourceNotFoundException", "NeverHeardOf",
	} {
		t.Run(code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t, 1)
				f.plan = func(call int, _ *kinesis.PutRecordsInput) fault {
					switch {
					case call <= 3:
						return fault{err: apiError(code)}
					case call <= 6:
						return fault{refuse: func(int, string) string { return code }}
					}
					return fault{}
				}
				b := start(t, f, Config{})
				b.put("a")
				b.put("a")
				b.finish()
			})
		})
	}
}

func TestDeletedStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 1)
		gone := false
		f.plan = func(int, *kinesis.PutRecordsInput) fault {
			if gone {
				return fault{err: apiError("ResourceNotFoundException")}
			}
			return fault{}
		}
		f.listErr = func(int) error {
			if gone {
				return apiError("ResourceNotFoundException")
			}
			return nil
		}
		b := start(t, f, Config{})
		b.put("a")
		if err := b.w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		gone = true
		b.put("a")
		err := b.w.Flush(t.Context())
		if failed, ok := errors.AsType[*Error](err); !ok || failed.Step != stepList || !strings.Contains(err.Error(), "create the stream") {
			t.Errorf("Flush = %v, want an Error that says the stream is gone", err)
		}
	})
}

func TestStart(t *testing.T) {
	t.Run("waits for a stream under creation, and through outages", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t, 1)
			f.summary.StreamStatus = types.StreamStatusCreating
			f.describe = func(call int) error {
				switch call {
				case 1:
					return errors.New("connection refused")
				case 5:
					f.summary.StreamStatus = types.StreamStatusActive
				}
				return nil
			}
			f.listErr = func(call int) error {
				if call < 3 {
					return apiError("LimitExceededException")
				}
				return nil
			}
			b := start(t, f, Config{})
			b.put("a")
			b.finish()
			if b.log.count("level=WARN") != 1 {
				t.Errorf("log:\n%s", b.log.b.String())
			}
		})
	})
	t.Run("no such stream", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t, 1)
			f.describe = func(int) error { return apiError("ResourceNotFoundException") }
			b := start(t, f, Config{})
			err := b.w.Put(t.Context(), Record{Key: []byte("k")})
			if failed, ok := errors.AsType[*Error](err); !ok || failed.Step != stepDescribe {
				t.Errorf("Put = %v", err)
			}
		})
	})
	t.Run("automatic distribution", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t, 1)
			f.summary.RecordDistributionStrategy = types.RecordDistributionStrategyAuto
			b := start(t, f, Config{})
			if err := b.w.Put(t.Context(), Record{Key: []byte("k")}); err == nil || !strings.Contains(err.Error(), "USER_PARTITION_KEY") {
				t.Errorf("Put = %v, want an error with the cure", err)
			}
			b = start(t, f, Config{AllowAutoDistribution: true})
			b.put("k")
			b.finish()
			if b.log.count("level=WARN") != 1 {
				t.Error("no warning")
			}
		})
	})
	t.Run("stopped before", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t, 1)
			f.describe = func(int) error { return errors.New("away") }
			b := start(t, f, Config{})
			if err := b.end(); err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
			if err := b.w.Put(t.Context(), Record{Key: []byte("k")}); !errors.Is(err, ErrStopped) {
				t.Errorf("Put = %v, want ErrStopped", err)
			}
			if err := b.w.Flush(t.Context()); err != nil {
				t.Errorf("Flush of nothing = %v", err)
			}
		})
	})
}

// The end of Run's context cuts off a request that is never answered.
func TestCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 1)
		f.plan = func(int, *kinesis.PutRecordsInput) fault { return fault{lost: true} }
		b := start(t, f, Config{CallTimeout: time.Hour})
		b.put("a")
		time.Sleep(time.Second)
		begun := time.Now()
		if err := b.end(); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		if time.Since(begun) > 0 {
			t.Errorf("Run ended after %v", time.Since(begun))
		}
		if err := b.w.Flush(t.Context()); !errors.Is(err, ErrStopped) {
			t.Errorf("Flush = %v, want ErrStopped", err)
		}
		if b.log.count("level=WARN") > 0 {
			t.Error("our own end was announced as the stream's trouble")
		}
	})
}

// Data handed to Put may be used again at once.
func TestPutCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 1)
		b := start(t, f, Config{})
		for range 50 {
			r := f.ledger.record("key", 20)
			if err := b.w.Put(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			clear(r.Key)
			clear(r.Data)
		}
		b.finish()
	})
}
