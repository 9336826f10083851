package wal

import (
	"errors"
	"fmt"
)

// ErrClosed is returned by every method of a Log after Close.
var ErrClosed = errors.New("wal: log is closed")

// ErrTooLarge is returned by Append for a payload of more than MaxFrame bytes. Nothing was
// appended: split the payload.
var ErrTooLarge = fmt.Errorf("wal: frame is larger than %d bytes", MaxFrame)

// CorruptionError says that bytes which once were on stable storage are not what was written.
// Open refuses the log: frames behind the damage exist, and to cut the log here would lose frames
// that were acknowledged. Bring the file back from a copy, or give the store up and rebuild it
// from the input topic.
type CorruptionError struct {
	Path   string // the segment file
	Offset int64  // where in the file the first damaged header or frame starts, in bytes
	Reason string // what is wrong there, and what proves that it was durable
}

func (e *CorruptionError) Error() string {
	return fmt.Sprintf("wal: corruption in %s at offset %d: %s; restore the file from a copy, or remove the store and let it be rebuilt",
		e.Path, e.Offset, e.Reason)
}

// VersionError says that a sound segment was written in a format this build does not read.
type VersionError struct {
	Path    string
	Version uint32
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("wal: %s has format version %d, this build reads version %d; use the build that wrote it",
		e.Path, e.Version, formatVersion)
}

// PoisonedError is what a Log answers for ever after its first failed write or sync.
//
// The operating system may drop the dirty pages of a failed fsync and report success the next
// time (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020), so a
// retry proves nothing. What was acknowledged before is durable; of what was not, any prefix may
// be. Close the log, see to the disk, open it again.
type PoisonedError struct {
	Op   string // "write", "sync", "create segment", ...
	Path string
	Err  error // the cause
}

func (e *PoisonedError) Error() string {
	return fmt.Sprintf("wal: poisoned: %s %s: %v; nothing more is acknowledged until the log is opened again", e.Op, e.Path, e.Err)
}

// Unwrap gives the cause.
func (e *PoisonedError) Unwrap() error { return e.Err }

// FrameError says that a payload is not what an Encoder makes. Its checksum held, so another
// writer, or another version of this one, made it.
type FrameError struct {
	Offset int // in the payload, in bytes
	Reason string
}

func (e *FrameError) Error() string {
	return fmt.Sprintf("wal: malformed frame payload at byte %d: %s", e.Offset, e.Reason)
}
