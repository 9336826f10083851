package engine

import (
	"errors"
	"fmt"
)

// Errors that callers test with errors.Is.
var (
	// ErrClosed is returned by every call on a closed engine or handle.
	ErrClosed = errors.New("engine: closed")
	// ErrClaimed is returned by [Engine.Partition] while another handle of the partition is open: it has one writer.
	ErrClaimed = errors.New("engine: the partition is claimed by another handle; close that one first")
	// ErrLocked is returned by [Open] and [Inspect] while another process (or another engine in this one) owns the directory.
	ErrLocked = errors.New("engine: the data directory is in use by another process; stop it, or give this one a directory of its own")
	// ErrFull is returned by [Partition.Check] with OnFull=Fail when the current bucket alone is over MaxKeys or MaxBytes.
	ErrFull = errors.New("engine: the store is full and the current bucket alone is over the limit; raise MaxKeys or MaxBytes, shorten the window, or choose OnFull=Shrink")
	// ErrTicket is returned by [Partition.CommitWait] for a ticket of another partition.
	ErrTicket = errors.New("engine: the ticket was not made by this partition")
	// ErrNoStore is returned by [Inspect] where no store was ever made.
	ErrNoStore = errors.New("engine: no noecho store in this directory")
)

// IncompatibleError says in what a store differs from the options it was opened with, and what to do.
type IncompatibleError struct {
	Dir   string
	Field string // "format", "hash", "seed", "window", "buckets", "key"
	Store string // what the store was made with
	Given string // what the options say
	Hint  string
}

func (e *IncompatibleError) Error() string {
	return fmt.Sprintf("engine: the store in %s was made with %s %s, but %s was given; %s", e.Dir, e.Field, e.Store, e.Given, e.Hint)
}

// HeaderError says that the store's header file cannot be read as one.
type HeaderError struct {
	Path   string
	Reason string
}

func (e *HeaderError) Error() string {
	return fmt.Sprintf("engine: the header %s is damaged (%s); restore it from a backup, or remove the directory to start with an empty window", e.Path, e.Reason)
}

// OptionsError holds every violation found in the options, one sentence each.
type OptionsError struct{ Problems []string }

func (e *OptionsError) Error() string {
	s := "engine: options: "
	for i, p := range e.Problems {
		if i > 0 {
			s += "; "
		}
		s += p
	}
	return s
}

// OrderError says that the offsets of a batch do not ascend. Nothing of the batch was taken in.
type OrderError struct {
	Topic     string
	Partition int32
	Index     int // of the first record that is out of order
	Offset    int64
	Previous  int64 // the offset before it; -1 when Index is 0 and the offset is negative
}

func (e *OrderError) Error() string {
	return fmt.Sprintf("engine: %s/%d: record %d has offset %d after %d; the offsets of a batch must be >= 0 and ascend",
		e.Topic, e.Partition, e.Index, e.Offset, e.Previous)
}

// PoisonedError says that a write or sync of the store failed and that nothing can be acknowledged any more. The cause
// is wrapped. The process should stop; after the cause is mended (disk full, I/O error) a new Open finds a sound state.
type PoisonedError struct{ Err error }

func (e *PoisonedError) Error() string {
	return "engine: the store failed and acknowledges nothing any more; mend the cause and restart: " + e.Err.Error()
}

func (e *PoisonedError) Unwrap() error { return e.Err }

// StateError says that the index and the log contradict each other: a frame is missing, or a record cannot be decoded.
type StateError struct {
	Where  string
	Reason string
}

func (e *StateError) Error() string {
	return fmt.Sprintf("engine: %s: %s; the store is damaged: restore it from a backup, or remove the directory to start with an empty window", e.Where, e.Reason)
}
