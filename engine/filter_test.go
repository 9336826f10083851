package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"noecho/engine"
	"noecho/internal/testutil"
)

const filterFile = "data/filters/00000001.bloom"

// filtered is a closed store with 2000 keys in 4 buckets, all of them in the index, and its saved filter.
func filtered(t *testing.T, o engine.Options) *store {
	s := openStore(t, o)
	for b := range int64(4) {
		s.fill(500*b, 100*b, key("b", b)+"-", 500)
	}
	s.commit(2000)
	s.close()
	return s
}

// known checks that every key is a duplicate of its owner, and that none of the new ones is.
func (s *store) known() {
	s.t.Helper()
	_, next := s.p.Coverage()
	for b := range int64(4) {
		for i, v := range s.drop(next, 300, keys(key("b", b)+"-", 500)...) {
			require.Equal(s.t, 500*b+int64(i), v.First)
		}
		next += 500
	}
	s.fill(next, 300, "new"+key("", next)+"-", 500)
}

// built waits until the filter is complete.
func (s *store) built() {
	s.eventually("the filter is not rebuilt", func() bool { return !s.p.Metrics().Rebuilding })
}

// TestSavedFilter: a clean restart finds its filter, so that new keys cost no lookup from the first record on.
func TestSavedFilter(t *testing.T) {
	for _, kind := range []string{engine.FilterSliced, engine.FilterRing} {
		o := testOptions(testutil.NewFS())
		o.Filter = kind
		s := filtered(t, o)
		for range 2 {
			s.open()
			require.False(t, s.p.Metrics().Rebuilding)
			_, next := s.p.Coverage()
			s.fill(next, 300, key("new", next)+"-", 500)
			require.Less(t, s.p.Metrics().IndexLookups, uint64(50), "false positives are a few in a hundred")
			s.commit(next + 500)
			s.close()
		}
		s.open()
		s.known()
	}
}

// TestUnusableFilter: whatever is wrong with the file, answers are exact at once, and the filter is built from the index.
func TestUnusableFilter(t *testing.T) {
	spoil := map[string]func(t *testing.T, s *store){
		"missing": func(t *testing.T, s *store) { require.NoError(t, s.fs.Remove(filterFile)) },
		"empty":   func(t *testing.T, s *store) { write(t, s.fs, filterFile, nil) },
		"cut":     func(t *testing.T, s *store) { b := read(t, s.fs, filterFile); write(t, s.fs, filterFile, b[:len(b)/2]) },
		"a bit": func(t *testing.T, s *store) {
			b := read(t, s.fs, filterFile)
			b[len(b)/2] ^= 4
			write(t, s.fs, filterFile, b)
		},
		"of another kind": func(_ *testing.T, s *store) { s.opt.Filter = engine.FilterRing },
		"older than the index": func(t *testing.T, s *store) {
			old := read(t, s.fs, filterFile)
			s.open()
			s.fill(2000, 300, "more", 100)
			s.close()
			write(t, s.fs, filterFile, old)
		},
	}
	for name, spoil := range spoil {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := filtered(t, testOptions(testutil.NewFS()))
			spoil(t, s)
			s.open()
			s.known()
			s.built()
			s.known()
			before := s.p.Metrics().IndexLookups
			_, next := s.p.Coverage()
			s.fill(next, 300, "fresh", 500)
			require.Less(t, s.p.Metrics().IndexLookups-before, uint64(25))
			s.reopen()
			require.False(t, s.p.Metrics().Rebuilding, "the new filter was not saved")
		})
	}
}

// TestFilterOfAPartlySealedFrame: recovery may seal the first part of a frame and evict it before the partition is claimed. The
// number of frames in the index is then what it was when the filter was saved, and the filter lacks those marks all the same.
func TestFilterOfAPartlySealedFrame(t *testing.T) {
	o := engine.Cold(testOptions(testutil.NewFS()))
	o.Trail = false // its blocks count as memory of the tables
	s := filtered(t, o)
	s.open()
	late := s.fill(2000, 300, "late", 300) // one frame, which the commit makes durable
	s.commit(2300)
	fs := s.fs.Crash(0, 1)
	s.abandon()
	s.fs, s.opt.FS, s.opt.TableKeys = fs, fs, 200 // a table is full in the middle of the frame
	e, err := engine.Open("data", s.opt)
	require.NoError(t, err)
	s.eventually("nothing is sealed and evicted", func() bool {
		m := e.Metrics()
		return m.SealedMarks == 200 && m.TableBytes < 20<<10 // the page of the rest
	})
	s.e = e
	s.p, err = e.Partition("t", 0)
	require.NoError(t, err)
	s.drop(2300, 300, late...)
	s.known()
}

// TestPlanesOutnumbered: with more buckets than planes, neighbours share one. The verdicts are the same.
func TestPlanesOutnumbered(t *testing.T) {
	for _, buckets := range []int{1, 6, 7, 24, 100} {
		for _, kind := range []string{engine.FilterSliced, engine.FilterRing} {
			t.Run(fmt.Sprintf("buckets=%d/%s", buckets, kind), func(t *testing.T) {
				t.Parallel()
				o := engine.Cold(testOptions(testutil.NewFS()))
				o.Window, o.Buckets, o.Filter, o.TableKeys = time.Duration(buckets)*10*time.Millisecond, buckets, kind, 50
				s := openStore(t, o)
				for b := range int64(3 * buckets) {
					s.pass(20*b, 10*b, keys(key("b", b)+"-", 10)...)
					if old := b - int64(buckets); old >= 0 { // just inside the window
						s.drop(20*b+10, 10*b, keys(key("b", old)+"-", 5)...)
					}
					if old := b - int64(buckets) - 1; old >= 0 { // just outside
						s.pass(20*b+15, 10*b, keys(key("b", old)+"-", 5)...)
					}
					s.commit(20*b + 20)
				}
				require.LessOrEqual(t, len(s.p.Metrics().Buckets), buckets+1)
			})
		}
	}
}

// TestPlanesRunOut: commits lag far behind, so that no bucket dies and all planes are taken. The answers stay exact, and when
// the commit comes at last, everything is given back.
func TestPlanesRunOut(t *testing.T) {
	for _, kind := range []string{engine.FilterSliced, engine.FilterRing} {
		t.Run(kind, func(t *testing.T) {
			o := testOptions(testutil.NewFS())
			o.Filter = kind
			s := openStore(t, o)
			const lag = 40
			for b := range int64(lag) {
				s.pass(10*b, 100*b, keys(key("b", b)+"-", 10)...)
			}
			require.Len(t, s.p.Metrics().Buckets, lag)
			s.again(0, 0, keys("b0-", 10)...)
			s.drop(10*lag, 100*(lag-1), keys(key("b", lag-7)+"-", 10)...)
			s.pass(10*lag+10, 100*(lag-1), keys(key("b", lag-8)+"-", 10)...)
			s.commit(10*lag + 20)
			require.Len(t, s.p.Metrics().Buckets, 7)
			for b := range int64(20) { // the planes are free again
				next := 1000 + 20*b
				s.pass(next, 100*(lag+b), keys(key("c", b)+"-", 10)...)
				s.drop(next+10, 100*(lag+b), keys(key("c", b)+"-", 10)...)
				s.commit(next + 20)
			}
		})
	}
}

func read(t *testing.T, fs vfs.FS, path string) []byte {
	f, err := fs.Open(path)
	require.NoError(t, err)
	defer f.Close()
	info, err := f.Stat()
	require.NoError(t, err)
	b := make([]byte, info.Size())
	_, err = f.ReadAt(b, 0)
	require.NoError(t, err)
	return b
}

func write(t *testing.T, fs vfs.FS, path string, b []byte) {
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	_, err = f.Write(b)
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
}
