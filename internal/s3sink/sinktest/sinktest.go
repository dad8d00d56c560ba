// Package sinktest is the contract of s3sink.Destination as a test suite: every implementation must pass it.
package sinktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

// Reader reads back the stored bytes of an object, past the Destination.
type Reader func(t *testing.T, key string) []byte

// Run tests a destination that is empty. Read may be nil if nothing can be read past it.
func Run(t *testing.T, d s3sink.Destination, read Reader) {
	for _, c := range []s3sink.Compression{s3sink.GZIP, s3sink.Uncompressed, s3sink.ZIP, s3sink.Snappy, s3sink.HadoopSnappy, s3sink.ZSTD} {
		t.Run(string(c), func(t *testing.T) {
			t.Run("put once", func(t *testing.T) { putOnce(t, d, c, read) })
			t.Run("one of many writers wins", func(t *testing.T) { race(t, d, c, read) })
		})
	}
	t.Run("nothing there", func(t *testing.T) {
		if _, err := d.Head(t.Context(), "2026/01/02/03/never-written"); !errors.Is(err, s3sink.ErrNotFound) {
			t.Errorf("Head = %v, want ErrNotFound", err)
		}
	})
	t.Run("probe", func(t *testing.T) {
		for range 3 {
			if err := d.Probe(t.Context(), ".probe"); err != nil {
				t.Error(err)
			}
		}
	})
	if d.String() == "" {
		t.Error("String is empty")
	}
}

// object is a run of records with numbers from first to last. All that begin alike have one key.
func object(t *testing.T, c s3sink.Compression, name string, first, last int) *s3sink.Object {
	t.Helper()
	layout, err := s3sink.NewLayout(s3sink.LayoutConfig{Name: name + "-" + string(c), Compression: c})
	if err != nil {
		t.Fatal(err)
	}
	run := s3sink.NewRun(layout, 1, nil)
	for i := first; i <= last; i++ {
		run.Add(fmt.Sprint(1000+i), time.Unix(1_700_000_000, 0), fmt.Appendf(nil, `{"n":%d}`, i))
	}
	chain := s3sink.Chain{Stream: "s", Created: time.Unix(1_600_000_000, 0), Shard: "shardId-000000000000"}
	o, err := run.Object(t.Context(), chain, &run.Groups(chain)[0], new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func putOnce(t *testing.T, d s3sink.Destination, c s3sink.Compression, read Reader) {
	ctx := t.Context()
	o := object(t, c, "once", 1, 5)
	if _, err := d.Head(ctx, o.Key); !errors.Is(err, s3sink.ErrNotFound) {
		t.Fatalf("Head before Put = %v", err)
	}
	if err := d.Put(ctx, o); err != nil {
		t.Fatalf("Put = %v", err)
	}
	for _, again := range []*s3sink.Object{o, object(t, c, "once", 1, 9)} {
		if err := d.Put(ctx, again); !errors.Is(err, s3sink.ErrExists) {
			t.Fatalf("Put again = %v, want ErrExists", err)
		}
	}
	if m, err := d.Head(ctx, o.Key); err != nil || m != o.Meta {
		t.Errorf("Head = %+v, %v, want %+v", m, err, o.Meta)
	}
	if read != nil {
		if got := read(t, o.Key); !bytes.Equal(got, o.Body) {
			t.Errorf("the object holds %d other bytes than were put", len(got))
		}
	}
}

// race lets writers with runs of different lengths put at once: exactly one is told that it stored, and what is there
// is all its own.
func race(t *testing.T, d s3sink.Destination, c s3sink.Compression, read Reader) {
	const writers = 6
	objects := make([]*s3sink.Object, writers)
	errs := make([]error, writers)
	for i := range objects {
		objects[i] = object(t, c, "race", 1, 2+i)
	}
	var wg sync.WaitGroup
	for i := range objects {
		wg.Go(func() {
			for {
				errs[i] = d.Put(context.WithoutCancel(t.Context()), objects[i])
				if errs[i] == nil || errors.Is(errs[i], s3sink.ErrExists) {
					return // any other answer is one to try again after
				}
			}
		})
	}
	wg.Wait()
	winner := -1
	for i, err := range errs {
		if err == nil {
			if winner >= 0 {
				t.Fatalf("writers %d and %d were both told that they stored", winner, i)
			}
			winner = i
		}
	}
	if winner < 0 {
		t.Fatal("no writer stored")
	}
	if m, err := d.Head(t.Context(), objects[winner].Key); err != nil || m != objects[winner].Meta {
		t.Errorf("Head = %+v, %v, want the winner's %+v", m, err, objects[winner].Meta)
	}
	if read != nil && !bytes.Equal(read(t, objects[winner].Key), objects[winner].Body) {
		t.Error("the object is not the winner's")
	}
}
