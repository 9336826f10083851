package wal

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"noecho/internal/invariants"
)

const (
	segmentSuffix = ".wal"
	spareSuffix   = ".spare"
	category      = vfs.DiskWriteCategory("noecho-wal")
)

// fileName is the name of a segment or a spare: 20 digits, so that names sort as numbers.
func fileName(number uint64, suffix string) string { return fmt.Sprintf("%020d%s", number, suffix) }

// parseFileName is the inverse of fileName. Names it did not make are not ours.
func parseFileName(name, suffix string) (number uint64, ok bool) {
	digits, found := strings.CutSuffix(name, suffix)
	if !found || len(digits) != 20 {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, err == nil && fileName(number, suffix) == name
}

// activeSegment is the file being written. Owned by the leader.
type activeSegment struct {
	file    vfs.File
	path    string
	number  uint32
	offset  int64 // the next frame goes here; all below is durable
	trailer bool  // the last frame written is a trailer

	scratch checkScratch
	header  [segmentHeaderSize]byte
}

func (a *activeSegment) close() {
	if a.file != nil {
		// Nothing that matters is left to fail here: each write was synced or poisoned the log.
		_ = a.file.Close()
		a.file = nil
	}
}

// roll ends the active segment and begins number. Owner: the leader.
// REQUIRES: the active segment is synced.
func (l *Log) roll(number uint32) *PoisonedError {
	a := &l.active
	if invariants.Enabled {
		invariants.Assert(number == a.number+1, "segment %d follows %d", number, a.number)
	}
	previous, ended := at(a.number, a.offset), a.offset
	a.close()
	size, err := l.begin(number, previous)
	if err != nil {
		return &PoisonedError{Op: "create segment", Path: a.path, Err: err}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	last := &l.mu.segments[len(l.mu.segments)-1]
	last.end = ended
	last.size = max(last.size, ended)
	l.mu.segments = append(l.mu.segments, segment{number: number, end: segmentHeaderSize, size: size})
	return nil
}

// begin makes the file of a new segment, with its header durable, and returns the file's size.
//
// The order matters. First the name is made durable, then the header is written, then frames.
// Were the header written first, a crash could give the name back: a spare with the header of
// segment n+1 would be left over, and segment n, which goes on, would later seem to end where that
// header says. And with the header durable before any frame, a frame in a segment whose header is
// bad proves damage.
func (l *Log) begin(number uint32, previous Position) (size int64, err error) {
	fs, a := l.options.FS, &l.active
	a.path = fs.PathJoin(l.dir, fileName(uint64(number), segmentSuffix))
	a.number, a.offset, a.trailer = number, segmentHeaderSize, false
	size = segmentHeaderSize
	if spare := l.spares.take(); spare != "" && fs.Rename(spare, a.path) == nil {
		size = l.options.SegmentBytes
	} else if err := createEmpty(fs, a.path); err != nil {
		return 0, err
	}
	if err := l.dirFile.Sync(); err != nil {
		return 0, ioError("sync directory", l.dir, err)
	}
	if a.file, err = fs.OpenReadWrite(a.path, category); err != nil {
		return 0, ioError("open", a.path, err)
	}
	segmentHeader{version: formatVersion, number: number, previous: previous}.put(a.header[:])
	if _, err := a.file.WriteAt(a.header[:], 0); err != nil {
		return 0, ioError("write", a.path, err)
	}
	if err := a.file.SyncData(); err != nil {
		return 0, ioError("sync", a.path, err)
	}
	return size, nil
}

// createEmpty makes a new file, in place of whatever has that name.
func createEmpty(fs vfs.FS, path string) error {
	f, err := fs.Create(path, category)
	if err != nil {
		return ioError("create", path, err)
	}
	if err := f.Close(); err != nil {
		return ioError("close", path, err)
	}
	return nil
}

// ioError says what was tried where.
func ioError(op, path string, err error) error { return fmt.Errorf("wal: %s %s: %w", op, path, err) }
