package checkpoint

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/binlogstreamer/binlogstreamer/internal/backoff"
)

// backend is a service that keeps bytes under names and replaces them on condition. A tag names what is stored there
// now, "" nothing; whatever is stored changes it.
type backend interface {
	// read gives what is stored and its tag, or ErrNotFound, or a damage where it is not whole.
	read(ctx context.Context, p place) (stored []byte, tag string, err error)

	// replace stores b, whose revision is rev, if what is stored has the tag, and gives the new tag. errChanged says
	// that it has another one; that may be a success of this very call, made twice by the SDK. Any other error leaves
	// open what is stored.
	replace(ctx context.Context, p place, b []byte, rev Revision, tag string) (newTag string, err error)

	// list gives the names of all documents.
	list(ctx context.Context) ([]string, error)

	// remove deletes what is stored at a place of kind isProbe.
	remove(ctx context.Context, p place) error

	// where is how an operator finds what is stored.
	where(p place) string

	// fits says what is wrong with a name that is UTF-8 in parts.
	fits(name string) error
}

// place is where something is stored.
type place struct {
	kind kind
	name string
}

// kind keeps a name's document and its lock apart.
type kind string

const (
	isDocument kind = "document"
	isLock     kind = "lock"
	isProbe    kind = "probe"
)

// errChanged is returned by a backend whose condition did not hold.
var errChanged = errors.New("it was changed")

// damage is why what is stored is not whole.
type damage string

func (d damage) Error() string { return string(d) }

// remote makes a Store of a backend: revisions, saves whose answer was lost, and locks.
type remote struct {
	backend  backend
	id       string        // of this store; in every revision that it makes
	failover time.Duration // of locks
	attempts atomic.Uint64 // numbers every attempt to store something

	mu    sync.Mutex // covers known
	known map[place]*known
}

// known is what this store knows of one place. Who holds the token of busy may use the rest.
type known struct {
	busy chan struct{}

	rev Revision // the newest that was seen; only a shortcut, since others save, too
	tag string

	// Attempts first to last were made to replace revision from, and it is open whether one of them was stored.
	open        bool
	from        Revision
	first, last uint64
}

func newRemote(b backend, failover time.Duration) remote {
	if failover <= 0 {
		failover = defaultFailover
	}
	return remote{backend: b, id: rand.Text()[:12], failover: failover, known: make(map[place]*known)}
}

// Load implements Store.
func (r *remote) Load(ctx context.Context, name string) ([]byte, Revision, error) {
	p := place{isDocument, name}
	if err := r.usable(ctx, name); err != nil {
		return nil, None, err
	}
	doc, rev, _, err := r.read(ctx, p)
	if err != nil {
		return nil, None, fmt.Errorf("load checkpoint %q: %w", name, err)
	}
	return doc, rev, nil
}

// read gives what is stored at a place, verified.
func (r *remote) read(ctx context.Context, p place) (doc []byte, rev Revision, tag string, err error) {
	stored, tag, err := r.backend.read(ctx, p)
	if err == nil {
		doc, rev, err = decodeDocument(p.name, stored)
		if err == nil {
			return doc, rev, tag, nil
		}
		return nil, None, "", r.corrupt(p, err)
	}
	if d, ok := errors.AsType[damage](err); ok {
		return nil, None, "", r.corrupt(p, d)
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return nil, None, "", err
}

func (r *remote) corrupt(p place, reason error) error {
	c := &CorruptError{
		Name: p.name, File: r.backend.where(p), Reason: reason.Error(),
		Cure: "restore it from a backup, or delete it to start anew, knowing that everything it remembered is then forgotten",
	}
	if _, newer := errors.AsType[newerError](reason); newer {
		c.Cure = newerCure
	}
	return c
}

// Save implements Store.
func (r *remote) Save(ctx context.Context, name string, doc []byte, rev Revision) (Revision, error) {
	if err := r.usable(ctx, name); err != nil {
		return None, err
	}
	next, err := r.save(ctx, place{isDocument, name}, doc, rev)
	if err != nil {
		return None, fmt.Errorf("save checkpoint %q: %w", name, err)
	}
	return next, nil
}

func (r *remote) save(ctx context.Context, p place, doc []byte, rev Revision) (Revision, error) {
	k := r.know(p)
	select {
	case k.busy <- struct{}{}:
		defer func() { <-k.busy }()
	case <-ctx.Done():
		return None, context.Cause(ctx)
	}
	if rev == None || rev != k.rev { // the shortcut does not lead there
		if err := r.look(ctx, p, k); err != nil {
			return None, err
		}
	}
	// A condition fails if the shortcut is old, and while a rival's request is under way.
	for try := range 8 {
		if try > 1 {
			if err := backoff.Sleep(ctx, time.Duration(try)*10*time.Millisecond); err != nil {
				return None, err
			}
		}
		if k.rev != rev && !r.ours(k, rev) {
			return None, fmt.Errorf("%w: revision %q is stored, %q was expected", ErrConflict, k.rev, rev)
		}
		next, err := r.attempt(ctx, p, k, doc, rev)
		if err == nil || !errors.Is(err, errChanged) {
			return next, err
		}
	}
	return None, fmt.Errorf("%s refuses to replace revision %q, which it holds, as if it were another one", r.backend.where(p), k.rev)
}

// attempt stores doc once in the place of what k says is stored. After errChanged k says what is.
func (r *remote) attempt(ctx context.Context, p place, k *known, doc []byte, rev Revision) (Revision, error) {
	number := r.attempts.Add(1)
	next := r.revision(k.rev, number)
	b, err := encodeDocument(p.name, next, time.Now(), doc)
	if err != nil {
		return None, err
	}
	if !k.open || k.from != rev {
		k.open, k.from, k.first = true, rev, number
	}
	k.last = number
	tag, err := r.backend.replace(ctx, p, b, next, k.tag)
	if errors.Is(err, errChanged) {
		if err := r.look(ctx, p, k); err != nil {
			return None, err
		}
		if k.rev != next {
			return None, errChanged
		}
		tag, err = k.tag, nil // the SDK called twice, and the first answer was lost
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return None, err
	}
	k.rev, k.tag, k.open = next, tag, false
	return next, nil
}

// look finds out what is stored at a place.
func (r *remote) look(ctx context.Context, p place, k *known) error {
	_, rev, tag, err := r.read(ctx, p)
	if errors.Is(err, ErrNotFound) {
		rev, tag, err = None, "", nil
	}
	if err == nil {
		k.rev, k.tag = rev, tag
	}
	return err
}

// ours says whether what is stored is an attempt of ours to replace rev that we never heard of again.
func (r *remote) ours(k *known, rev Revision) bool {
	parts := strings.Split(string(k.rev), "-")
	if !k.open || k.from != rev || len(parts) != 3 || parts[1] != r.id {
		return false
	}
	var number uint64
	if _, err := fmt.Sscanf(parts[2], "%d", &number); err != nil {
		return false
	}
	return k.first <= number && number <= k.last
}

// revision counts up, and says which attempt of which store made it.
func (r *remote) revision(rev Revision, attempt uint64) Revision {
	return Revision(fmt.Sprintf("%d-%s-%d", revisionCount(rev)+1, r.id, attempt))
}

func (r *remote) know(p place) *known {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.known[p]
	if k == nil {
		k = &known{busy: make(chan struct{}, 1)}
		r.known[p] = k
	}
	return k
}

// List implements Store.
func (r *remote) List(ctx context.Context, prefix string) ([]string, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	all, err := r.backend.list(ctx)
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	return withPrefix(all, prefix), nil
}

// ErrIgnoresConditions is returned by Probe for a service that replaces what it should not.
var ErrIgnoresConditions = errors.New("the store replaces what was changed in between, in spite of the condition")

// Probe tries out whether the store can be written to and keeps conditions. It leaves nothing behind if it may delete.
func (r *remote) Probe(ctx context.Context) error {
	p := place{isProbe, "probe-" + rand.Text()[:12]} // of our own: others may probe, too
	first, err := r.probeStored(ctx, p, "")
	if err != nil {
		return fmt.Errorf("create %s to try the store out: %w", r.backend.where(p), err)
	}
	defer func() { _ = r.backend.remove(context.WithoutCancel(ctx), p) }()
	if _, err := r.probeStored(ctx, p, first); err != nil {
		return fmt.Errorf("replace %s to try the store out: %w", r.backend.where(p), err)
	}
	for _, old := range []string{"", first} {
		switch _, _, err := r.probe(ctx, p, old); {
		case err == nil:
			return fmt.Errorf("%s: %w; checkpoints of two processes could overwrite each other: use a store with conditional writes", r.backend.where(p), ErrIgnoresConditions)
		case !errors.Is(err, errChanged):
			return fmt.Errorf("replace %s to try the store out: %w", r.backend.where(p), err)
		}
	}
	return nil
}

// probe stores another document at a place and gives its tag, and the document.
func (r *remote) probe(ctx context.Context, p place, tag string) (string, []byte, error) {
	next := r.revision(None, r.attempts.Add(1))
	b, err := encodeDocument(p.name, next, time.Now(), nil)
	if err != nil {
		return "", nil, err
	}
	stored, err := r.backend.replace(ctx, p, b, next, tag)
	return stored, b, err
}

// probeStored is probe where the condition holds. It is refused all the same when the call was made twice since the first
// answer was lost, and while another request is under way.
func (r *remote) probeStored(ctx context.Context, p place, tag string) (string, error) {
	for try := 1; ; try++ {
		stored, b, err := r.probe(ctx, p, tag)
		if !errors.Is(err, errChanged) {
			return stored, err
		}
		found, now, readErr := r.backend.read(ctx, p)
		switch {
		case readErr == nil && bytes.Equal(found, b):
			return now, nil
		case readErr != nil && !errors.Is(readErr, ErrNotFound):
			return "", readErr
		case try == 5:
			return "", err
		}
		if err := backoff.Sleep(ctx, time.Duration(try)*20*time.Millisecond); err != nil {
			return "", err
		}
	}
}

// usable says whether a call with a name can be begun at all.
func (r *remote) usable(ctx context.Context, name string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !utf8.ValidString(name) {
		return fmt.Errorf("%w %q: it is not UTF-8", ErrName, name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" {
			return fmt.Errorf("%w %q: it has an empty part", ErrName, name)
		}
	}
	return r.backend.fits(name)
}
