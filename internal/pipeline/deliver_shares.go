package pipeline

import (
	"context"
	"slices"

	"github.com/binlogstreamer/binlogstreamer/internal/kinesisin"
	"github.com/binlogstreamer/binlogstreamer/internal/lease"
)

// shares says which shards this process works on. But for run, its methods are called by the supervisor's goroutine.
type shares interface {
	// run keeps the shares until ctx ends, which is after all of them were given back.
	run(ctx context.Context) error
	// listed tells which shards the stream has.
	listed(shards []kinesisin.Shard)
	// changes has something when held or ended may give another answer than before.
	changes() <-chan struct{}
	// held gives the shards to work on now. Each must be Released or Ended.
	held() map[string]share
	// decline says that a shard is not wanted again.
	decline(shard string)
	// retire says that no more shards are wanted.
	retire()
	// elsewhere reports whether another live process has the shard, as far as is known.
	elsewhere(shard string) bool
	// finished reports whether a shard is said to be stored to its end, which its document must have said before.
	finished(shard string) bool
	// shared says that other processes may work on other shards, and that one that saves too late has lost its shard.
	shared() bool
}

// share is the right to work on a shard. Its methods may be called from any goroutine.
type share interface {
	Wanted() <-chan struct{} // closed when another process is to have it: store what is held, and Release
	Lost() <-chan struct{}   // closed when it is another process's, or may be soon: stop at once, and Release
	Progress(sequence string)
	Release()
	End() // Release, since the shard is stored to its end
}

// allShares gives this process every shard whose parents are done. It is for one that has the lock.
type allShares struct {
	shards   []kinesisin.Shard
	done     map[string]bool // stored to the end
	declined map[string]bool
	changed  chan struct{}
}

func newAllShares() *allShares {
	return &allShares{done: map[string]bool{}, declined: map[string]bool{}, changed: make(chan struct{}, 1)}
}

func (a *allShares) run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (a *allShares) listed(shards []kinesisin.Shard) { a.shards = shards }
func (a *allShares) changes() <-chan struct{}        { return a.changed }
func (a *allShares) decline(shard string)            { a.declined[shard] = true }
func (a *allShares) elsewhere(string) bool           { return false }
func (a *allShares) finished(shard string) bool      { return a.done[shard] }
func (a *allShares) retire()                         {}
func (a *allShares) shared() bool                    { return false }

func (a *allShares) held() map[string]share {
	held := map[string]share{}
	for _, sh := range kinesisin.Ready(a.shards, func(id string) bool { return a.done[id] }) {
		if !a.declined[sh.ID] {
			held[sh.ID] = whole{a, sh.ID}
		}
	}
	return held
}

// whole is a share that nobody else wants.
type whole struct {
	all   *allShares
	shard string
}

func (w whole) Wanted() <-chan struct{} { return nil }
func (w whole) Lost() <-chan struct{}   { return nil }
func (w whole) Progress(string)         {}
func (w whole) Release()                {}

// End is called by the supervisor's goroutine, as all of whole's methods are that do something.
func (w whole) End() {
	w.all.done[w.shard] = true
	select {
	case w.all.changed <- struct{}{}:
	default:
	}
}

// leasedShares gives this process the shards that it has leases of.
type leasedShares struct{ *lease.Coordinator }

func (l leasedShares) run(ctx context.Context) error { return l.Run(ctx) }
func (l leasedShares) changes() <-chan struct{}      { return l.Changes() }
func (l leasedShares) decline(shard string)          { l.Decline(shard) }
func (l leasedShares) elsewhere(shard string) bool   { return l.Owner(shard) != "" }
func (l leasedShares) finished(shard string) bool    { return l.Ended(shard) }
func (l leasedShares) retire()                       { l.Retire() }
func (l leasedShares) shared() bool                  { return true }

func (l leasedShares) listed(shards []kinesisin.Shard) {
	list := make([]lease.Shard, len(shards))
	for i, s := range shards {
		list[i] = lease.Shard{ID: s.ID, Parents: s.Parents, StartHash: s.StartHash, EndHash: s.EndHash}
	}
	l.Sync(list)
}

func (l leasedShares) held() map[string]share {
	held := map[string]share{}
	for id, g := range l.Held() {
		held[id] = g
	}
	return held
}

// parentsOf are the parents of a shard, as far as they are listed.
func parentsOf(sh kinesisin.Shard, shards []kinesisin.Shard) (parents []string) {
	for _, p := range sh.Parents {
		if slices.ContainsFunc(shards, func(l kinesisin.Shard) bool { return l.ID == p }) {
			parents = append(parents, p)
		}
	}
	return parents
}
