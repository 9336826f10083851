package wal

import (
	"fmt"
	"log/slog"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// recovery reads a log from disk: scan finds where it ends and whether it is sound, repair makes
// that the truth on disk, replay gives the frames out. doc.go argues how a torn tail is told from
// damage.
type recovery struct {
	fs     vfs.FS
	dir    string
	logger *slog.Logger
	reader segmentReader

	segments []scanned // oldest first
	garbage  []string  // files of segments that were being made in the crash
	spares   []uint64  // numbers of spare files

	// Of the last segment:
	proven  int64   // everything below was durable, says a frame or a header
	clean   bool    // it ends with a trailer, or has no frame
	revived []int64 // sound frame headers behind the end, which must not come back
}

// scanned is a segment as scan found it.
type scanned struct {
	number uint32
	path   string
	size   int64
	header segmentHeader
	reason string // why the header is none; "" if it is sound
	end    int64  // of its frames
}

func (r *recovery) corruption(path string, offset int64, reason string, args ...any) error {
	return &CorruptionError{Path: path, Offset: offset, Reason: fmt.Sprintf(reason, args...)}
}

// list finds the files of the log.
func (r *recovery) list() error {
	names, err := r.fs.List(r.dir)
	if err != nil {
		return ioError("list", r.dir, err)
	}
	for _, name := range names {
		if number, ok := parseFileName(name, spareSuffix); ok {
			r.spares = append(r.spares, number)
		}
		if number, ok := parseFileName(name, segmentSuffix); ok && number > 0 && number <= math.MaxUint32 {
			r.segments = append(r.segments, scanned{number: uint32(number), path: r.fs.PathJoin(r.dir, name)})
		}
	}
	slices.Sort(r.spares)
	slices.SortFunc(r.segments, func(a, b scanned) int { return int(int64(a.number) - int64(b.number)) })
	return nil
}

// scan reads the whole log once. After it, segments holds the sound ones and where each ends.
func (r *recovery) scan() error {
	r.reader = segmentReader{fs: r.fs}
	defer r.reader.close()
	if err := r.list(); err != nil {
		return err
	}
	if err := r.scanHeaders(); err != nil {
		return err
	}
	for i := range r.segments {
		s := &r.segments[i]
		if s.reason != "" { // only the first can come here with a bad header, see scanLast
			return r.refuseFirst()
		}
		if i+1 == len(r.segments) || r.segments[i+1].reason != "" {
			return r.scanLast(i)
		}
		limit := r.segments[i+1].header.previous
		reason, err := r.walk(s, limit.Offset(), nil)
		if err != nil {
			return err
		}
		if s.end != limit.Offset() {
			return r.corruption(s.path, s.end, "%s, but segment %d says that this one was durable up to %d",
				reason, r.segments[i+1].number, limit.Offset())
		}
	}
	return nil
}

// scanHeaders reads the header of each segment, and sees that none is missing.
func (r *recovery) scanHeaders() error {
	for i := range r.segments {
		s := &r.segments[i]
		if err := r.reader.open(s.path, s.number); err != nil {
			return err
		}
		s.size, s.end = r.reader.size, segmentHeaderSize
		var err error
		if s.header, s.reason, err = r.reader.segmentHeader(); err != nil {
			return err
		}
		if i == 0 {
			continue
		}
		if before := r.segments[i-1].number; before+1 != s.number {
			missing := r.fs.PathJoin(r.dir, fileName(uint64(before)+1, segmentSuffix))
			return r.corruption(missing, 0, "segment file is missing, but there is segment %d", s.number)
		}
		if s.reason == "" && s.header.previous.Segment() != s.number-1 {
			return r.corruption(s.path, 0, "segment header says that it follows segment %d", s.header.previous.Segment())
		}
	}
	return nil
}

// walk reads the frames of a segment up to limit or the first bad one, sets s.end, and says what is
// wrong there. It leaves the segment open in the reader.
func (r *recovery) walk(s *scanned, limit int64, each func(offset int64, h frameHeader, payload []byte) error) (string, error) {
	if err := r.reader.open(s.path, s.number); err != nil {
		return "", err
	}
	s.end = segmentHeaderSize
	for s.end != limit {
		h, payload, reason, err := r.reader.frame(s.end, limit)
		if err != nil || reason != "" {
			return reason, err
		}
		if each != nil {
			if err := each(s.end, h, payload); err != nil {
				return "", err
			}
		}
		s.end += h.size()
	}
	return "frames end", nil
}

// scanLast reads the segment with which the log seems to end: none follows, or the next has no
// header. Here the tail may be torn, and here damage must not pass for a torn tail.
func (r *recovery) scanLast(i int) error {
	s := &r.segments[i]
	r.clean = true
	reason, err := r.walk(s, math.MaxInt64, func(_ int64, h frameHeader, _ []byte) error {
		r.clean = h.kind == frameTrailer
		if h.durable.Segment() == s.number {
			r.proven = max(r.proven, h.durable.Offset())
		}
		return nil
	})
	if err != nil {
		return err
	}
	end := at(s.number, s.end)
	var proof, proves Position // a frame, and what it says was durable
	err = r.reader.search(s.end, func(offset int64, h frameHeader) {
		if h.durable > max(end, proves) {
			proof, proves = at(s.number, offset), h.durable
		}
		r.revived = append(r.revived, offset)
	})
	if err != nil {
		return err
	}
	if proof != 0 {
		return r.corruption(s.path, s.end, "%s, but the frame at %d says that all up to %s was durable",
			reason, proof.Offset(), proves)
	}
	if err := r.refuseBehind(i + 1); err != nil {
		return err
	}
	for _, g := range r.segments[i+1:] {
		r.garbage = append(r.garbage, g.path)
	}
	r.segments = r.segments[:i+1]
	return nil
}

// refuseBehind gives an error if anything sound stands in segments[i:], where segments[i] has no
// header. A header is durable before any frame is written behind it, so then it was damaged.
func (r *recovery) refuseBehind(i int) error {
	for j := i; j < len(r.segments); j++ {
		s := &r.segments[j]
		sound := s.reason == ""
		if err := r.reader.open(s.path, s.number); err != nil {
			return err
		}
		if err := r.reader.search(segmentHeaderSize, func(int64, frameHeader) { sound = true }); err != nil {
			return err
		}
		if sound {
			return r.corruption(r.segments[i].path, 0, "%s, but segment %d holds what was written after it",
				r.segments[i].reason, s.number)
		}
	}
	return nil
}

// refuseFirst decides about a log whose first segment has no header. Segment 1 alone, without a
// frame, is a log that was being made when the machine went down: it starts again.
func (r *recovery) refuseFirst() error {
	if err := r.refuseBehind(0); err != nil {
		return err
	}
	if s := &r.segments[0]; s.number != 1 || len(r.segments) > 1 {
		return r.corruption(s.path, 0, "%s, but the log begins here", s.reason)
	}
	r.garbage = append(r.garbage, r.segments[0].path)
	r.segments = nil
	return nil
}

// replay calls fn for each frame of the caller, in order. REQUIRES: scan.
func (r *recovery) replay(fn func(Position, []byte) error) error {
	defer r.reader.close()
	for i := range r.segments {
		s := &r.segments[i]
		limit := s.end
		reason, err := r.walk(s, limit, func(offset int64, h frameHeader, payload []byte) error {
			if h.kind != frameData {
				return nil
			}
			if err := fn(at(s.number, offset), payload); err != nil {
				return fmt.Errorf("wal: replay of frame %s: %w", at(s.number, offset), err)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if s.end != limit {
			return r.corruption(s.path, s.end, "%s, but it was sound a moment ago: the disk gives other bytes each time", reason)
		}
	}
	return nil
}
