package testutil

import (
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// FS wraps a crashable in-memory file system. Every operation that changes something is counted; a hook runs before
// the n-th one, with all others held off, and may take a crash clone or fail the operation.
//
// The clone is taken under a lock of our own, because vfs.MemFS.CrashClone of Pebble v2.1.7 can deadlock with a
// concurrent Link or Lock.
type FS struct {
	vfs.FS
	mem *vfs.MemFS

	open atomic.Int64 // files and directories open for writing or syncing

	mu   sync.RWMutex // held shared by every changing operation, exclusively by a clone
	hook struct {
		sync.Mutex
		ops int
		fn  func(op int, what string) error // nil: none
	}
}

// NewFS returns an empty crashable file system.
func NewFS() *FS { return wrap(vfs.NewCrashableMem()) }

func wrap(mem *vfs.MemFS) *FS { return &FS{FS: mem, mem: mem} }

// Crash returns what is found after a power failure at this moment: all that was synced, and each block and directory
// entry that was not with a probability of percent.
func (f *FS) Crash(percent int, seed uint64) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	return wrap(f.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(seed, 1))}))
}

// OnOp sets a function that runs before each changing operation, numbered from 1 on; its error fails the operation. It
// may call Crash. nil removes it.
func (f *FS) OnOp(fn func(op int, what string) error) {
	f.hook.Lock()
	defer f.hook.Unlock()
	f.hook.ops, f.hook.fn = 0, fn
}

// Ops is the number of changing operations since OnOp.
func (f *FS) Ops() int {
	f.hook.Lock()
	defer f.hook.Unlock()
	return f.hook.ops
}

// OpenFiles is the number of files and directories that were opened for writing or syncing and not closed.
func (f *FS) OpenFiles() int { return int(f.open.Load()) }

// do runs one changing operation.
func (f *FS) do(what string, op func() error) error {
	f.hook.Lock()
	f.hook.ops++
	var err error
	if f.hook.fn != nil {
		err = f.hook.fn(f.hook.ops, what)
	}
	f.hook.Unlock()
	if err != nil {
		return err
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	return op()
}

func (f *FS) file(what string, open func() (vfs.File, error)) (out vfs.File, err error) {
	err = f.do(what, func() error {
		inner, err := open()
		if err == nil {
			f.open.Add(1)
			out = &file{File: inner, fs: f, name: what}
		}
		return err
	})
	return out, err
}

// Create counts as a change.
func (f *FS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.file("create "+name, func() (vfs.File, error) { return f.FS.Create(name, c) })
}

// OpenReadWrite counts as a change: it creates what is not there.
func (f *FS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return f.file("openrw "+name, func() (vfs.File, error) { return f.FS.OpenReadWrite(name, c, opts...) })
}

// OpenDir is no change, but its Sync is.
func (f *FS) OpenDir(name string) (vfs.File, error) {
	inner, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	f.open.Add(1)
	return &file{File: inner, fs: f, name: "dir " + name}, nil
}

// Link counts as a change.
func (f *FS) Link(oldname, newname string) error {
	return f.do("link "+newname, func() error { return f.FS.Link(oldname, newname) })
}

// Remove counts as a change.
func (f *FS) Remove(name string) error {
	return f.do("remove "+name, func() error { return f.FS.Remove(name) })
}

// RemoveAll counts as a change.
func (f *FS) RemoveAll(name string) error {
	return f.do("remove all "+name, func() error { return f.FS.RemoveAll(name) })
}

// Rename counts as a change.
func (f *FS) Rename(oldname, newname string) error {
	return f.do("rename "+newname, func() error { return f.FS.Rename(oldname, newname) })
}

// ReuseForWrite counts as a change.
func (f *FS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.file("reuse "+newname, func() (vfs.File, error) { return f.FS.ReuseForWrite(oldname, newname, c) })
}

// MkdirAll counts as a change.
func (f *FS) MkdirAll(dir string, perm os.FileMode) error {
	return f.do("mkdir "+dir, func() error { return f.FS.MkdirAll(dir, perm) })
}

// Lock is not counted: it changes nothing that a crash could lose.
func (f *FS) Lock(name string) (io.Closer, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.FS.Lock(name)
}

// Unwrap gives the file system below.
func (f *FS) Unwrap() vfs.FS { return f.FS }

// file counts writes and syncs.
type file struct {
	vfs.File
	fs   *FS
	name string
}

func (f *file) Close() error {
	f.fs.open.Add(-1)
	return f.File.Close()
}

func (f *file) Write(p []byte) (n int, err error) {
	err = f.fs.do("write "+f.name, func() error { n, err = f.File.Write(p); return err })
	return n, err
}

func (f *file) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.fs.do("writeat "+f.name, func() error { n, err = f.File.WriteAt(p, off); return err })
	return n, err
}

func (f *file) Sync() error { return f.fs.do("sync "+f.name, f.File.Sync) }

func (f *file) SyncData() error { return f.fs.do("syncdata "+f.name, f.File.SyncData) }
