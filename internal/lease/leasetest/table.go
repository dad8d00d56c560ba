// Package leasetest is a table of leases in memory, for tests of whoever shares shards by leases. It keeps the
// conditions as DynamoDB does, and a test may put delays, lost answers, outages and requests that are carried out late
// between a worker and it.
package leasetest

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/binlogstreamer/binlogstreamer/internal/lease"
)

// Table keeps leases in memory.
type Table struct {
	// Around, if not nil, is called for every request with what carries it out. It may do that late, or not at all, and
	// give another answer. It must be set before the table is used.
	Around func(ctx context.Context, call string, do func() error) error

	service *Service
}

// Service holds what Tables show.
type Service struct {
	mu     sync.Mutex // covers leases
	leases map[string]lease.Lease
}

// NewService makes an empty service.
func NewService() *Service { return &Service{leases: map[string]lease.Lease{}} }

// Table gives a worker's way to the service.
func (s *Service) Table() *Table { return &Table{service: s} }

// All gives what is stored.
func (s *Service) All() []lease.Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]lease.Lease, 0, len(s.leases))
	for _, l := range s.leases {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b lease.Lease) int {
		if a.Shard < b.Shard {
			return -1
		}
		return 1
	})
	return all
}

// Put stores a lease as it is.
func (s *Service) Put(l lease.Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leases[l.Shard] = l
}

// Clear removes everything.
func (s *Service) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.leases)
}

func (t *Table) around(ctx context.Context, call string, do func() error) error {
	if t.Around != nil {
		return t.Around(ctx, call, do)
	}
	return do()
}

// Scan implements lease.Table.
func (t *Table) Scan(ctx context.Context) (leases []lease.Lease, err error) {
	err = t.around(ctx, "scan", func() error {
		leases = t.service.All()
		return nil
	})
	return leases, err
}

// Read implements lease.Table.
func (t *Table) Read(ctx context.Context, shards []string) (leases []lease.Lease, err error) {
	var mu sync.Mutex // a request that is carried out late must not disturb
	err = t.around(ctx, "read", func() error {
		mu.Lock()
		defer mu.Unlock()
		leases = nil
		for _, l := range t.service.All() {
			if slices.Contains(shards, l.Shard) {
				leases = append(leases, l)
			}
		}
		return nil
	})
	mu.Lock()
	defer mu.Unlock()
	return slices.Clone(leases), err
}

// Create implements lease.Table.
func (t *Table) Create(ctx context.Context, l lease.Lease) error {
	return t.around(ctx, "create", func() error {
		s := t.service
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, ok := s.leases[l.Shard]; ok {
			return lease.ErrChanged
		}
		s.leases[l.Shard] = l
		return nil
	})
}

// Replace implements lease.Table.
func (t *Table) Replace(ctx context.Context, old, now lease.Lease) error {
	return t.around(ctx, "replace", func() error { return t.service.change(old, func(s *Service) { s.leases[now.Shard] = now }) })
}

// Delete implements lease.Table.
func (t *Table) Delete(ctx context.Context, old lease.Lease) error {
	return t.around(ctx, "delete", func() error { return t.service.change(old, func(s *Service) { delete(s.leases, old.Shard) }) })
}

func (s *Service) change(old lease.Lease, do func(*Service)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	stored, ok := s.leases[old.Shard]
	if !ok || stored.Counter != old.Counter || stored.Owner != old.Owner || stored.CheckpointOwner != old.CheckpointOwner {
		return lease.ErrChanged
	}
	do(s)
	return nil
}

// ErrAway is what a table answers that cannot be reached.
var ErrAway = errors.New("the table is away")
