package binlog

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/binlogstreamer/binlogstreamer/internal/testservers"
)

// fuse is a context that is cancelled when it has been asked for so often.
type fuse struct {
	context.Context
	cancel context.CancelFunc
	left   *atomic.Int64
}

func (f fuse) burn() {
	if f.left.Add(-1) == 0 {
		f.cancel()
	}
}

func (f fuse) Done() <-chan struct{} {
	f.burn()
	return f.Context.Done()
}

func (f fuse) Err() error {
	f.burn()
	return f.Context.Err()
}

// TestAGlanceMayBeCutOffAnywhere ends the context of a look into a log file at each of its steps.
func TestAGlanceMayBeCutOffAnywhere(t *testing.T) {
	b := newBench(t, testservers.SharedMySQL(t), "CREATE TABLE t (id INT PRIMARY KEY)")
	for n := int64(1); ; n++ {
		ctx, cancel := context.WithCancel(t.Context())
		f := fuse{ctx, cancel, new(atomic.Int64)}
		f.left.Store(n)
		_, err := ReadHead(f, b.source(), b.info, b.start.File)
		through := f.left.Load() > 0
		cancel()
		if through && err != nil {
			t.Fatal(err)
		}
		if through {
			if n < 6 {
				t.Errorf("the context was asked for %d times only", n)
			}
			return
		}
	}
}
