package s3sink

import (
	"context"
	"errors"
	"fmt"
)

// Object is one object to be stored. All objects are application/octet-stream, as Firehose's are.
type Object struct {
	Key             string
	Meta            Meta
	Body            []byte
	ContentEncoding string // "" for none
	Failed          bool   // it holds error documents in place of records
}

// contentType is what Firehose gives objects of every format.
const contentType = "application/octet-stream"

// Destination is where objects are stored. Its methods may be called from several goroutines. Each makes one attempt;
// the Committer tries again. sinktest.Run is the suite that every implementation passes.
type Destination interface {
	// Put creates the object. It returns nil only if the object is stored for good, under its own content, by this
	// call, and ErrExists if there is one under the key, whose content it leaves alone. After any other error the
	// object may exist or not.
	Put(ctx context.Context, o *Object) error

	// Head reads what a stored object says about itself: ErrNotFound if there is none.
	Head(ctx context.Context, key string) (Meta, error)

	// Probe tries out whether the destination can be written to and refuses to overwrite; key is free to use.
	// ErrOverwrites says that it does not.
	Probe(ctx context.Context, key string) error

	// String is the destination as the configuration spells it.
	String() string
}

// The outcomes that a caller of a Destination tells apart.
var (
	ErrExists     = errors.New("object exists")
	ErrNotFound   = errors.New("object does not exist")
	ErrOverwrites = errors.New("destination overwrites objects in spite of If-None-Match")
)

// Error is a failure of a destination, with what the operator can do about it.
type Error struct {
	Step string // what was tried
	Key  string
	Hint string // the cure, if one is known
	Err  error
}

// Error names step, key, cause and cure.
func (e *Error) Error() string {
	s := fmt.Sprintf("%s %s: %v", e.Step, e.Key, e.Err)
	if e.Hint != "" {
		s += ": " + e.Hint
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }
