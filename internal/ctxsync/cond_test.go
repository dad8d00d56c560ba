package ctxsync

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
)

func TestCond(t *testing.T) {
	errStop := errors.New("stop")
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // covers changed and ready
		var changed Cond
		ready := false
		await := func(ctx context.Context) (err error) {
			mu.Lock()
			defer mu.Unlock()
			for !ready && err == nil {
				err = changed.Wait(ctx, &mu)
			}
			return err
		}
		mu.Lock()
		changed.Broadcast() // to nobody
		mu.Unlock()

		ctx, cancel := context.WithCancelCause(t.Context())
		ended, woken := make(chan error, 1), make(chan error, 2)
		go func() { ended <- await(ctx) }()
		for range cap(woken) {
			go func() { woken <- await(t.Context()) }()
		}
		synctest.Wait()
		cancel(errStop)
		if err := <-ended; !errors.Is(err, errStop) {
			t.Errorf("a wait whose context ended says %v", err)
		}
		mu.Lock()
		changed.Broadcast() // of something else: they wait on
		mu.Unlock()
		synctest.Wait()
		if len(woken) > 0 {
			t.Error("a wait ended before its condition held")
		}
		mu.Lock()
		ready = true
		changed.Broadcast()
		mu.Unlock()
		for range cap(woken) {
			if err := <-woken; err != nil {
				t.Error(err)
			}
		}
	})
}
