package snapshot

import (
	"context"
	"sync"

	"github.com/binlogstreamer/binlogstreamer/internal/ctxsync"
)

// pool hands the work of a Loader to its readers: tables first, in their order, and the ranges of tables that have begun
// before those. When readers are left without work, the ranges of large tables are cut for them.
type pool struct {
	mu        sync.Mutex   // covers everything below
	tables    []*tableLoad // not begun
	ranges    []*rangeLoad // without a reader
	undivided []*tableLoad // for later, one by one
	busy      int          // readers at work
	idle      int          // readers that wait for work
	changed   ctxsync.Cond
}

// serve is the life of one reader: it ends when nothing is left to do, for anybody.
func (p *pool) serve(ctx context.Context, l *Loader) error {
	rd := &reader{l: l}
	defer rd.disconnect()
	for {
		t, r, err := p.next(ctx)
		switch {
		case err != nil:
			return err
		case r != nil:
			err = r.t.named(r.run(ctx, rd))
			r.t.through()
		case t != nil:
			err = t.named(t.begin(ctx, rd))
		default:
			return nil
		}
		p.rest()
		if err != nil {
			return err
		}
	}
}

// next waits for a range to read, or a table to begin with. Neither says that all is done.
func (p *pool) next(ctx context.Context) (*tableLoad, *rangeLoad, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case len(p.ranges) > 0:
			r := p.ranges[0]
			p.ranges = p.ranges[1:]
			p.busy++
			return nil, r, nil
		case len(p.tables) > 0:
			t := p.tables[0]
			p.tables = p.tables[1:]
			p.busy++
			return t, nil, nil
		case p.busy == 0:
			return nil, nil, nil
		}
		p.idle++
		err := p.changed.Wait(ctx, &p.mu)
		p.idle--
		if err != nil {
			return nil, nil, err
		}
	}
}

// rest says that a reader is done with what next gave it.
func (p *pool) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy--
	p.changed.Broadcast()
}

// add gives ranges to whoever is free.
func (p *pool) add(ranges ...*rangeLoad) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ranges = append(p.ranges, ranges...)
	p.changed.Broadcast()
}

// postpone keeps a table that no key divides for later.
func (p *pool) postpone(t *tableLoad) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.undivided = append(p.undivided, t)
}

// hungry says whether a reader waits for whom there is nothing.
func (p *pool) hungry() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.idle > len(p.ranges)
}
