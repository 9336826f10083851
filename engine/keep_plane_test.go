package engine_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"noecho/engine"
	"noecho/internal/testutil"
)

// journal is a log that tests read.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

// take returns what was written since.
func (j *journal) take() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.b.String()
	j.b.Reset()
	return s
}

// planeFiles are the kept planes of the store.
func planeFiles(t require.TestingT, fs vfs.FS) (names []string) {
	all, err := fs.List(fs.PathJoin("data", "filters"))
	require.NoError(t, err)
	for _, name := range all {
		if strings.Contains(name, ".plane") {
			names = append(names, name)
		}
	}
	return names
}

// keptPlanes counts those that are whole.
func (s *store) keptPlanes() (n int) {
	for _, name := range planeFiles(s.t, s.fs) {
		if strings.HasSuffix(name, ".plane") {
			n++
		}
	}
	return n
}

const keptKeys = 600

// keptStore has four buckets of keptKeys keys, of which three have ended and are kept.
func keptStore(t *testing.T, set func(*engine.Options)) (*store, *journal) {
	j := new(journal)
	o := engine.Cold(testOptions(testutil.NewFS()))
	o.TableKeys, o.Logger = 200, slog.New(slog.NewTextHandler(j, nil))
	if set != nil {
		set(&o)
	}
	s := openStore(t, o)
	for b := range int64(4) {
		s.fill(keptKeys*b, 100*b+50, key("b", b)+"-", keptKeys)
	}
	s.commit(4 * keptKeys)
	return s, j
}

// knowsAll: copies of everything are dropped, and new keys pass with few lookups.
func (s *store) knowsAll(next int64) {
	s.t.Helper()
	s.eventually("the filter is still being rebuilt", func() bool { return !s.p.Metrics().Rebuilding })
	before := s.p.Metrics().IndexLookups
	s.fill(next, 350, fmt.Sprintf("new%d-", next), 500)
	require.Less(s.t, s.p.Metrics().IndexLookups-before, uint64(60))
	for b := range int64(4) {
		for i, v := range s.drop(next+500+keptKeys*b, 350, keys(key("b", b)+"-", keptKeys)...) {
			require.Equal(s.t, keptKeys*b+int64(i), v.First)
		}
	}
}

// TestPlanesAreKept: after a crash the filter comes from the files of the buckets that had ended, and the index is read for the others only.
func TestPlanesAreKept(t *testing.T) {
	s, j := keptStore(t, nil)
	s.eventually("not kept", func() bool { return s.keptPlanes() == 3 })
	s.crash(100, 1)
	s.knowsAll(4 * keptKeys)
	require.Contains(t, j.take(), "from_files=3")

	// They live on, and go with their buckets.
	s.crash(100, 2)
	s.knowsAll(8 * keptKeys)
	require.Contains(t, j.take(), "from_files=3")
	next := int64(20 * keptKeys)
	s.fill(next, 2000, "far", 1)
	s.commit(next + 1)
	s.eventually("files of dead buckets are left", func() bool {
		names := planeFiles(t, s.fs)
		return len(names) == 0
	})
}

// TestPlanesAreNotTrusted: one that is damaged, cut, of another bucket or gone is not used, and written anew; nothing is missed.
func TestPlanesAreNotTrusted(t *testing.T) {
	damage := map[string]func(t *testing.T, fs vfs.FS, paths []string){
		"a bit": func(t *testing.T, fs vfs.FS, paths []string) {
			edit(t, fs, paths[1], func(b []byte) []byte { b[len(b)/2] ^= 4; return b })
		},
		"cut": func(t *testing.T, fs vfs.FS, paths []string) {
			edit(t, fs, paths[1], func(b []byte) []byte { return b[:len(b)-9] })
		},
		"a byte": func(t *testing.T, fs vfs.FS, paths []string) {
			edit(t, fs, paths[1], func(b []byte) []byte { return b[:1] })
		},
		"another bucket": func(t *testing.T, fs vfs.FS, paths []string) {
			edit(t, fs, paths[1], func([]byte) []byte { return read(t, fs, paths[0]) })
		},
		"gone": func(t *testing.T, fs vfs.FS, paths []string) { require.NoError(t, fs.Remove(paths[1])) },
	}
	for name, harm := range damage {
		t.Run(name, func(t *testing.T) {
			s, j := keptStore(t, nil)
			s.eventually("not kept", func() bool { return s.keptPlanes() == 3 })
			var path string
			var harmed []byte
			content := func(fs vfs.FS) []byte {
				if _, err := fs.Stat(path); err != nil {
					return nil
				}
				return read(t, fs, path)
			}
			s.crashBut(func(fs vfs.FS) {
				var paths []string
				for _, name := range planeFiles(t, fs) {
					paths = append(paths, fs.PathJoin("data", "filters", name))
				}
				harm(t, fs, paths)
				path = paths[1]
				harmed = content(fs)
			})
			s.knowsAll(4 * keptKeys)
			require.Contains(t, j.take(), "from_files=2")
			s.eventually("not written anew", func() bool { return !bytes.Equal(content(s.fs), harmed) })
			s.crash(100, 3)
			s.knowsAll(9 * keptKeys)
			require.Contains(t, j.take(), "from_files=3")
		})
	}
}

// TestPlanesAreSwept: what a crash left behind goes at the next start, and a partition that is dropped takes its files along.
func TestPlanesAreSwept(t *testing.T) {
	s, _ := keptStore(t, nil)
	s.eventually("not kept", func() bool { return s.keptPlanes() == 3 })
	foreign := []string{"00000009.1.plane", "00000001.77.plane", "00000001.2.plane.tmp"}
	s.crashBut(func(fs vfs.FS) {
		for _, name := range append(foreign, "notes.plane") {
			edit(t, fs, fs.PathJoin("data", "filters", name), func([]byte) []byte { return []byte("x") })
		}
	})
	names := planeFiles(t, s.fs)
	require.Len(t, names, 4)
	require.Contains(t, names, "notes.plane", "what is not ours stays")
	require.NoError(t, s.p.Close())
	require.NoError(t, s.e.Drop("t", 0))
	require.Equal(t, []string{"notes.plane"}, planeFiles(t, s.fs))
	p, err := s.e.Partition("t", 0)
	require.NoError(t, err)
	s.p = p
}

// TestPlanesOfOtherKinds: the ring keeps none, and a store that is opened as sliced again makes its own.
func TestPlanesOfOtherKinds(t *testing.T) {
	s, _ := keptStore(t, func(o *engine.Options) { o.Filter = engine.FilterRing })
	s.reopen()
	require.Empty(t, planeFiles(t, s.fs))
	s.opt.Filter = engine.FilterSliced
	s.reopen()
	s.knowsAll(4 * keptKeys)
	s.eventually("not kept", func() bool { return s.keptPlanes() == 3 })
}

// crashBut is a power failure after which harm is done to the disk.
func (s *store) crashBut(harm func(fs vfs.FS)) {
	s.t.Helper()
	fs := s.fs.Crash(100, 1)
	s.abandon()
	harm(fs)
	s.fs, s.opt.FS = fs, fs
	s.open()
}

// edit writes a file anew.
func edit(t *testing.T, fs vfs.FS, path string, change func([]byte) []byte) {
	var old []byte
	if _, err := fs.Stat(path); err == nil {
		old = read(t, fs, path)
	}
	write(t, fs, path, change(old))
}

// TestPlaneThatCannotBeWritten: it is said once a bucket, nothing else is kept up by it, and nothing is left behind.
func TestPlaneThatCannotBeWritten(t *testing.T) {
	for _, op := range []string{"create", "write", "sync", "rename"} {
		t.Run(op, func(t *testing.T) {
			s, j := keptStore(t, func(o *engine.Options) {
				o.FS.(*testutil.FS).OnOp(func(_ int, what string) error {
					if strings.HasPrefix(what, op) && strings.Contains(what, ".plane") {
						return errInjected
					}
					return nil
				})
			})
			said := 0
			s.eventually("not said", func() bool {
				said += strings.Count(j.take(), "could not be kept")
				return said == 3
			})
			s.knowsAll(4 * keptKeys)
			require.NotContains(t, j.take(), "could not be kept")
			s.fs.OnOp(nil)
			require.Empty(t, planeFiles(t, s.fs))
			s.crash(100, 1)
			s.knowsAll(9 * keptKeys)
			require.Contains(t, j.take(), "from_files=0")
		})
	}
}
