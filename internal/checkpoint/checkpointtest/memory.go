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
	locks map[string]*checkpoint.LockedError
	fail  error
}

type memoryDoc struct {
	doc []byte
	rev checkpoint.Revision
}

var _ checkpoint.Store = (*Memory)(nil)

// NewMemory makes an empty Memory.
func NewMemory() *Memory {
	return &Memory{docs: make(map[string]memoryDoc), locks: make(map[string]*checkpoint.LockedError)}
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
func (m *Memory) Lock(ctx context.Context, name string) (func() error, error) {
	if err := check(ctx, name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if held := m.locks[name]; held != nil {
		return nil, held
	}
	host, _ := os.Hostname()
	held := &checkpoint.LockedError{Name: name, Host: host, PID: os.Getpid(), Since: time.Now()}
	m.locks[name] = held
	return func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.locks[name] == held {
			delete(m.locks, name)
		}
		return nil
	}, nil
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
