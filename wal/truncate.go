package wal

import (
	"errors"
	iofs "io/fs"
)

// Truncate says that frames below before are not needed any more. Segments that hold none but such
// frames are recycled, up to a small pool, or removed; the active one stays. Frames may still be
// replayed after it: what goes is whole segments, and a crash can bring the last one back.
//
// Segments go oldest first, each one durably before the next, so that a crash never leaves a gap: a
// gap is a lost segment, and refused. An error that is no *PoisonedError left the log whole, and
// the call can be tried again.
func (l *Log) Truncate(before Position) error {
	l.truncateMu.Lock()
	defer l.truncateMu.Unlock()
	for {
		l.mu.Lock()
		if err := l.usableLocked(); err != nil {
			l.mu.Unlock()
			return err
		}
		oldest, last := l.mu.segments[0], len(l.mu.segments) == 1
		l.mu.Unlock()
		if last || oldest.number >= before.Segment() {
			return nil
		}
		if err := l.retire(oldest); err != nil {
			return err
		}
	}
}

// retire takes the oldest segment away. Owner: the holder of truncateMu.
func (l *Log) retire(s segment) error {
	fs := l.options.FS
	path := fs.PathJoin(l.dir, fileName(uint64(s.number), segmentSuffix))
	spare := ""
	if s.size == l.options.SegmentBytes && l.spares.count() < maxSpares {
		spare = l.spares.name()
		if fs.Rename(path, spare) != nil {
			spare = ""
		}
	}
	if spare == "" {
		if err := fs.Remove(path); err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return ioError("remove", path, err)
		}
	}
	if err := l.dirFile.Sync(); err != nil {
		poison := &PoisonedError{Op: "sync directory", Path: l.dir, Err: err}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.poisonLocked(poison)
		l.wakeLocked()
		l.mu.turn.Broadcast()
		return l.mu.poison
	}
	recycled := spare != "" && l.spares.add(spare)
	if spare != "" && !recycled {
		_ = fs.Remove(spare) // the maker was faster; a spare too many is dropped at Open as well
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.segments = append(l.mu.segments[:0], l.mu.segments[1:]...)
	if recycled {
		l.mu.metrics.Recycled++
	}
	return nil
}
