package index

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/vfstest"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

var ctxb = context.Background()

// mark is the key of a mark.
type mark struct {
	partition      uint32
	bucket, hi, lo uint64
}

// model is the index as two maps.
type model struct {
	marks map[mark]int64
	metas map[string]string
}

func newModel() model { return model{marks: map[mark]int64{}, metas: map[string]string{}} }

func (m model) clone() model {
	return model{marks: maps.Clone(m.marks), metas: maps.Clone(m.metas)}
}

// step is one change of the index.
type step struct {
	entries   map[mark]int64 // negative: delete
	metas     map[string]string
	deletes   []string // metas to delete
	drop      bool     // DropBuckets
	dropAll   bool     // DropPartition
	partition uint32   // of drop and dropAll
	from, to  uint64
}

// run returns the arguments of Ingest for the step.
func (s step) ingestArgs() ([]Run, []Meta) {
	keys := slices.SortedFunc(maps.Keys(s.entries), func(a, b mark) int {
		return cmp.Or(cmp.Compare(a.partition, b.partition), cmp.Compare(a.bucket, b.bucket),
			cmp.Compare(a.hi, b.hi), cmp.Compare(a.lo, b.lo))
	})
	var runs []Run
	for i := 0; i < len(keys); {
		first := keys[i]
		var es []Entry
		for ; i < len(keys) && keys[i].partition == first.partition && keys[i].bucket == first.bucket; i++ {
			es = append(es, Entry{Hi: keys[i].hi, Lo: keys[i].lo, Offset: s.entries[keys[i]]})
		}
		runs = append(runs, Run{Partition: first.partition, Bucket: first.bucket, Entries: slices.Values(es)})
	}
	var metas []Meta
	for k, v := range s.metas {
		metas = append(metas, Meta{Key: []byte(k), Value: []byte(v)})
	}
	for _, k := range s.deletes {
		metas = append(metas, Meta{Key: []byte(k), Delete: true})
	}
	slices.SortFunc(metas, func(a, b Meta) int { return bytes.Compare(a.Key, b.Key) })
	return runs, metas
}

func (s step) do(x *Index) error {
	switch {
	case s.drop:
		return x.DropBuckets(ctxb, s.partition, s.from, s.to)
	case s.dropAll:
		return x.DropPartition(ctxb, s.partition)
	default:
		runs, metas := s.ingestArgs()
		return x.Ingest(ctxb, runs, metas)
	}
}

func (s step) apply(m model) model {
	m = m.clone()
	for k := range m.marks {
		in := k.partition == s.partition
		if s.dropAll && in || s.drop && in && s.from <= k.bucket && k.bucket < s.to {
			delete(m.marks, k)
		}
	}
	for k, v := range s.entries {
		if m.marks[k] = v; v < 0 {
			delete(m.marks, k)
		}
	}
	maps.Copy(m.metas, s.metas)
	for _, k := range s.deletes {
		delete(m.metas, k)
	}
	return m
}

// partitions that tests use.
var testPartitions = []uint32{1, 2, 3, trailBit - 1}

// dump reads the whole index.
func dump(x *Index) (model, error) {
	m := newModel()
	for _, p := range testPartitions {
		err := x.Scan(ctxb, p, 0, math.MaxUint64, func(b uint64, e Entry) error {
			m.marks[mark{p, b, e.Hi, e.Lo}] = e.Offset
			return nil
		})
		if err != nil {
			return model{}, err
		}
	}
	err := x.EachMeta(func(k, v []byte) error {
		m.metas[string(k)] = string(v)
		return nil
	})
	return m, err
}

func equal(a, b model) bool { return maps.Equal(a.marks, b.marks) && maps.Equal(a.metas, b.metas) }

// requireState checks that the index is exactly m, by scan and by lookup.
func requireState(t require.TestingT, x *Index, m model) {
	got, err := dump(x)
	require.NoError(t, err)
	require.Equal(t, m, got)
	r, err := x.Reader()
	require.NoError(t, err)
	defer r.Close()
	for k, want := range m.marks {
		offset, ok, err := r.Get(k.partition, k.bucket, k.hi, k.lo)
		require.NoError(t, err)
		require.True(t, ok, "%+v", k)
		require.Equal(t, want, offset)
		// Neighbours of a mark are no marks, unless the model has them.
		for _, n := range []mark{
			{k.partition, k.bucket, k.hi, k.lo + 1}, {k.partition, k.bucket + 1, k.hi, k.lo},
			{k.partition + 1, k.bucket, k.hi, k.lo},
		} {
			if _, has := m.marks[n]; !has {
				_, ok, err = r.Get(n.partition, n.bucket, n.hi, n.lo)
				require.NoError(t, err)
				require.False(t, ok, "%+v", n)
			}
		}
	}
	for k, want := range m.metas {
		v, ok, err := x.GetMeta([]byte(k))
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, want, string(v))
	}
}

// manual turns automatic compactions off.
func manual(p *pebble.Options) { p.DisableAutomaticCompactions = true }

// open opens an index that is checked and closed when the test ends.
func open(t *testing.T, o Options) *Index {
	t.Helper()
	x, err := Open("store", o)
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := x.Check(); err != ErrClosed {
			require.NoError(t, err)
		}
		require.NoError(t, x.Close())
	})
	return x
}

// leaks fails the test if it leaves goroutines or open files of the returned
// file system behind. Call it before open.
func leaks(t *testing.T) vfs.FS {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	fs, dumpOpen := vfstest.WithOpenFileTracking(vfs.NewMem())
	t.Cleanup(func() {
		goleak.VerifyNone(t, ignore)
		var b bytes.Buffer
		dumpOpen(&b)
		require.Empty(t, b.String(), "files left open")
	})
	return fs
}

func run(partition uint32, bucket uint64, es ...Entry) Run {
	return Run{Partition: partition, Bucket: bucket, Entries: slices.Values(es)}
}

func compactAll(tb testing.TB, x *Index) {
	tb.Helper()
	require.NoError(tb, x.db.Compact(ctxb, appendPrefix(nil, 0, 0), appendPartitionEnd(nil, math.MaxUint32-1), false))
}

// snapFS runs the writing operations of an FS one at a time and calls before
// ahead of each. A crash clone taken there can't deadlock with MemFS.Link of
// another goroutine (a bug of Pebble's v2.1.7).
type snapFS struct {
	vfs.FS
	mu     sync.Mutex
	before func(op, path string) // under mu
}

func (s *snapFS) op(op, path string) func() {
	s.mu.Lock()
	if s.before != nil {
		s.before(op, path)
	}
	return s.mu.Unlock
}

func (s *snapFS) file(f vfs.File, err error, path string) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &snapFile{File: f, fs: s, path: path}, nil
}

func (s *snapFS) Create(n string, c vfs.DiskWriteCategory) (vfs.File, error) {
	defer s.op("create", n)()
	f, err := s.FS.Create(n, c)
	return s.file(f, err, n)
}

func (s *snapFS) OpenReadWrite(n string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	defer s.op("open-rw", n)()
	f, err := s.FS.OpenReadWrite(n, c, o...)
	return s.file(f, err, n)
}

func (s *snapFS) OpenDir(n string) (vfs.File, error) {
	f, err := s.FS.OpenDir(n)
	return s.file(f, err, n)
}

func (s *snapFS) Link(a, b string) error { defer s.op("link", b)(); return s.FS.Link(a, b) }

func (s *snapFS) Remove(n string) error { defer s.op("remove", n)(); return s.FS.Remove(n) }

func (s *snapFS) RemoveAll(n string) error { defer s.op("remove-all", n)(); return s.FS.RemoveAll(n) }

func (s *snapFS) Rename(a, b string) error { defer s.op("rename", b)(); return s.FS.Rename(a, b) }

func (s *snapFS) MkdirAll(n string, p os.FileMode) error {
	defer s.op("mkdir", n)()
	return s.FS.MkdirAll(n, p)
}

func (s *snapFS) Lock(n string) (io.Closer, error) { defer s.op("lock", n)(); return s.FS.Lock(n) }

type snapFile struct {
	vfs.File
	fs   *snapFS
	path string
}

func (f *snapFile) Write(p []byte) (int, error) {
	defer f.fs.op("write", f.path)()
	return f.File.Write(p)
}

func (f *snapFile) Sync() error { defer f.fs.op("sync", f.path)(); return f.File.Sync() }

func (f *snapFile) SyncData() error { defer f.fs.op("sync-data", f.path)(); return f.File.SyncData() }
