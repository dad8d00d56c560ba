package lease

import (
	"context"
	"errors"
	"slices"
)

// What a lease's checkpoint says where it is no sequence number.
const (
	TrimHorizon = "TRIM_HORIZON" // nothing was read
	ShardEnd    = "SHARD_END"    // read to the end
)

// Lease is the right to work on one shard, as the table has it.
type Lease struct {
	Shard           string
	Owner           string // "": nobody
	Counter         int64  // one more with every change, by whomever
	Checkpoint      string
	Switches        int64 // of owners since the checkpoint last changed
	Parents         []string
	Children        []string // at the end
	StartHash       string   // of the shard's range, as Kinesis writes them
	EndHash         string
	CheckpointOwner string // the former owner, while it hands the shard over: only then has it a say, and Owner has none
}

// Ended says that the shard was read to its end.
func (l *Lease) Ended() bool { return l.Checkpoint == ShardEnd }

// holder is who may work on the shard.
func (l *Lease) holder() string {
	if l.CheckpointOwner != "" {
		return l.CheckpointOwner
	}
	return l.Owner
}

// same reports whether two states of a lease in the table are one.
func (l *Lease) same(o *Lease) bool {
	return l.Counter == o.Counter && l.Owner == o.Owner && l.CheckpointOwner == o.CheckpointOwner
}

// changed is the lease with its counter one higher, on the way to be stored.
func (l *Lease) changed() Lease {
	next := *l
	next.Counter++
	return next
}

// Shard is a shard as the stream lists it.
type Shard struct {
	ID        string
	Parents   []string
	StartHash string
	EndHash   string
}

// ErrChanged is returned by a Table when the stored lease is not the one that the caller knows.
var ErrChanged = errors.New("lease was changed by somebody else")

// Table keeps the leases of one stream. Its methods are called by one goroutine of a Coordinator, Replace and Create by
// several at a time. After an error other than ErrChanged it is open whether something was stored, and it may still be.
type Table interface {
	// Scan gives all leases of the stream.
	Scan(ctx context.Context) ([]Lease, error)
	// Read gives the leases of the shards that have one, as they are now.
	Read(ctx context.Context, shards []string) ([]Lease, error)
	// Create stores a lease unless the shard has one: that is ErrChanged.
	Create(ctx context.Context, l Lease) error
	// Replace stores now if the stored lease has the counter and the owners of old.
	Replace(ctx context.Context, old, now Lease) error
	// Delete removes a lease if the stored one has the counter and the owners of old.
	Delete(ctx context.Context, old Lease) error
}

// graph is what the stream listed last.
type graph struct {
	shards []Shard
	listed map[string]bool
}

func newGraph(shards []Shard) *graph {
	g := &graph{shards: slices.Clone(shards), listed: make(map[string]bool, len(shards))}
	for _, s := range shards {
		g.listed[s.ID] = true
	}
	return g
}

func (g *graph) ids() []string {
	ids := make([]string, len(g.shards))
	for i, s := range g.shards {
		ids[i] = s.ID
	}
	return ids
}

func (g *graph) children(id string) (ids []string) {
	for _, s := range g.shards {
		if slices.Contains(s.Parents, id) {
			ids = append(ids, s.ID)
		}
	}
	return ids
}
