package pipeline

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
	"github.com/binlogstreamer/binlogstreamer/internal/s3sink"
)

// memStore is a checkpoint store in memory.
type memStore struct {
	mu    sync.Mutex
	docs  map[string][]byte
	revs  map[string]int
	locks bool // Lock refuses a second holder
	held  map[string]*memLock
}

func newMemStore() *memStore {
	return &memStore{docs: map[string][]byte{}, revs: map[string]int{}, held: map[string]*memLock{}}
}

func revision(n int) checkpoint.Revision {
	if n == 0 {
		return checkpoint.None
	}
	return checkpoint.Revision(fmt.Sprint(n))
}

func (s *memStore) Load(_ context.Context, name string) ([]byte, checkpoint.Revision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.revs[name] == 0 {
		return nil, checkpoint.None, checkpoint.ErrNotFound
	}
	return slices.Clone(s.docs[name]), revision(s.revs[name]), nil
}

func (s *memStore) Save(_ context.Context, name string, doc []byte, rev checkpoint.Revision) (checkpoint.Revision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision(s.revs[name]) != rev {
		if bytes.Equal(s.docs[name], doc) {
			return revision(s.revs[name]), nil
		}
		return checkpoint.None, checkpoint.ErrConflict
	}
	s.docs[name] = slices.Clone(doc)
	s.revs[name]++
	return revision(s.revs[name]), nil
}

func (s *memStore) List(_ context.Context, prefix string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.docs {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

func (s *memStore) Lock(_ context.Context, name string) (checkpoint.Lock, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.locks && s.held[name] != nil {
		return nil, &checkpoint.LockedError{Name: name}
	}
	l := &memLock{s, name, make(chan struct{})}
	s.held[name] = l
	return l, nil
}

// rob takes a lock away from its holder.
func (s *memStore) rob(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.held[name]; l != nil {
		delete(s.held, name)
		close(l.lost)
	}
}

type memLock struct {
	store *memStore
	name  string
	lost  chan struct{}
}

// Lost is the kernel's "never" where nobody is kept out.
func (l *memLock) Lost() <-chan struct{} {
	if !l.store.locks {
		return nil
	}
	return l.lost
}

func (l *memLock) Release() error {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	if l.store.held[l.name] == l {
		delete(l.store.held, l.name)
	}
	return nil
}

// forget removes documents, as an operator's mistake would.
func (s *memStore) forget(prefix string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.docs {
		if strings.HasPrefix(name, prefix) {
			delete(s.docs, name)
			delete(s.revs, name)
		}
	}
}

// memBucket is a destination in memory.
type memBucket struct {
	mu      sync.Mutex
	objects map[string]*s3sink.Object
	order   []string
}

func newMemBucket() *memBucket { return &memBucket{objects: map[string]*s3sink.Object{}} }

func (b *memBucket) Put(_ context.Context, o *s3sink.Object) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.objects[o.Key]; ok {
		return s3sink.ErrExists
	}
	kept := *o
	kept.Body = bytes.Clone(o.Body)
	b.objects[o.Key] = &kept
	b.order = append(b.order, o.Key)
	return nil
}

func (b *memBucket) Head(_ context.Context, key string) (s3sink.Meta, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o, ok := b.objects[key]; ok {
		return o.Meta, nil
	}
	return s3sink.Meta{}, s3sink.ErrNotFound
}

func (b *memBucket) Probe(context.Context, string) error { return nil }
func (b *memBucket) String() string                      { return "memory" }

func (b *memBucket) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.order)
}

// lines gives what is stored of each shard, in the order of the objects' first records.
func (b *memBucket) lines(t testing.TB) map[string][]string {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var objects []*s3sink.Object
	for _, o := range b.objects {
		objects = append(objects, o)
	}
	slices.SortFunc(objects, func(x, y *s3sink.Object) int { return s3sink.CompareSequence(x.Meta.First, y.Meta.First) })
	lines := map[string][]string{}
	for _, o := range objects {
		r, err := b.reader(o)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(plain)) {
			lines[o.Meta.Shard] = append(lines[o.Meta.Shard], strings.TrimSuffix(line, "\n"))
		}
	}
	return lines
}

// reader reads what an object holds.
func (b *memBucket) reader(o *s3sink.Object) (io.Reader, error) {
	if o.ContentEncoding == "gzip" {
		return gzip.NewReader(bytes.NewReader(o.Body))
	}
	return bytes.NewReader(o.Body), nil
}

// process stands between one Deliver and the world: it can die, hang and wake up, and its calls can fail or lose
// their answers.
type process struct {
	store  checkpoint.Store
	bucket s3sink.Destination
	dead   atomic.Bool // nothing it does has an effect any more

	mu     sync.Mutex    // covers rand
	rand   *rand.Rand    // nil: nothing fails
	faults int           // of a hundred calls
	slow   time.Duration // that a put takes at most
	dies   int           // of a hundred puts of one of several objects, ends with the process's death
}

var errFlaky = errors.New("connection reset")

// fate says what happens to a call: whether it takes effect, and whether it says so.
func (p *process) fate(ctx context.Context) (effect, answer bool) {
	if p.dead.Load() {
		<-ctx.Done()
		return false, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rand == nil || p.rand.IntN(100) >= p.faults {
		return true, true
	}
	return p.rand.IntN(2) == 0, false
}

func attempt[T any](p *process, ctx context.Context, call func() (T, error)) (T, error) {
	var none T
	effect, answer := p.fate(ctx)
	if !effect {
		return none, errFlaky
	}
	v, err := call()
	if !answer {
		return none, errFlaky
	}
	return v, err
}

func (p *process) Load(ctx context.Context, name string) ([]byte, checkpoint.Revision, error) {
	type loaded struct {
		doc []byte
		rev checkpoint.Revision
	}
	l, err := attempt(p, ctx, func() (loaded, error) {
		doc, rev, err := p.store.Load(ctx, name)
		return loaded{doc, rev}, err
	})
	return l.doc, l.rev, err
}

func (p *process) Save(ctx context.Context, name string, doc []byte, rev checkpoint.Revision) (checkpoint.Revision, error) {
	return attempt(p, ctx, func() (checkpoint.Revision, error) { return p.store.Save(ctx, name, doc, rev) })
}

func (p *process) List(ctx context.Context, prefix string) ([]string, error) {
	return p.store.List(ctx, prefix)
}

func (p *process) Lock(ctx context.Context, name string) (checkpoint.Lock, error) {
	return p.store.Lock(ctx, name)
}

func (p *process) Put(ctx context.Context, o *s3sink.Object) error {
	p.dawdle(ctx, o)
	_, err := attempt(p, ctx, func() (struct{}, error) { return struct{}{}, p.bucket.Put(ctx, o) })
	return err
}

// dawdle takes some time before a put, which some processes do not live to see the end of.
func (p *process) dawdle(ctx context.Context, o *s3sink.Object) {
	p.mu.Lock()
	var wait time.Duration
	if p.rand != nil && p.slow > 0 {
		wait = time.Duration(p.rand.Int64N(int64(p.slow)))
		if o.Meta.Parts > 0 && p.rand.IntN(100) < p.dies {
			p.dead.Store(true)
		}
	}
	p.mu.Unlock()
	if wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

func (p *process) Head(ctx context.Context, key string) (s3sink.Meta, error) {
	return attempt(p, ctx, func() (s3sink.Meta, error) { return p.bucket.Head(ctx, key) })
}

func (p *process) Probe(ctx context.Context, key string) error { return p.bucket.Probe(ctx, key) }
func (p *process) String() string                              { return p.bucket.String() }
