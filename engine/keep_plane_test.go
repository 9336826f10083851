package engine_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

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

// sharedStore has twelve buckets to a window, so that two share a plane, and keys of its own in buckets 0 to 3.
func sharedStore(t *testing.T) (s *store, j *journal, next int64) {
	j = new(journal)
	o := engine.Cold(testOptions(testutil.NewFS()))
	o.Buckets, o.Window, o.ExpectedKeys = 12, 1200*time.Millisecond, 12*keptKeys
	o.TableKeys, o.Logger = 200, slog.New(slog.NewTextHandler(j, nil))
	s = openStore(t, o)
	for b := range int64(4) {
		s.fill(next, 100*b+50, key("b", b)+"-", keptKeys)
		next += keptKeys
		s.fill(next, 100*(b+1)+1, key("first of ", b+1), 1)
		next++
		s.commit(next)
		if b%2 == 0 { // its neighbour is not in the filter yet, so it has the plane to itself
			s.eventually("not kept", func() bool { return slices.Contains(planeFiles(t, s.fs), fmt.Sprintf("00000001.%d.plane", b)) })
		}
	}
	s.fill(next, 1350, "later", 1)
	next++
	s.commit(next) // bucket 0 dies; those that share planes are paired anew at the next start
	s.eventually("bucket 0 lives", func() bool { return !slices.Contains(planeFiles(t, s.fs), "00000001.0.plane") })
	return s, j, next
}

// TestPlanesThatAreShared: a file that is no good must not take the keys of the bucket along that shares the plane.
func TestPlanesThatAreShared(t *testing.T) {
	refused := map[string]func(fs *testutil.FS){
		"good": func(*testutil.FS) {},
		"damaged": func(fs *testutil.FS) {
			edit(t, fs, fs.PathJoin("data", "filters", "00000001.2.plane"), func(b []byte) []byte { b[len(b)/2] ^= 4; return b })
		},
		"cut": func(fs *testutil.FS) {
			edit(t, fs, fs.PathJoin("data", "filters", "00000001.2.plane"), func(b []byte) []byte { return b[:len(b)-5] })
		},
	}
	for name, harm := range refused {
		t.Run(name, func(t *testing.T) {
			s, j, next := sharedStore(t)
			s.crashBut(func(fs vfs.FS) { harm(fs.(*testutil.FS)) })
			s.eventually("the filter is still being rebuilt", func() bool { return !s.p.Metrics().Rebuilding })
			require.Equal(t, name != "good", strings.Contains(j.take(), "is not used"))
			for b := range int64(4) {
				if b == 0 {
					continue // dead
				}
				s.drop(next, 1350, keys(key("b", b)+"-", keptKeys)...)
				next += keptKeys
			}
		})
	}
}

// TestPlaneOfBucketThatGoesOn: a crash takes back that a bucket has ended, and what would have ended it does not come again. So there must
// be no file of it: it gets keys that the file would not have.
func TestPlaneOfBucketThatGoesOn(t *testing.T) {
	for _, percent := range []int{0, 100} {
		t.Run(fmt.Sprint(percent), func(t *testing.T) {
			const forgotten = 50
			o := engine.Cold(testOptions(testutil.NewFS()))
			o.TableKeys, o.ExpectedKeys = 200, 6*1500
			s := openStore(t, o)
			s.fill(0, 50, "a", keptKeys)
			for _, k := range keys("a", forgotten) {
				require.NoError(t, s.p.Forget([]byte(k)))
			}
			s.fill(keptKeys, 50, "fill up", 150)
			next := int64(keptKeys + 150)
			s.commit(next)
			s.fill(next, 150, "of the next bucket", 1) // not committed
			s.eventually("not sealed", func() bool { return s.e.Metrics().Unsealed == 0 })
			time.Sleep(20 * time.Millisecond) // the planter would have written it
			require.Empty(t, planeFiles(t, s.fs))
			s.crash(0, 1)
			s.fill(next+1, 60, "late", 2*forgotten) // offset next is gone from the log
			next += 1 + 2*forgotten
			s.fill(next, 150, "of the next bucket", 1)
			s.commit(next + 1)
			s.eventually("not sealed", func() bool { return s.e.Metrics().Unsealed == 0 })
			time.Sleep(20 * time.Millisecond) // from here on there may be a file
			s.crash(percent, 2)
			s.eventually("the filter is still being rebuilt", func() bool { return !s.p.Metrics().Rebuilding })
			s.drop(next+100, 150, keys("late", 2*forgotten)...)
		})
	}
}

// TestRandomHistoriesWithDamagedPlanes: as TestRandomHistories, and now and then a file of the filter is damaged while the machine is down.
func TestRandomHistoriesWithDamagedPlanes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := randomOptions(rt, testutil.NewFS())
		o.Filter, o.ExpectedKeys = engine.FilterSliced, rapid.SampledFrom([]int64{0, 30, 3000}).Draw(rt, "expected")
		seed := rapid.Uint64().Draw(rt, "seed")
		rng := rand.New(rand.NewPCG(seed, 9))
		h := newHistory(rand.New(rand.NewPCG(seed, 7)), o)
		s := openStore(quiet{t, rt}, o)
		for i, step := range rapid.SliceOfN(rapid.IntRange(0, 99), 20, 60).Draw(rt, "steps") {
			if step < 78 || step >= 88 {
				h.step(rt, s, step, uint64(i))
				continue
			}
			time.Sleep(time.Millisecond) // the planter may finish a file
			s.crashBut(func(fs vfs.FS) { damagePlane(t, fs, rng) })
			h.redeliver(max(0, s.p.Committed()))
			if step%3 > 0 {
				s.eventually("the filter is still being rebuilt", func() bool { return !s.p.Metrics().Rebuilding })
			}
		}
		h.verify(rt, s)
		s.close()
	})
}

// damagePlane flips a bit in one of the files, if there is one.
func damagePlane(t *testing.T, fs vfs.FS, rng *rand.Rand) {
	names := slices.DeleteFunc(planeFiles(t, fs), func(name string) bool { return strings.HasSuffix(name, ".tmp") })
	if len(names) == 0 || rng.IntN(2) == 0 {
		return
	}
	edit(t, fs, fs.PathJoin("data", "filters", names[rng.IntN(len(names))]), func(b []byte) []byte {
		b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		return b
	})
}
