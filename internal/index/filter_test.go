package index

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// TestRunFilter: no key that was added is missed, whatever its kind, and few of
// the others come through.
func TestRunFilter(t *testing.T) {
	for _, c := range []struct {
		f           runFilter
		least, most int // of 100,000 keys that are not there
	}{{newRunFilter, 600, 2000}, {oldRunFilter, 1800, 4500}} {
		for _, n := range []int{1, 51, 52, 63, 64, 65, 1000, 100_000} {
			t.Run(fmt.Sprintf("%s/%d", c.f.Name(), n), func(t *testing.T) {
				wrong := falsePositives(t, c.f, n)
				require.Less(t, wrong, c.most)
				if n >= 1000 {
					require.Greater(t, wrong, c.least, "too good for its bits")
				}
			})
		}
	}
}

func falsePositives(t *testing.T, f runFilter, n int) (wrong int) {
	rng := rand.New(rand.NewPCG(1, 1))
	w := f.NewWriter(sstable.TableFilter)
	var keys [][]byte
	for i := range n {
		key := markKey(1, 1, rng.Uint64(), rng.Uint64())
		if i%100 == 99 {
			key = appendMetaKey(nil, key[:i%20])
		}
		keys = append(keys, key)
		w.AddKey(key)
	}
	filter := w.Finish([]byte("before"))
	require.Equal(t, "before", string(filter[:6]))
	filter = filter[6:]
	perLine := 512 / f.bits
	require.Len(t, filter, (n+perLine-1)/perLine*64)
	for _, k := range keys {
		require.True(t, f.MayContain(sstable.TableFilter, filter, k))
	}
	for range 100_000 {
		if f.MayContain(sstable.TableFilter, filter, markKey(1, 1, rng.Uint64(), rng.Uint64())) {
			wrong++
		}
	}
	return wrong
}

// TestRunFilterEmpty: a filter without lines says maybe, it must never say no.
func TestRunFilterEmpty(t *testing.T) {
	require.Empty(t, newRunFilter.NewWriter(sstable.TableFilter).Finish(nil))
	require.True(t, newRunFilter.MayContain(sstable.TableFilter, nil, markKey(1, 1, 1, 1)))
}

// TestRunsWithOldFilters: tables of a store that was made before are asked by the filter that they have.
func TestRunsWithOldFilters(t *testing.T) {
	fs := vfs.NewMem()
	rng := rand.New(rand.NewPCG(3, 3))
	m := newModel()
	grow := func(x *Index) {
		s := step{entries: map[mark]int64{}}
		for range 300 {
			s.entries[mark{1, 7, rng.Uint64(), rng.Uint64()}] = rng.Int64N(1 << 40)
		}
		require.NoError(t, s.do(x))
		m = s.apply(m)
	}
	x, err := Open("store", Options{FS: fs, tune: func(p *pebble.Options) {
		manual(p)
		p.Levels[0].FilterPolicy = oldRunFilter
	}})
	require.NoError(t, err)
	grow(x)
	grow(x)
	require.NoError(t, x.Close())

	x = open(t, Options{FS: fs, tune: manual})
	asked := func() int64 { m := x.db.Metrics().Filter; return m.Hits + m.Misses }
	requireState(t, x, m)
	old := asked()
	require.Positive(t, old, "nobody asked the old filters")
	grow(x)
	requireState(t, x, m)
	require.Greater(t, asked(), old)
}
