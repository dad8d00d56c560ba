package snapshot

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestBudgetMakesReadersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		first, err := b.reserve(t.Context(), 60)
		must(t, err)
		var second *reservation
		go func() { second, err = b.reserve(t.Context(), 60) }()
		synctest.Wait()
		if second != nil {
			t.Fatal("120 of 100 bytes were given away")
		}
		first.shrink(40)
		synctest.Wait()
		if err != nil || second == nil || b.used != 100 {
			t.Fatalf("after 20 bytes were given back: %v, %d used", err, b.used)
		}
		first.release()
		first.release()
		second.release()
		if b.used != 0 || b.peak != 100 {
			t.Errorf("%d bytes used at the end, %d at the most", b.used, b.peak)
		}
		if all, err := b.reserve(t.Context(), 1000); err != nil || all.bytes != 100 {
			t.Errorf("more than there is: %v", err)
		}
	})
}

func TestOneGiantRowAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		var readers []*reservation
		for range 4 {
			r, err := b.reserve(t.Context(), 25)
			must(t, err)
			readers = append(readers, r)
		}
		ctx, cancel := context.WithCancel(t.Context())
		must(t, readers[0].grow(ctx, 1000)) // nobody can give anything back before somebody proceeds
		must(t, readers[0].grow(ctx, 2000))
		got := make([]error, 4)
		done := [4]bool{}
		for i := 1; i < 4; i++ {
			go func() { got[i] = readers[i].grow(ctx, 500); done[i] = true }()
		}
		synctest.Wait()
		if done != [4]bool{} || b.used != 2075 {
			t.Fatalf("a second giant row beside the first: %v, %d used", done, b.used)
		}
		readers[0].release()
		synctest.Wait()
		n := 0
		for i := 1; i < 4; i++ {
			if done[i] {
				n++
				must(t, got[i])
			}
		}
		if n != 1 {
			t.Errorf("%d giant rows after the first was through, want 1", n)
		}
		urgent := &reservation{budget: b, urgent: true}
		must(t, urgent.grow(ctx, 10_000)) // others may be waiting for it
		cancel()
		synctest.Wait()
		for i := 1; i < 4; i++ {
			if !done[i] || got[i] != nil && !errors.Is(got[i], context.Canceled) {
				t.Errorf("reader %d: done %v, %v", i, done[i], got[i])
			}
			readers[i].release()
		}
		urgent.release()
		if b.used != 0 || b.over {
			t.Errorf("%d bytes are left in use, over: %v", b.used, b.over)
		}
	})
}
