package index

import (
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"
)

// stackRuns ingests n runs of a bucket that overlap each other, of keys each.
func stackRuns(t *testing.T, x *Index, m model, bucket uint64, n, keys int) {
	t.Helper()
	for i := range n {
		es := randomEntries(bucket<<32|uint64(len(m.marks)+i), keys, 1)
		require.NoError(t, x.Ingest(ctxb, []Run{run(1, bucket, es...)}, nil))
		for _, e := range es {
			m.marks[mark{1, bucket, e.Hi, e.Lo}] = e.Offset
		}
	}
}

// stacked returns how many tables of a bucket lie above the last level.
func stacked(t *testing.T, x *Index, bucket uint64) (n int) {
	t.Helper()
	levels, err := x.db.SSTables()
	require.NoError(t, err)
	for level, tables := range levels {
		require.True(t, len(tables) == 0 || level == 0 || level == lastLevel, "tables in level %d", level)
		for i := range tables {
			if _, b, _, _, ok := decodeKey(tables[i].Smallest.UserKey); ok && b == bucket && level == 0 {
				n++
			}
		}
	}
	return n
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 30*time.Second, time.Millisecond, what)
}

// TestSettle: runs stay stacked while their bucket may get more, and are merged
// when it has ended; late marks are merged when they are many.
func TestSettle(t *testing.T) {
	x := open(t, Options{FS: leaks(t)})
	m := newModel()
	stackRuns(t, x, m, 1, 9, 1000)
	stackRuns(t, x, m, 1, 1, 1000)
	require.Equal(t, 9, stacked(t, x, 1), "the first run went straight to the bottom")

	// Late marks of the old bucket in the same seal: it goes on.
	late, first := randomEntries(98, 10, 1), randomEntries(99, 10, 1)
	require.NoError(t, x.Ingest(ctxb, []Run{run(1, 1, late...), run(1, 2, first...)}, nil))
	require.Equal(t, 10, stacked(t, x, 1))
	stackRuns(t, x, m, 2, 3, 1000)
	eventually(t, "the old bucket is merged", func() bool { return stacked(t, x, 1) == 0 })
	require.Equal(t, 3, stacked(t, x, 2), "the new one is not")
	for _, e := range late {
		m.marks[mark{1, 1, e.Hi, e.Lo}] = e.Offset
	}
	for _, e := range first {
		m.marks[mark{1, 2, e.Hi, e.Lo}] = e.Offset
	}
	requireState(t, x, m)

	// Another partition does not end the buckets of this one.
	require.NoError(t, x.Ingest(ctxb, []Run{run(2, 9, Entry{1, 1, 1})}, nil))
	m.marks[mark{2, 9, 1, 1}] = 1
	stackRuns(t, x, m, 1, 2, 100) // late, 2 of 100
	stackRuns(t, x, m, 2, 1, 1)
	stackRuns(t, x, m, 2, 1, 1)
	require.Equal(t, 2, stacked(t, x, 1), "a few late marks are left where they are")
	stackRuns(t, x, m, 1, 4, 1000)
	stackRuns(t, x, m, 2, 1, 1)
	eventually(t, "many late marks are merged", func() bool { return stacked(t, x, 1) == 0 })
	require.GreaterOrEqual(t, stacked(t, x, 2), 3)
	requireState(t, x, m)
}

// TestSettleAfterOpen: what was stacked when the store was closed is merged when
// its bucket ends after that.
func TestSettleAfterOpen(t *testing.T) {
	fs := leaks(t)
	x, err := Open("store", Options{FS: fs})
	require.NoError(t, err)
	m := newModel()
	stackRuns(t, x, m, 1, 5, 1000)
	stackRuns(t, x, m, 2, 5, 1000)
	require.NoError(t, x.Close())
	x = open(t, Options{FS: fs})
	require.Equal(t, 4, stacked(t, x, 2))
	stackRuns(t, x, m, 3, 1, 10)
	eventually(t, "both are merged", func() bool { return stacked(t, x, 1)+stacked(t, x, 2) == 0 })
	requireState(t, x, m)
}

// TestSettleDeepAfterOpen: a stack that was too deep when the store was closed is merged although nothing comes any more. Sealing may
// be waiting for that.
func TestSettleDeepAfterOpen(t *testing.T) {
	fs := leaks(t)
	x, err := Open("store", Options{FS: fs})
	require.NoError(t, err)
	m := newModel()
	stackRuns(t, x, m, 1, 12, 1000)
	require.NoError(t, x.Close())
	x = open(t, Options{FS: fs, mergeDepth: 5})
	eventually(t, "merged", func() bool { return stacked(t, x, 1) == 0 })
	require.NoError(t, x.WaitL0(ctxb, 0))
	requireState(t, x, m)
}

// TestSettleDepth: a bucket that grows and grows is merged before it ends.
func TestSettleDepth(t *testing.T) {
	x := open(t, Options{FS: leaks(t), mergeDepth: 8})
	m := newModel()
	for range 40 {
		require.NoError(t, x.WaitL0(ctxb, 0))
		stackRuns(t, x, m, 1, 1, 100)
		require.LessOrEqual(t, x.Metrics().L0Sublevels, 17)
	}
	eventually(t, "merged by depth", func() bool { return x.Metrics().L0Sublevels < 12 })
	requireState(t, x, m)
}

// TestSettlerDoubles: a bucket that grows without an end is rewritten a few times only, and what came in while it was is still
// stacked after it.
func TestSettlerDoubles(t *testing.T) {
	const depth, all = 8, 1000
	s := newSettler(depth)
	ingest := func() { s.ingested([]Run{{Partition: 1, Bucket: 1}}, []int64{10}, false) }
	rewritten, merges := int64(0), 0
	for range all {
		ingest()
		_, _, h := s.next()
		if h == nil {
			continue
		}
		require.GreaterOrEqual(t, h.runs, depth)
		require.LessOrEqual(t, h.runs, depth+depth/2)
		s.begin(h)
		rewritten += h.stacked + h.settled
		merges++
		ingest()
		s.merged(h, true)
		require.Equal(t, 1, h.runs)
		require.EqualValues(t, 10, h.stacked)
		require.False(t, h.due)
	}
	require.Equal(t, heap{runs: s.parts[1][1].runs, stacked: s.parts[1][1].stacked, settled: 10 * int64(all+merges-s.parts[1][1].runs)}, *s.parts[1][1])
	require.Less(t, merges, (all+merges)/depth)

	s = newSettler(depth)
	for range 3*depth + depth/2 - 1 {
		ingest()
		if _, _, h := s.next(); h != nil {
			s.begin(h)
			s.merged(h, true)
			merges--
		}
	}
	require.EqualValues(t, 10*2*depth, s.parts[1][1].settled, "at depth and at twice depth, and not at each depth after that")
}

// TestSettleFullDisk: a merge that fails is tried again, without haste.
func TestSettleFullDisk(t *testing.T) {
	var full atomic.Bool
	full.Store(true)
	x := open(t, Options{FS: errorfs.Wrap(leaks(t), fullDisk(&full))})
	m := newModel()
	stackRuns(t, x, m, 1, 5, 100)
	stackRuns(t, x, m, 2, 2, 100)
	eventually(t, "two failures", func() bool { return x.Metrics().BackgroundErrors >= 2 })
	require.Less(t, x.Metrics().BackgroundErrors, uint64(10))
	require.Equal(t, 4, stacked(t, x, 1))
	full.Store(false)
	eventually(t, "merged", func() bool { return stacked(t, x, 1) == 0 })
	requireState(t, x, m)
}

// TestSettleDropped: a bucket that is dropped before its turn costs nothing.
func TestSettleDropped(t *testing.T) {
	x := open(t, Options{FS: leaks(t)})
	stackRuns(t, x, newModel(), 1, 5, 100)
	require.NoError(t, x.DropBuckets(ctxb, 1, 0, 2))
	m := newModel()
	stackRuns(t, x, m, 2, 2, 100)
	eventually(t, "nothing due", func() bool { _, _, h := x.settler.next(); return h == nil })
	require.Zero(t, x.Metrics().Compactions)
	requireState(t, x, m)
}

// TestSettlerForgets: what the settler remembers is bounded.
func TestSettlerForgets(t *testing.T) {
	s := newSettler(mergeDepth)
	for b := range uint64(1000) {
		s.ingested([]Run{{Partition: 1, Bucket: b}}, []int64{5}, false)
	}
	require.Len(t, s.parts[1], maxHeaps)
	for b := range s.parts[1] {
		require.GreaterOrEqual(t, b, uint64(1000-maxHeaps))
	}
	_, bucket, h := s.next()
	require.Equal(t, uint64(1000-maxHeaps), bucket, "the oldest first")
	s.begin(h)
	s.merged(h, true)
	require.Equal(t, heap{settled: 5}, *h)
	_, bucket, h = s.next()
	require.Equal(t, uint64(1001-maxHeaps), bucket)
	s.begin(h)
	s.merged(h, false)
	require.Equal(t, heap{runs: 1, stacked: 5, due: true}, *h)
	// A mark of long ago is forgotten at once, and harms nothing.
	s.ingested([]Run{{Partition: 1, Bucket: 3}}, []int64{1}, false)
	require.NotContains(t, s.parts[1], uint64(3))
	s.ingested([]Run{{Partition: 1, Bucket: math.MaxUint64}}, []int64{1}, false)
	require.Len(t, s.parts[1], maxHeaps)
}

// TestStackedRunsAreFiltered: a key that is not there reads the filters of a stack,
// and hardly any block.
func TestStackedRunsAreFiltered(t *testing.T) {
	x := open(t, Options{FS: leaks(t), CacheBytes: 1 << 20, tune: func(p *pebble.Options) { manual(p) }})
	m := newModel()
	stackRuns(t, x, m, 1, 17, 1000)
	r, err := x.Reader()
	require.NoError(t, err)
	defer r.Close()
	before := x.db.Metrics().Filter
	const absent = 1000
	for _, e := range randomEntries(1234567, absent, 1) {
		_, ok, err := r.Get(1, 1, e.Hi, e.Lo)
		require.NoError(t, err)
		require.False(t, ok)
	}
	after := x.db.Metrics().Filter
	require.Less(t, after.Misses-before.Misses, int64(absent*16*45/1000), "of %d", absent*16)
	require.Greater(t, after.Hits-before.Hits, int64(absent*16*95/100))
}

// TestDeepRunsHaveNoFilters: a stack's first runs have filters, those above them none; what is in either is found, and what is not is not.
func TestDeepRunsHaveNoFilters(t *testing.T) {
	x := open(t, Options{FS: leaks(t), filteredRuns: 5, tune: func(p *pebble.Options) { manual(p) }})
	m := newModel()
	stackRuns(t, x, m, 1, 17, 100)
	requireState(t, x, m)
	levels, err := x.db.SSTables(pebble.WithProperties())
	require.NoError(t, err)
	filtered, bare := 0, 0
	for _, table := range levels[0] {
		if _, _, _, _, mark := decodeKey(table.Smallest.UserKey); !mark {
			continue
		}
		if table.Properties.FilterSize > 0 {
			filtered++
		} else {
			bare++
		}
	}
	require.Equal(t, 4, filtered, "the first run lies in L6")
	require.Equal(t, 12, bare)
}

// TestMetasAreMerged: each Ingest stacks a table of metas onto the one before. They do not grow into the deepest stack of the store.
func TestMetasAreMerged(t *testing.T) {
	x := open(t, Options{FS: leaks(t)})
	m := newModel()
	for i := range 5 * metaDepth {
		require.NoError(t, x.Ingest(ctxb, []Run{run(1, 1, Entry{uint64(i), 1, int64(i)})}, []Meta{{Key: []byte("state"), Value: []byte{byte(i)}}}))
		m.marks[mark{1, 1, uint64(i), 1}] = int64(i)
	}
	m.metas["state"] = string([]byte{5*metaDepth - 1})
	metas := func() (n int) {
		levels, err := x.db.SSTables()
		require.NoError(t, err)
		for i := range levels[0] {
			if _, _, _, _, mark := decodeKey(levels[0][i].Smallest.UserKey); !mark {
				n++
			}
		}
		return n
	}
	eventually(t, "metas are merged", func() bool { return metas() < metaDepth })
	requireState(t, x, m)
}

// TestCloseWhileMerging: Close comes at any moment of a merge that is wanted, picked or under way.
func TestCloseWhileMerging(t *testing.T) {
	fs := leaks(t)
	for i := range 40 {
		x, err := Open("data", Options{FS: fs})
		require.NoError(t, err)
		for n := range 3 * metaDepth {
			id := uint64(i)<<8 | uint64(n)
			runs := []Run{run(1, uint64(i)<<8|uint64(n/4), Entry{id, 1, 1})}
			require.NoError(t, x.Ingest(ctxb, runs, []Meta{{Key: []byte("state"), Value: []byte{1}}}))
		}
		time.Sleep(time.Duration(i%8) * 200 * time.Microsecond)
		require.NoError(t, x.Close())
	}
}
