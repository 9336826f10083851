package wal

import (
	"context"
	"encoding/binary"
	"flag"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testDir = "store/wal"

var ctx = context.Background()

// hookFS lets a test see, and fail, each operation that changes the file system before it is done.
// Operations go one at a time: MemFS.CrashClone, which hooks call, is not safe beside Rename.
type hookFS struct {
	vfs.FS

	mu   sync.Mutex
	n    int // operations so far
	hook func(n int, o op) error
}

// setHook puts another hook in, or none. Under the lock: the maker of spare files works beside the test.
func (f *hookFS) setHook(hook func(n int, o op) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

// op is an operation that changes the file system.
type op struct {
	kind   string // "create", "open", "mkdir", "rename", "remove", "write", "writeAt", "sync", "syncData"
	path   string
	to     string // of a rename
	offset int64  // of a writeAt
	bytes  int    // of a write or writeAt
}

func (f *hookFS) do(o op, fn func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.n
	f.n++
	if f.hook != nil {
		if err := f.hook(n, o); err != nil {
			return err
		}
	}
	return fn()
}

func (f *hookFS) file(kind, path string, open func() (vfs.File, error)) (file vfs.File, err error) {
	err = f.do(op{kind: kind, path: path}, func() error {
		inner, err := open()
		file = &hookFile{File: inner, fs: f, path: path}
		return err
	})
	if err != nil {
		return nil, err
	}
	return file, nil
}

func (f *hookFS) Create(path string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.file("create", path, func() (vfs.File, error) { return f.FS.Create(path, c) })
}

func (f *hookFS) OpenReadWrite(path string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return f.file("open", path, func() (vfs.File, error) { return f.FS.OpenReadWrite(path, c, o...) })
}

func (f *hookFS) OpenDir(path string) (vfs.File, error) {
	inner, err := f.FS.OpenDir(path)
	return &hookFile{File: inner, fs: f, path: path}, err
}

func (f *hookFS) MkdirAll(path string, perm os.FileMode) error {
	return f.do(op{kind: "mkdir", path: path}, func() error { return f.FS.MkdirAll(path, perm) })
}

func (f *hookFS) Rename(from, to string) error {
	return f.do(op{kind: "rename", path: from, to: to}, func() error { return f.FS.Rename(from, to) })
}

func (f *hookFS) Remove(path string) error {
	return f.do(op{kind: "remove", path: path}, func() error { return f.FS.Remove(path) })
}

type hookFile struct {
	vfs.File
	fs   *hookFS
	path string
}

func (f *hookFile) Write(p []byte) (n int, err error) {
	err = f.fs.do(op{kind: "write", path: f.path, bytes: len(p)}, func() error { n, err = f.File.Write(p); return err })
	return n, err
}

func (f *hookFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.fs.do(op{kind: "writeAt", path: f.path, offset: off, bytes: len(p)}, func() error { n, err = f.File.WriteAt(p, off); return err })
	return n, err
}

func (f *hookFile) Sync() error { return f.fs.do(op{kind: "sync", path: f.path}, f.File.Sync) }

func (f *hookFile) SyncData() error {
	return f.fs.do(op{kind: "syncData", path: f.path}, f.File.SyncData)
}

// numbered makes a payload that names itself: number, then size-8 bytes that follow from it.
func numbered(number uint64, size int) []byte {
	b := make([]byte, max(8, size))
	binary.LittleEndian.PutUint64(b, number)
	for i := 8; i < len(b); i++ {
		b[i] = byte(number) + byte(i)
	}
	return b
}

// numberOf checks a payload of numbered and gives its number. No testify here: crash tests read
// millions of frames.
func numberOf(t require.TestingT, b []byte) uint64 {
	if len(b) < 8 {
		require.Fail(t, "payload is too short")
	}
	number := binary.LittleEndian.Uint64(b)
	for i := 8; i < len(b); i++ {
		if b[i] != byte(number)+byte(i) {
			require.Fail(t, "payload is not what was appended", "frame %d, byte %d", number, i)
		}
	}
	return number
}

// collect gives a replay function that keeps the numbers of what it sees.
func collect(t require.TestingT, numbers *[]uint64) func(Position, []byte) error {
	last := Position(0)
	return func(pos Position, b []byte) error {
		if pos <= last {
			require.Fail(t, "positions do not ascend", "%s after %s", pos, last)
		}
		last = pos
		*numbers = append(*numbers, numberOf(t, b))
		return nil
	}
}

func ignore(Position, []byte) error { return nil }

// reopen opens the log, gives the numbers it replayed, and fails the test on an error.
func reopen(t require.TestingT, fs vfs.FS, segmentBytes int64) (*Log, []uint64) {
	var numbers []uint64
	l, err := Open(testDir, Options{FS: fs, SegmentBytes: segmentBytes}, collect(t, &numbers))
	require.NoError(t, err)
	return l, numbers
}

// replayed gives the numbers in the log without opening it.
func replayed(t require.TestingT, fs vfs.FS) []uint64 {
	var numbers []uint64
	_, err := Replay(testDir, Options{FS: fs}, collect(t, &numbers))
	require.NoError(t, err)
	return numbers
}

func mustAppend(t require.TestingT, l *Log, payload []byte) Position {
	pos, err := l.Append(payload)
	require.NoError(t, err)
	return pos
}

func mustSync(t require.TestingT, l *Log, payload []byte) Position {
	pos := mustAppend(t, l, payload)
	require.NoError(t, l.Sync(ctx, pos))
	return pos
}

// sequence is from, from+1, ... to-1.
func sequence(from, to uint64) []uint64 {
	var s []uint64
	for ; from < to; from++ {
		s = append(s, from)
	}
	return s
}

func readFile(t require.TestingT, fs vfs.FS, path string) []byte {
	f, err := fs.Open(path)
	require.NoError(t, err)
	defer f.Close()
	info, err := f.Stat()
	require.NoError(t, err)
	b := make([]byte, info.Size())
	_, err = f.ReadAt(b, 0)
	if len(b) > 0 {
		require.NoError(t, err)
	}
	return b
}

// writeFile makes a file of these bytes, durably. It copies them: a MemFS may spoil what it is given.
func writeFile(t require.TestingT, fs vfs.FS, path string, b []byte) {
	require.NoError(t, fs.MkdirAll(fs.PathDir(path), 0o755))
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	_, err = f.Write(append([]byte(nil), b...))
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
	for dir := fs.PathDir(path); ; dir = fs.PathDir(dir) {
		require.NoError(t, syncDir(fs, dir))
		if dir == fs.PathDir(dir) {
			break
		}
	}
}

// copyLog puts the files of a log into a new file system, with one of them replaced.
func copyLog(t require.TestingT, from vfs.FS, replace string, with []byte) *vfs.MemFS {
	to := vfs.NewMem()
	names, err := from.List(testDir)
	require.NoError(t, err)
	for _, name := range names {
		path := from.PathJoin(testDir, name)
		b := readFile(t, from, path)
		if path == replace {
			b = with
		}
		writeFile(t, to, path, b)
	}
	return to
}

func segmentPath(number uint64) string { return testDir + "/" + fileName(number, segmentSuffix) }

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 17)) }

// eventually waits for another goroutine.
func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 10*time.Second, 100*time.Microsecond)
}

// names lists the log's files with a suffix.
func names(t *testing.T, fs vfs.FS, suffix string) (found []uint64) {
	all, err := fs.List(testDir)
	require.NoError(t, err)
	for _, name := range all {
		if number, ok := parseFileName(name, suffix); ok {
			found = append(found, number)
		}
	}
	return found
}
