package checkpointtest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/binlogstreamer/binlogstreamer/internal/checkpoint"
)

// Memory is a Store in memory.
type Memory struct {
	mu    sync.Mutex // covers everything below
	count int
	docs  map[string]memoryDoc
	locks map[string]*memoryLock
	fail  error
}

type memoryDoc struct {
	doc []byte
	rev checkpoint.Revision
}

var _ checkpoint.Store = (*Memory)(nil)

// NewMemory makes an empty Memory.
func NewMemory() *Memory {
	return &Memory{docs: make(map[string]memoryDoc), locks: make(map[string]*memoryLock)}
}

// FailSaves makes every Save return err until it is called with nil.
func (m *Memory) FailSaves(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

// Load implements checkpoint.Store.
func (m *Memory) Load(ctx context.Context, name string) ([]byte, checkpoint.Revision, error) {
	if err := check(ctx, name); err != nil {
		return nil, checkpoint.None, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	d, found := m.docs[name]
	if !found {
		return nil, checkpoint.None, fmt.Errorf("load checkpoint %q: %w", name, checkpoint.ErrNotFound)
	}
	return bytes.Clone(d.doc), d.rev, nil
}

// Save implements checkpoint.Store.
func (m *Memory) Save(ctx context.Context, name string, doc []byte, rev checkpoint.Revision) (checkpoint.Revision, error) {
	if err := check(ctx, name); err != nil {
		return checkpoint.None, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return checkpoint.None, m.fail
	}
	if m.docs[name].rev != rev {
		return checkpoint.None, fmt.Errorf("save checkpoint %q: %w", name, checkpoint.ErrConflict)
	}
	m.count++
	next := checkpoint.Revision(fmt.Sprint(m.count))
	m.docs[name] = memoryDoc{bytes.Clone(doc), next}
	return next, nil
}

// List implements checkpoint.Store.
func (m *Memory) List(_ context.Context, prefix string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for name := range m.docs {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Lock implements checkpoint.Store.
func (m *Memory) Lock(ctx context.Context, name string) (checkpoint.Lock, error) {
	if err := check(ctx, name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if held := m.locks[name]; held != nil {
		return nil, held.by
	}
	host, _ := os.Hostname()
	l := &memoryLock{m, &checkpoint.LockedError{Name: name, Host: host, PID: os.Getpid(), Since: time.Now()}, make(chan struct{})}
	m.locks[name] = l
	return l, nil
}

// Rob takes a lock away from its holder, as another process would that believes it dead.
func (m *Memory) Rob(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if held := m.locks[name]; held != nil {
		delete(m.locks, name)
		close(held.lost)
	}
}

// memoryLock is a lock of Memory.
type memoryLock struct {
	m    *Memory
	by   *checkpoint.LockedError // what others are told
	lost chan struct{}
}

func (l *memoryLock) Lost() <-chan struct{} { return l.lost }

func (l *memoryLock) Release() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.m.locks[l.by.Name] == l {
		delete(l.m.locks, l.by.Name)
	}
	return nil
}

func check(ctx context.Context, name string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !utf8.ValidString(name) || slices.Contains(strings.Split(name, "/"), "") {
		return fmt.Errorf("%w %q: it is not UTF-8 or has an empty part", checkpoint.ErrName, name)
	}
	return nil
}
