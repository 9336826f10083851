package wal

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	defaultSegmentBytes = 64 << 20
	minSegmentBytes     = 256
	maxSegmentBytes     = 1 << 30
)

// Options configures a Log. The zero value is good.
type Options struct {
	// FS is the file system; nil is the operating system's.
	FS vfs.FS

	// SegmentBytes is the size of a segment file, 256 bytes to 1 GiB; 0 is 64 MiB.
	//
	// Why not smaller: each segment costs two syncs to begin. Why not larger: a segment is freed
	// as a whole, and after a crash the unused rest of the last one is read through.
	SegmentBytes int64

	// Logger gets what an operator should know (a cut tail, a segment that could not be made
	// ahead); nil is silent.
	Logger *slog.Logger

	// OnSync is called after each fdatasync of a group of frames, with the time that took and the
	// number of frames it made durable. It is called on the goroutine of one of the callers of
	// Sync, Append or Close, one call at a time, and must not call the Log. May be nil.
	OnSync func(d time.Duration, frames int)
}

func (o Options) withDefaults() (Options, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = defaultSegmentBytes
	}
	if o.SegmentBytes < minSegmentBytes || o.SegmentBytes > maxSegmentBytes {
		return o, fmt.Errorf("wal: SegmentBytes is %d, want %d to %d", o.SegmentBytes, minSegmentBytes, maxSegmentBytes)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}
