package kinesisout

import (
	"errors"
	"fmt"
)

// ErrStopped is returned by Put, Flush and EachShard once Run has returned without an error of its own.
var ErrStopped = errors.New("stream writer has stopped")

// Error is a failure that trying again does not cure.
type Error struct {
	Step   string // what was tried: "put records", "list shards", "describe stream"
	Stream string
	Code   string // Kinesis's name of the fault, or ""
	Hint   string // what to do about it
	Err    error
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s, stream %s: %v", e.Step, e.Stream, e.Err)
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// OversizedError is returned by Put for a record that the stream does not take. Nothing of it was queued.
type OversizedError struct {
	Size  int // data and partition key
	Limit int
}

func (e *OversizedError) Error() string {
	return fmt.Sprintf("record of %d bytes is larger than the %d bytes that the stream allows", e.Size, e.Limit)
}

// KeyError is returned by Put for a partition key or explicit hash key that Kinesis does not take. Nothing was queued.
type KeyError struct {
	Reason string
}

func (e *KeyError) Error() string { return "bad partition key: " + e.Reason }
