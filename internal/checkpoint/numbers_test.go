package checkpoint

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// However acknowledgements come, no number is given away that is a span above one that is not acknowledged, and every
// number below that is.
func TestNumbersStayWithinTheSpan(t *testing.T) {
	for _, span := range []uint64{1, 2, 3, 64, 100} {
		r := rand.New(rand.NewPCG(span, 1))
		n := NewNumbers(span)
		var open []uint64 // ascending
		next := uint64(1)
		for range 20_000 {
			seq, ok := n.Next()
			if want := len(open) == 0 || next-open[0] < span; ok != want || seq != next {
				t.Fatalf("span %d: Next = %d, %t with %v open, want %d, %t", span, seq, ok, open, next, want)
			}
			many, ok2 := n.NextOfMany()
			if want := ok && (len(open) == 0 || span-(next-open[0]) > span/16); ok2 != want || many != seq {
				t.Fatalf("span %d: NextOfMany = %d, %t with %v open, want %d, %t", span, many, ok2, open, seq, want)
			}
			if ok && r.IntN(5) > 0 {
				n.Take()
				open = append(open, seq)
				next++
			}
			if len(open) > 0 && r.IntN(3) == 0 {
				i := r.IntN(len(open))
				n.Acked(open[i])
				n.Acked(open[i]) // again
				open = slices.Delete(open, i, i+1)
			}
			n.Acked(next + uint64(r.IntN(3))) // was not given
		}
	}
}

func TestNumbersAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNumbers(8)
		if err := n.Await(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 8 {
			n.Take()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := n.Await(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Await = %v while nothing is free", err)
		}
		one, many := make(chan error, 2), make(chan error, 1)
		for range 2 {
			go func() { one <- n.Await(t.Context()) }()
		}
		go func() { many <- n.AwaitMany(t.Context()) }()
		for _, step := range []struct {
			seq       uint64
			one, many int // that have an answer
		}{{3, 0, 0}, {1, 2, 0}, {2, 2, 1}} {
			n.Acked(step.seq)
			synctest.Wait()
			if len(one) != step.one || len(many) != step.many {
				t.Errorf("behind %d, %d who want one and %d who want many have an answer", step.seq, len(one), len(many))
			}
		}
		for _, err := range []error{<-one, <-one, <-many} {
			if err != nil {
				t.Error(err)
			}
		}
	})
}
