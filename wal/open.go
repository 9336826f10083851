package wal

import (
	"errors"
	iofs "io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Open opens the log in dir, which it makes if need be, and calls replay for the payload of each
// frame in it, in order. The payload holds until replay returns; an error of replay ends Open.
//
// A torn tail is cut. All frames that are replayed are durable before replay sees the first.
// Damage before durable frames is a *CorruptionError, found before replay is called; a log of
// another format is a *VersionError; other errors come from the file system. A dir belongs to one
// Log: the caller holds the lock.
func Open(dir string, o Options, replay func(Position, []byte) error) (*Log, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := makeDir(o.FS, dir); err != nil {
		return nil, err
	}
	r := &recovery{fs: o.FS, dir: dir, logger: o.Logger}
	if err := r.scan(); err != nil {
		return nil, err
	}
	l := &Log{options: o, dir: dir}
	l.mu.turn.L = &l.mu
	l.mu.pending, l.mu.idle = &group{}, &group{}
	if err := l.open(r, replay); err != nil {
		l.active.close()
		if l.dirFile != nil {
			_ = l.dirFile.Close() // the first error says more
		}
		return nil, err
	}
	l.spares.start()
	return l, nil
}

func (l *Log) open(r *recovery, replay func(Position, []byte) error) (err error) {
	fs := l.options.FS
	if l.dirFile, err = fs.OpenDir(l.dir); err != nil {
		return ioError("open directory", l.dir, err)
	}
	if err := r.repair(l.dirFile); err != nil {
		return err
	}
	if err := r.replay(replay); err != nil {
		return err
	}
	l.spares.init(fs, l.dir, l.options.SegmentBytes, l.options.Logger)
	if err := l.spares.adopt(r.spares); err != nil {
		return err
	}
	if len(r.segments) == 0 {
		size, err := l.begin(1, 0)
		if err != nil {
			return err
		}
		r.segments = []scanned{{number: 1, end: segmentHeaderSize, size: size}}
		r.clean = true
	} else if err := l.resume(&r.segments[len(r.segments)-1]); err != nil {
		return err
	}
	for _, s := range r.segments {
		l.mu.segments = append(l.mu.segments, segment{number: s.number, end: s.end, size: s.size})
	}
	l.mu.end = at(l.active.number, l.active.offset)
	l.mu.synced = l.mu.end
	l.mu.clean = r.clean
	return nil
}

// resume goes on in the last segment, behind its last frame.
func (l *Log) resume(s *scanned) (err error) {
	a := &l.active
	a.path, a.number, a.offset = s.path, s.number, s.end
	if a.file, err = l.options.FS.OpenReadWrite(s.path, category); err != nil {
		return ioError("open", s.path, err)
	}
	return nil
}

// Replay reads the log in dir and changes nothing: it calls fn as Open does, and says where the log
// ends. Beside a Log that is open it sees some prefix of it, or an error.
func Replay(dir string, o Options, fn func(Position, []byte) error) (end Position, err error) {
	o, err = o.withDefaults()
	if err != nil {
		return 0, err
	}
	r := &recovery{fs: o.FS, dir: dir, logger: o.Logger}
	if err := r.scan(); err != nil {
		return 0, err
	}
	if err := r.replay(fn); err != nil {
		return 0, err
	}
	if len(r.segments) == 0 {
		return at(1, segmentHeaderSize), nil
	}
	last := r.segments[len(r.segments)-1]
	return at(last.number, last.end), nil
}

// makeDir makes dir and what is missing above it, durably. The directory above dir is synced even
// when dir is there: an earlier life may have died between the two.
func makeDir(fs vfs.FS, dir string) error {
	parents := []string{fs.PathDir(dir)}
	for {
		parent := parents[len(parents)-1]
		_, err := fs.Stat(parent)
		above := fs.PathDir(parent)
		if err == nil || above == parent {
			break
		}
		if !errors.Is(err, iofs.ErrNotExist) {
			return ioError("stat", parent, err)
		}
		parents = append(parents, above)
	}
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return ioError("create directory", dir, err)
	}
	for _, parent := range parents {
		if err := syncDir(fs, parent); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return ioError("open directory", dir, err)
	}
	err = d.Sync()
	if e := d.Close(); err == nil {
		err = e
	}
	if err != nil {
		return ioError("sync directory", dir, err)
	}
	return nil
}
