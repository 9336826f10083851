package wal

import (
	"context"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// groupBytes bounds the frames that wait to be written. Past it Append writes them itself, or
// waits for who does: memory is bounded for a caller who never calls Sync, too.
const groupBytes = 4 << 20

// Log is an append-only log of frames with group commit. All methods are safe for concurrent use,
// OnSync's callback excepted.
//
// Lock order: truncateMu before mu. No I/O is done under mu.
type Log struct {
	// Immutable after Open.
	options Options
	dir     string
	dirFile vfs.File

	// active is the segment that is written. Owned by the leader: the goroutine that set
	// mu.leading, until it clears it. Before that: by Open.
	active activeSegment

	// truncateMu serialises Truncate, so that segments go oldest first.
	truncateMu sync.Mutex

	spares spareMaker // locks for itself

	mu struct {
		sync.Mutex

		// turn is signalled when a leader took the pending group, and when it left.
		turn sync.Cond

		// Invariant: synced <= start of flight <= start of pending <= end.
		synced   Position // every frame that starts below is durable
		end      Position // the next frame starts here
		pending  *group   // appended, and not taken by a leader
		idle     *group   // the other group; nil while a leader writes it
		leading  bool     // a leader owns active
		attended bool     // somebody else syncs for those in Await

		waiters []*waiter // who sleep in Sync, in order of arrival
		free    []*waiter // their memory, for the next ones

		segments []segment // those on disk, oldest first; the last is active
		clean    bool      // what is on disk ends with a trailer
		poison   error     // set once, a *PoisonedError
		closed   bool

		metrics Metrics // the counters; Metrics fills in the rest
	}
}

// segment is a segment file on disk.
type segment struct {
	number uint32
	end    int64 // bytes of header and frames
	size   int64 // of the file; at least end
}

// group is what one write and one fdatasync make durable: frames back to back, as they will stand
// in the file but for their checksums and durable position, which the leader fills in.
//
// Naive: seal the frame in Append. Then CRCs are computed under the lock that all appenders share,
// and `durable` says what was known two syncs ago, which proves less at recovery.
type group struct {
	buf  []byte
	cuts []cut // where segments begin, ascending
}

// cut says that from buf[at:] on the group belongs into the new segment number.
type cut struct {
	at     int
	number uint32
}

// reset empties the group. It keeps the memory, unless one great frame made it out of the way
// large.
func (g *group) reset() {
	if cap(g.buf) > 2*groupBytes {
		g.buf = nil
	}
	g.buf, g.cuts = g.buf[:0], g.cuts[:0]
}

// add appends a frame that is not sealed yet.
func (g *group) add(kind byte, payload []byte) {
	n, size := len(g.buf), int(frameSize(len(payload)))
	g.buf = slices.Grow(g.buf, size)[:n+size]
	putFrame(g.buf[n:], kind, len(payload))
	used := copy(g.buf[n+frameHeaderSize:], payload)
	clear(g.buf[n+frameHeaderSize+used:])
}

// Append copies payload into the group that will be written next and returns the position of its
// frame. The frame is durable when a Sync of that position returned nil. Frames become durable in
// the order of Append, without a hole.
//
// It does no I/O, except when 4 MiB of frames wait already. It does not allocate once the buffers
// have grown. The error is ErrTooLarge, ErrClosed or a *PoisonedError.
func (l *Log) Append(payload []byte) (Position, error) {
	if len(payload) > MaxFrame {
		return 0, ErrTooLarge
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if err := l.usableLocked(); err != nil {
			return 0, err
		}
		if len(l.mu.pending.buf) < groupBytes {
			break
		}
		if l.mu.leading {
			l.mu.turn.Wait()
		} else {
			l.leadLocked()
		}
	}
	pos := l.placeLocked(frameSize(len(payload)))
	l.mu.pending.add(frameData, payload)
	l.mu.end = pos + Position(frameSize(len(payload)))
	return pos, nil
}

// placeLocked decides where the next frame goes: here, or at the start of a new segment when it
// does not fit. Room for a trailer is kept. A frame larger than a segment gets one for itself.
func (l *Log) placeLocked(size int64) Position {
	off := l.mu.end.Offset()
	if off == segmentHeaderSize || off+size+frameHeaderSize <= l.options.SegmentBytes {
		return l.mu.end
	}
	number := l.mu.end.Segment() + 1
	g := l.mu.pending
	g.cuts = append(g.cuts, cut{at: len(g.buf), number: number})
	return at(number, segmentHeaderSize)
}

func (l *Log) usableLocked() error {
	if l.mu.poison != nil {
		return l.mu.poison
	}
	if l.mu.closed {
		return ErrClosed
	}
	return nil
}

// Sync returns nil when the frame at pos, and every frame before it, is on stable storage. Callers
// that come while a group is being written share the next fdatasync.
//
// ctx is heeded while the caller waits for others. Who leads the group does its I/O first: it
// can't be called back. After ctx.Err() the frames are not lost, only not waited for. Other errors:
// ErrClosed, or a *PoisonedError, which every caller gets whose frames were not durable before.
// It does not allocate in the steady state.
func (l *Log) Sync(ctx context.Context, pos Position) error { return l.await(ctx, pos, false) }

// Await is Sync for a caller who knows that somebody else syncs: while the log is attended (Attend) it waits and never
// leads. Syncs then come when that somebody wants them, and not whenever one of many callers finds no leader.
func (l *Log) Await(ctx context.Context, pos Position) error { return l.await(ctx, pos, true) }

// Attend says whether there is somebody who calls Sync for all that is appended before an Await. Who waits in Await when that
// ends goes on as if it had called Sync.
func (l *Log) Attend(attended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.attended = attended
	if !attended {
		for _, w := range l.mu.waiters {
			w.patient = false
		}
		l.wakeLocked()
	}
}

func (l *Log) await(ctx context.Context, pos Position, patient bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usableLocked(); err != nil {
		return err
	}
	// A position at or behind the end means: all that was appended.
	target := min(pos, l.mu.end-1) + 1
	for {
		if l.mu.synced >= target {
			return nil
		}
		// Not ErrClosed: a Close that came meanwhile makes these frames durable too.
		if l.mu.poison != nil {
			return l.mu.poison
		}
		if err := ctx.Err(); err != nil {
			l.wakeLocked() // this may have been the one called to lead
			return err
		}
		if waits := patient && l.mu.attended; l.mu.leading || waits {
			l.waitLocked(ctx, target, waits)
		} else {
			l.leadLocked()
		}
	}
}

// End is the position the next frame would get if it fits in the segment; every frame so far is
// below it.
func (l *Log) End() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.end
}

// Oldest is where the first frame that is kept starts; it is at or below every position that a
// restart would replay.
func (l *Log) Oldest() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return at(l.mu.segments[0].number, segmentHeaderSize)
}

// Err is the *PoisonedError once the log is poisoned, and nil before.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.poison
}

// Metrics is a snapshot of a Log's counters.
type Metrics struct {
	Segments     int    // segment files on disk, without spares
	Spares       int    // files ready to become segments
	Bytes        int64  // headers and frames in the segments, written or about to be
	Appended     uint64 // bytes of frames written since Open, with headers and padding
	Syncs        uint64 // groups made durable since Open
	SyncedFrames uint64 // frames of the caller in those groups
	Recycled     uint64 // segments whose file became a spare, since Open
}

// Metrics gives a snapshot.
func (l *Log) Metrics() Metrics {
	spares := l.spares.count()
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.mu.metrics
	m.Segments = len(l.mu.segments)
	m.Spares = spares
	for _, s := range l.mu.segments {
		m.Bytes += s.end
	}
	m.Bytes += int64(len(l.mu.pending.buf))
	return m
}

// poisonLocked makes err the last word of the log. The first one stays.
func (l *Log) poisonLocked(err *PoisonedError) {
	if l.mu.poison == nil {
		l.mu.poison = err
		l.options.Logger.Error("write-ahead log is poisoned", "op", err.Op, "path", err.Path, "err", err.Err)
	}
}

// Close makes what was appended durable, marks the end of the log as clean, and frees the files.
// The second call does nothing. On a poisoned log it writes nothing and returns the
// *PoisonedError.
func (l *Log) Close() error {
	l.truncateMu.Lock()
	defer l.truncateMu.Unlock()
	l.mu.Lock()
	if l.mu.closed {
		l.mu.Unlock()
		return nil
	}
	l.mu.closed = true
	for l.mu.leading {
		l.mu.turn.Wait()
	}
	if len(l.mu.pending.buf) > 0 && l.mu.poison == nil {
		l.leadLocked()
	}
	if l.mu.poison == nil && !l.mu.clean {
		// The trailer says that all before it is durable, so it needs a sync of its own: written
		// with the last frames it could survive a crash that they don't.
		l.mu.pending.add(frameTrailer, nil)
		l.mu.end += frameHeaderSize
		l.leadLocked()
	}
	l.mu.turn.Broadcast()
	err := l.mu.poison
	l.mu.Unlock()

	l.spares.stop()
	l.active.close()
	if e := l.dirFile.Close(); err == nil && e != nil {
		err = ioError("close", l.dir, e)
	}
	return err
}
