package checkpoint

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// Replace is one call of a backend's replace, as a test may repeat it or leave it out.
type Replace func() (tag string, err error)

// Meddle puts something between a store and its service: around is called for every attempt to store a document or lock.
func Meddle(s Store, around func(ctx context.Context, do Replace) (tag string, err error)) {
	r := remoteOf(s)
	r.backend = &meddled{r.backend, around}
}

type meddled struct {
	backend

	around func(context.Context, Replace) (string, error)
}

func (m *meddled) replace(ctx context.Context, p place, b []byte, rev Revision, tag string) (string, error) {
	return m.around(ctx, func() (string, error) { return m.backend.replace(ctx, p, b, rev, tag) })
}

func remoteOf(s Store) *remote {
	switch s := s.(type) {
	case *DynamoDB:
		return &s.remote
	case *S3:
		return &s.remote
	case *MemoryRemote:
		return &s.remote
	}
	panic(fmt.Sprintf("%T is no remote store", s))
}

// SmallItems makes items of a DynamoDB store hold n bytes of a document.
func SmallItems(s *DynamoDB, n int) { s.backend.(*dynamoBackend).maxBytes = n }

// MemoryRemote is a remote store on a service in memory.
type MemoryRemote struct{ remote }

// MemoryService keeps what MemoryRemotes store.
type MemoryService struct {
	mu    sync.Mutex // covers what follows
	count int
	items map[place]memoryItem
}

type memoryItem struct {
	b   []byte
	tag string
}

// NewMemoryRemote makes a store on a service.
func NewMemoryRemote(m *MemoryService, failover time.Duration) *MemoryRemote {
	return &MemoryRemote{newRemote(m, failover)}
}

func (m *MemoryService) read(ctx context.Context, p place) ([]byte, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	item, found := m.items[p]
	if !found {
		return nil, "", ErrNotFound
	}
	return item.b, item.tag, ctx.Err()
}

func (m *MemoryService) replace(ctx context.Context, p place, b []byte, _ Revision, tag string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if m.items[p].tag != tag {
		return "", errChanged
	}
	if m.items == nil {
		m.items = make(map[place]memoryItem)
	}
	m.count++
	m.items[p] = memoryItem{b, strconv.Itoa(m.count)}
	return m.items[p].tag, nil
}

func (m *MemoryService) list(context.Context) (names []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p := range m.items {
		if p.kind == isDocument {
			names = append(names, p.name)
		}
	}
	return names, nil
}

func (m *MemoryService) remove(_ context.Context, p place) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.items, p)
	return nil
}

func (m *MemoryService) where(p place) string { return "memory " + p.name }
func (m *MemoryService) fits(string) error    { return nil }

// Damage cuts everything that is stored.
func (m *MemoryService) Damage() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p, item := range m.items {
		item.b = item.b[:len(item.b)-1]
		m.items[p] = item
	}
}

// ErrChanged is what a backend says when its condition did not hold.
var ErrChanged = errChanged
