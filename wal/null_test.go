package wal

import "github.com/cockroachdb/pebble/v2/vfs"

// nullFS keeps names and headers, and drops what is written to segments: MemFS allocates as files
// grow, which is not what is measured.
type nullFS struct{ vfs.FS }

type nullFile struct{ vfs.File }

func (f nullFS) OpenReadWrite(path string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	inner, err := f.FS.OpenReadWrite(path, c, o...)
	return nullFile{inner}, err
}

func (f nullFS) Create(path string, c vfs.DiskWriteCategory) (vfs.File, error) {
	inner, err := f.FS.Create(path, c)
	return nullFile{inner}, err
}

func (nullFile) Write(p []byte) (int, error)            { return len(p), nil }
func (nullFile) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (nullFile) SyncData() error                        { return nil }

// countingVisitor counts marks.
type countingVisitor struct{ marks int }

func (*countingVisitor) Boundary(uint64, int64) error         { return nil }
func (v *countingVisitor) Mark(_, _, _ uint64, _ int64) error { v.marks++; return nil }
func (*countingVisitor) Forget(_, _, _ uint64) error          { return nil }
func (*countingVisitor) Floor(uint64) error                   { return nil }
