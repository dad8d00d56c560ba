// Package checkpoint keeps what must survive a restart. A Store holds small documents and changes each of them only on
// condition that nobody else changed it in between; FileStore is the one on a local disk. A Tracker turns
// acknowledgements that come in any order into the highest place up to which everything is done, which is what a
// document may say, and holds the work back when it runs too far ahead of the last saved document.
//
// Promise: a document is either the old one or the new one, whole, whatever is killed, cut off or full; one that
// cannot be read is an error that names it, never a silent start from nothing.
package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Revision names one stored state of a document. It is opaque, and new with every Save.
type Revision string

// None is the revision of a document that does not exist.
const None Revision = ""

var (
	// ErrNotFound is returned by Load when no document has the name.
	ErrNotFound = errors.New("no such checkpoint")
	// ErrConflict is returned by Save when the stored revision is another one: somebody else saved in between.
	ErrConflict = errors.New("checkpoint was changed by somebody else")
	// ErrCorrupt is returned by Load and Save when a stored document cannot be trusted.
	ErrCorrupt = errors.New("checkpoint is damaged")
	// ErrName is returned for a name that no document can have.
	ErrName = errors.New("bad checkpoint name")
)

// Store keeps documents by name. A name is made of parts joined by "/"; a part is any UTF-8 text but the empty one. All
// methods may be called from any goroutine, and by several processes on the same storage.
type Store interface {
	// Load gives a document and its revision. ErrNotFound and ErrCorrupt are the errors to tell apart.
	Load(ctx context.Context, name string) (doc []byte, rev Revision, err error)

	// Save replaces the document if its stored revision is rev (None: if there is none), and returns the new revision
	// once doc is durable. On ErrConflict nothing was stored. After any other error the document is the old or the
	// new one; calling Save again with the same arguments is safe in both cases and finds its own earlier success.
	Save(ctx context.Context, name string, doc []byte, rev Revision) (Revision, error)

	// List gives the names that begin with prefix, sorted.
	List(ctx context.Context, prefix string) ([]string, error)

	// Lock makes the caller the only holder of a name until it releases the lock or its process is gone, however it
	// went. It does not wait for a holder that lives: a held name is a *LockedError. In a store that several hosts share
	// it may take the failover time to find out whether the holder lives. Locks and documents of one name do not touch
	// each other.
	Lock(ctx context.Context, name string) (Lock, error)
}

// Lock is a name that is held. It keeps two processes from doing the same work, and no more: nothing that must not go
// wrong may depend on it, since a process can be stopped between looking at it and acting. Conditional saves are for that.
type Lock interface {
	// Lost is closed when the lock is not held any more although it was not released: another process has it, or may
	// have it by now. It is nil, and so never ready, for a lock that cannot be lost.
	Lost() <-chan struct{}

	// Release gives the name back, so that the next one need not wait. It may be called more than once, and after the
	// lock was lost; it waits for whatever kept the lock to end.
	Release() error
}

// LockedError is returned by Lock when another holder lives.
type LockedError struct {
	Name  string
	Host  string // "" where the holder could not be read
	PID   int
	Since time.Time
}

func (e *LockedError) Error() string {
	if e.Host == "" {
		return fmt.Sprintf("checkpoint %q is locked by another process; stop that one first", e.Name)
	}
	return fmt.Sprintf("checkpoint %q is locked by process %d on host %s since %s; stop that one first, or give this one a checkpoint store of its own",
		e.Name, e.PID, e.Host, e.Since.UTC().Format(time.RFC3339))
}

// RestartHelps tells the command that the holder may be gone the next time.
func (e *LockedError) RestartHelps() bool { return true }

// CorruptError says which stored document cannot be trusted, why, and what to do. It matches ErrCorrupt.
type CorruptError struct {
	Name   string
	File   string // where it is stored
	Reason string
	Cure   string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("checkpoint %q in %s: %s; %s", e.Name, e.File, e.Reason, e.Cure)
}

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }
