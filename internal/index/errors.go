package index

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed is returned by every call after Close, and by calls that were
	// waiting when Close began.
	ErrClosed = errors.New("index: closed")

	// ErrReadOnly is returned by calls that write to an index opened with
	// Options.ReadOnly.
	ErrReadOnly = errors.New("index: opened read-only")
)

// FailedError says that the index has failed for good: a write or sync of its
// manifest failed, or stored bytes proved corrupt. Nothing was acknowledged
// that is not durable, but the outcome of calls in flight is unknown: each took
// place as a whole or not at all. Close the index, remedy the cause (space,
// disk, backup) and open it again.
type FailedError struct {
	Dir   string // directory of the index
	Cause error  // the first failure
}

func (e *FailedError) Error() string {
	return fmt.Sprintf("index %q has failed and must be reopened: %v", e.Dir, e.Cause)
}

func (e *FailedError) Unwrap() error { return e.Cause }

// CorruptionError says that stored bytes are not what was written: a block's
// checksum does not match, or a key or value that passed its checksum does not
// decode. Restore the data directory from a copy, or remove it and let the
// state be learned from the topic again.
type CorruptionError struct {
	Dir    string // directory of the index
	Reason string // what does not hold
	Cause  error  // the store's own error; nil when the decoder found it
}

func (e *CorruptionError) Error() string {
	if e.Cause == nil {
		return fmt.Sprintf("index %q is corrupt: %s", e.Dir, e.Reason)
	}
	return fmt.Sprintf("index %q is corrupt: %s: %v", e.Dir, e.Reason, e.Cause)
}

func (e *CorruptionError) Unwrap() error { return e.Cause }

// InputError says that the arguments of Ingest are not in the form it needs
// (order, uniqueness, a reserved partition). It is a bug of the caller; nothing
// was written.
type InputError struct {
	What   string // which run or meta
	Reason string
}

func (e *InputError) Error() string { return "index: bad input: " + e.What + ": " + e.Reason }
