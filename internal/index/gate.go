package index

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// gate is the file system Pebble sees: the real one until it is shut, and after
// that one on which nothing is written any more.
//
// Pebble's Logger.Fatalf must not return, so a failure of the manifest leaves
// Pebble's goroutines behind, in the middle of what they did. The naive way is
// to leave them alone: most are about to block on DB.mu, which the failed one
// holds. But a compaction needs no lock while it writes its output, and if the
// directory were opened again, by this process, its file could have the number
// of one that the new store has just made. So Close would have to keep the
// directory's lock for the life of the process, and the only remedy would be a
// restart.
//
// What we do: shut makes every later write, create, link, rename and removal
// block for ever (an error would be retried: Pebble runs a failed compaction
// again at once, without end), and release waits for those that had begun and
// gives up the directory's lock. Reads go on.
type gate struct {
	vfs.FS             // immutable
	fatal  func(error) // immutable; shuts the gate and never returns
	pause  func()      // immutable; called before a table is created
	pace   func()      // immutable; called before a part of a table is written

	isShut atomic.Bool
	// writes is held for reading by each writing operation, and for writing by
	// release, to wait for them.
	writes sync.RWMutex

	mu struct {
		sync.Mutex
		locks map[*gateLock]struct{} // directory locks held by Pebble
	}
}

func newGate(fs vfs.FS, fatal func(error), pause, pace func()) *gate {
	g := &gate{FS: fs, fatal: fatal, pause: pause, pace: pace}
	g.mu.locks = make(map[*gateLock]struct{})
	return g
}

// shut never blocks: it is called from within Pebble, under its locks.
func (g *gate) shut() { g.isShut.Store(true) }

// release waits for the writing operations that began before shut and unlocks
// the directory. Only after shut.
func (g *gate) release() error {
	g.writes.Lock()
	defer g.writes.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	var first error
	for l := range g.mu.locks {
		if err := l.inner.Close(); err != nil && first == nil {
			first = err
		}
	}
	clear(g.mu.locks)
	return first
}

// begin admits a writing operation, which ends with g.writes.RUnlock. It never
// returns when the gate is shut.
func (g *gate) begin() {
	g.writes.RLock()
	if g.isShut.Load() {
		g.writes.RUnlock()
		select {}
	}
}

func (g *gate) Unwrap() vfs.FS { return g.FS }

func (g *gate) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasSuffix(name, tableSuffix) {
		g.pause()
	}
	g.begin()
	defer g.writes.RUnlock()
	f, err := g.wrap(g.FS.Create(name, c))
	if err == nil {
		f.(*gateFile).isTable = strings.HasSuffix(name, tableSuffix)
	}
	if err == nil && strings.HasPrefix(g.PathBase(name), manifestPrefix) {
		f.(*gateFile).unsyncedDir = g.PathDir(name)
	}
	return f, err
}

func (g *gate) OpenReadWrite(
	name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption,
) (vfs.File, error) {
	g.begin()
	defer g.writes.RUnlock()
	return g.wrap(g.FS.OpenReadWrite(name, c, opts...))
}

func (g *gate) OpenDir(name string) (vfs.File, error) {
	f, err := g.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &gateDir{File: f, gate: g, name: name}, nil
}

func (g *gate) Link(oldname, newname string) error {
	g.begin()
	defer g.writes.RUnlock()
	return g.FS.Link(oldname, newname)
}

// Remove makes the new marker durable before the old one goes: Pebble creates
// the new, removes the old and then syncs the directory, and a crash before that
// may keep the removal and lose the creation. A store without a marker is opened
// as a new, empty one.
func (g *gate) Remove(name string) error {
	g.begin()
	defer g.writes.RUnlock()
	if strings.HasPrefix(g.PathBase(name), markerPrefix) {
		if err := syncDir(g.FS, g.PathDir(name)); err != nil {
			return err // Pebble leaves the old one for the next Open
		}
	}
	return g.FS.Remove(name)
}

func (g *gate) RemoveAll(name string) error {
	g.begin()
	defer g.writes.RUnlock()
	return g.FS.RemoveAll(name)
}

func (g *gate) Rename(oldname, newname string) error {
	g.begin()
	defer g.writes.RUnlock()
	return g.FS.Rename(oldname, newname)
}

func (g *gate) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	g.begin()
	defer g.writes.RUnlock()
	return g.wrap(g.FS.ReuseForWrite(oldname, newname, c))
}

func (g *gate) MkdirAll(dir string, perm os.FileMode) error {
	g.begin()
	defer g.writes.RUnlock()
	return g.FS.MkdirAll(dir, perm)
}

func (g *gate) Lock(name string) (io.Closer, error) {
	g.begin()
	defer g.writes.RUnlock()
	inner, err := g.FS.Lock(name)
	if err != nil {
		return nil, err
	}
	l := &gateLock{gate: g, inner: inner}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.locks[l] = struct{}{}
	return l, nil
}

// gateLock is a directory lock that release can give up in Pebble's stead.
type gateLock struct {
	gate  *gate
	inner io.Closer
}

func (l *gateLock) Close() error {
	l.gate.mu.Lock()
	_, held := l.gate.mu.locks[l]
	delete(l.gate.mu.locks, l)
	l.gate.mu.Unlock()
	if !held {
		return nil
	}
	return l.inner.Close()
}

func (g *gate) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &gateFile{File: f, gate: g}, nil
}

// gateDir is a directory opened for syncing.
type gateDir struct {
	vfs.File
	gate *gate
	name string
}

// Sync does not return when it fails. Pebble panics when the sync of a marker's
// directory fails, and after a rotation of the manifest it does so on a goroutine
// of its own, where nobody can recover: the process would be gone. And nobody
// may try again either: the kernel reports a lost write once, and the next sync
// succeeds over it.
func (d *gateDir) Sync() error {
	if err := d.sync(); err != nil {
		d.gate.fatal(fmt.Errorf("cannot sync directory %q: %w", d.name, err))
	}
	return nil
}

func (d *gateDir) sync() error {
	d.gate.begin()
	defer d.gate.writes.RUnlock()
	return d.File.Sync()
}

// gateFile is a file opened for writing.
type gateFile struct {
	vfs.File
	gate *gate
	// unsyncedDir is the directory of a new manifest, until its first Sync.
	// Owned by Pebble's writer of the manifest.
	unsyncedDir string
	isTable     bool // immutable after Create
}

// Names that Pebble gives its files.
const (
	manifestPrefix = "MANIFEST-"
	markerPrefix   = "marker."
	tableSuffix    = ".sst"
)

func (f *gateFile) Write(p []byte) (int, error) {
	if f.isTable {
		f.gate.pace()
	}
	f.gate.begin()
	defer f.gate.writes.RUnlock()
	return f.File.Write(p)
}

func (f *gateFile) WriteAt(p []byte, off int64) (int, error) {
	f.gate.begin()
	defer f.gate.writes.RUnlock()
	return f.File.WriteAt(p, off)
}

func (f *gateFile) Preallocate(offset, length int64) error {
	f.gate.begin()
	defer f.gate.writes.RUnlock()
	return f.File.Preallocate(offset, length)
}

// Sync also makes the name of a new manifest durable.
//
// Pebble writes and syncs a new manifest, then a marker file that names it, and
// then syncs the directory, once for both. A crash before that may keep the
// marker's entry and lose the manifest's, and the store can't be opened any
// more. Journaling file systems keep the order of the two in practice; POSIX
// doesn't promise it.
func (f *gateFile) Sync() error {
	f.gate.begin()
	defer f.gate.writes.RUnlock()
	if err := f.File.Sync(); err != nil || f.unsyncedDir == "" {
		return err
	}
	if err := syncDir(f.gate.FS, f.unsyncedDir); err != nil {
		return err
	}
	f.unsyncedDir = ""
	return nil
}

func syncDir(fs vfs.FS, name string) error {
	dir, err := fs.OpenDir(name)
	if err != nil {
		return err
	}
	err = dir.Sync()
	return errors.Join(err, dir.Close())
}

func (f *gateFile) SyncTo(length int64) (bool, error) {
	f.gate.begin()
	defer f.gate.writes.RUnlock()
	return f.File.SyncTo(length)
}

func (f *gateFile) SyncData() error {
	f.gate.begin()
	defer f.gate.writes.RUnlock()
	return f.File.SyncData()
}
