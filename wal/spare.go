package wal

import (
	"errors"
	"log/slog"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// maxSpares bounds the pool. One is used while the next is made or comes from Truncate; more
	// would only hold disk.
	maxSpares = 2

	zeroChunk = 1 << 20
)

// errStopped ends the making of a spare when the log closes.
var errStopped = errors.New("wal: log is closing")

// spareMaker keeps files that are ready to become segments: recycled ones, and ones it fills with
// zeros in the background.
//
// Why: fdatasync of a file whose blocks exist and were written writes data only; a file that grows
// commits the file system's journal as well. fallocate does not help: its blocks are marked
// unwritten, and to unmark them is metadata.
//
// A spare's content is of no account, since each checksum in a segment covers the segment's number,
// and no number is used twice.
//
// One is made only when the active segment is half full and the pool is empty, one try a segment: a
// log that is opened and closed makes none, and a full disk costs nothing but that try. When a
// segment is needed and none is ready, begin creates a file that grows.
type spareMaker struct {
	// Immutable after init.
	fs     vfs.FS
	dir    string
	size   int64
	logger *slog.Logger
	wake   chan struct{} // one token: make a spare
	done   chan struct{} // closed by stop
	worker sync.WaitGroup

	// asked is the segment that last asked for a spare. Owned by the leader.
	asked uint32

	mu struct {
		sync.Mutex
		paths []string // ready
		next  uint64   // number of the next spare's name
	}
}

func (s *spareMaker) init(fs vfs.FS, dir string, size int64, logger *slog.Logger) {
	s.fs, s.dir, s.size, s.logger = fs, dir, size, logger
	s.wake = make(chan struct{}, 1)
	s.done = make(chan struct{})
}

func (s *spareMaker) start() { s.worker.Go(s.run) }

// stop ends the background goroutine and waits for it.
func (s *spareMaker) stop() {
	close(s.done)
	s.worker.Wait()
}

func (s *spareMaker) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.paths)
}

// take hands out a spare, or "" when there is none.
func (s *spareMaker) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.mu.paths)
	if n == 0 {
		return ""
	}
	path := s.mu.paths[n-1]
	s.mu.paths = s.mu.paths[:n-1]
	return path
}

// add gives a file of the right size to the pool. It says false when the pool is full.
func (s *spareMaker) add(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.paths) >= maxSpares {
		return false
	}
	s.mu.paths = append(s.mu.paths, path)
	return true
}

// name gives a path no spare has had.
func (s *spareMaker) name() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.next++
	return s.fs.PathJoin(s.dir, fileName(s.mu.next, spareSuffix))
}

// adopt takes over the spares found at Open. What a crash left half made, or of another size, goes.
func (s *spareMaker) adopt(numbers []uint64) error {
	for _, number := range numbers {
		s.mu.next = max(s.mu.next, number)
		path := s.fs.PathJoin(s.dir, fileName(number, spareSuffix))
		info, err := s.fs.Stat(path)
		if err != nil {
			return ioError("stat", path, err)
		}
		if info.Size() == s.size && s.add(path) {
			continue
		}
		if err := s.fs.Remove(path); err != nil {
			return ioError("remove", path, err)
		}
	}
	return nil
}

// askForSpare wakes the maker when the active segment is half full and no spare is ready.
// Owner: the leader.
func (l *Log) askForSpare() {
	a, s := &l.active, &l.spares
	if a.offset < l.options.SegmentBytes/2 || s.asked == a.number || s.count() > 0 {
		return
	}
	s.asked = a.number
	select {
	case s.wake <- struct{}{}:
	default: // it is at it
	}
}

func (s *spareMaker) run() {
	for {
		select {
		case <-s.done:
			return
		case <-s.wake:
		}
		path := s.name()
		if err := s.fill(path); err != nil {
			_ = s.fs.Remove(path) // a part of a spare only takes room; Open would drop it by its size
			if !errors.Is(err, errStopped) {
				s.logger.Warn("cannot make a log segment ahead; the next one will be made when it is needed",
					"path", path, "err", err)
			}
			continue
		}
		if !s.add(path) {
			_ = s.fs.Remove(path)
		}
	}
}

// fill writes a file of zeros and syncs it. SyncTo starts the write-back early, so that the sync at
// the end does not stand in the way of the log's own.
func (s *spareMaker) fill(path string) error {
	f, err := s.fs.Create(path, category)
	if err != nil {
		return err
	}
	err = s.zero(f)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (s *spareMaker) zero(f vfs.File) error {
	buf := make([]byte, min(zeroChunk, s.size))
	for done := int64(0); done < s.size; {
		select {
		case <-s.done:
			return errStopped
		default:
		}
		chunk := buf[:min(int64(len(buf)), s.size-done)]
		clear(chunk) // Write may have changed it
		n, err := f.Write(chunk)
		if err != nil {
			return err
		}
		done += int64(n)
		if _, err := f.SyncTo(done); err != nil {
			return err
		}
	}
	return nil
}
