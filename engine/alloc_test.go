//go:build !race && !invariants

package engine_test

import (
	"context"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"noecho/engine"
	"noecho/internal/testutil"
)

// stream makes batches in the same memory again and again. Keys are numbers.
type stream struct {
	recs     []engine.Record
	verdicts []engine.Verdict
	next     int64 // offset
	fresh    uint64
}

func newStream(n int) *stream {
	s := &stream{recs: make([]engine.Record, n), verdicts: make([]engine.Verdict, 0, n)}
	for i := range s.recs {
		s.recs[i].Key = make([]byte, 8)
	}
	return s
}

// news fills the batch with new keys.
func (s *stream) news() []engine.Record {
	for i := range s.recs {
		binary.LittleEndian.PutUint64(s.recs[i].Key, s.fresh)
		s.fresh++
	}
	return s.copies()
}

// copies moves the batch to new offsets.
func (s *stream) copies() []engine.Record {
	for i := range s.recs {
		s.recs[i].Offset = s.next
		s.next++
	}
	return s.recs
}

func (s *stream) check(t testing.TB, p *engine.Partition, recs []engine.Record, want engine.Kind) {
	var err error
	if s.verdicts, err = p.Check(recs, s.verdicts[:0]); err != nil {
		t.Fatal(err)
	}
	for _, v := range s.verdicts {
		if v.Kind != want {
			t.Fatalf("%v, want %v", v.Kind, want)
		}
	}
}

// warm is a store whose page pool, filter and buffers have grown as far as the tests will need: its first bucket of time was
// as large as all of them, and is dead.
func warm(t testing.TB, st *stream, filter string) *store {
	o := testOptions(testutil.NewFS())
	o.Filter, o.MemoryBytes, o.SegmentBytes, o.WALBytes = filter, 64<<20, 16<<20, 64<<20
	o.TableKeys = 1 << 30 // no seal while we count: tables and pages are only filled
	s := openStore(t, o)
	for range 4 { // the log has two buffers
		for range 220 { // more than the tests do between two commits
			st.check(t, s.p, st.news(), engine.Unique)
		}
		s.commit(st.next)
	}
	for i := range st.recs {
		st.recs[i].Timestamp = 10_000
	}
	for range 2 {
		st.check(t, s.p, st.news(), engine.Unique)
		s.commit(st.next)
	}
	s.eventually("the pages of the dead bucket are not back", func() bool { return s.e.Metrics().TableBytes < 1<<20 })
	for _, b := range s.p.Metrics().Buckets {
		require.Equal(t, int64(10_000), b.StartMs)
	}
	return s
}

// TestCheckAllocatesNothing: new keys, recent copies and redelivered records; also while a table's directory doubles.
func TestCheckAllocatesNothing(t *testing.T) {
	for _, filter := range []string{engine.FilterSliced, engine.FilterRing} {
		t.Run(filter, func(t *testing.T) {
			st := newStream(256)
			s := warm(t, st, filter)
			none := func(what string, f func()) {
				t.Helper()
				least := 1.0
				for range 3 { // something else in the process may allocate, but not each time
					least = min(least, testing.AllocsPerRun(1, func() { // not 100: it would divide by that, and forget some
						for range 50 {
							f()
						}
					}))
				}
				require.Zero(t, least, what)
			}
			none("new", func() { st.check(t, s.p, st.news(), engine.Unique) })
			none("recent copy", func() { st.check(t, s.p, st.copies(), engine.Duplicate) })
			st.check(t, s.p, st.news(), engine.Unique)
			none("redelivery", func() { st.check(t, s.p, st.recs, engine.Redelivery) })
		})
	}
}

// TestTableAllocatesNothing: a table that grows as large as one before it, directory, pages and trail.
func TestTableAllocatesNothing(t *testing.T) { require.Zero(t, engine.TableAllocs(100_000)) }

// TestCommitAllocatesNothing, on the real file system: the one in memory allocates by itself.
func TestCommitAllocatesNothing(t *testing.T) {
	o := diskOptions()
	o.SegmentBytes, o.WALBytes, o.TableKeys = 4<<20, 16<<20, 1<<30
	e, err := engine.Open(t.TempDir(), o)
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	p, err := e.Partition("t", 0)
	require.NoError(t, err)
	st, ctx := newStream(64), context.Background()
	st.check(t, p, st.news(), engine.Unique)
	commit := func() {
		st.check(t, p, st.copies(), engine.Duplicate)
		if err := p.Commit(ctx, st.next); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		commit()
	}
	require.Zero(t, testing.AllocsPerRun(50, commit))
}

// TestIndexLookupAllocatesNothing: a copy of a key that only the index holds.
func TestIndexLookupAllocatesNothing(t *testing.T) {
	o := engine.Cold(testOptions(testutil.NewFS()))
	o.TableKeys, o.Trail = 256, false
	s := openStore(t, o)
	st := newStream(256)
	st.check(t, s.p, st.news(), engine.Unique)
	s.eventually("not sealed", func() bool { return s.e.Metrics().Seals > 0 && s.e.Metrics().TableBytes == 0 })
	require.Zero(t, testing.AllocsPerRun(20, func() { st.check(t, s.p, st.copies(), engine.Duplicate) }))
	require.GreaterOrEqual(t, s.p.Metrics().IndexLookups, uint64(21*256))
}

// TestLookupsAheadAllocateNothing: the same, with the lookups done side by side first.
func TestLookupsAheadAllocateNothing(t *testing.T) {
	o := engine.Ahead(engine.Cold(testOptions(testutil.NewFS())))
	o.TableKeys, o.Trail = 256, false
	s := openStore(t, o)
	st := newStream(256)
	st.check(t, s.p, st.news(), engine.Unique)
	s.eventually("not sealed", func() bool { return s.e.Metrics().Seals > 0 && s.e.Metrics().TableBytes == 0 })
	for range 40 {
		st.check(t, s.p, st.copies(), engine.Duplicate) // the iterators of all workers are in Pebble's pool
	}
	require.Zero(t, testing.AllocsPerRun(20, func() { st.check(t, s.p, st.copies(), engine.Duplicate) }))
	require.Greater(t, s.p.Metrics().LookupsAhead, uint64(50*256))
}

// TestStormAllocatesNothing, once the cache and the buffers are there.
func TestStormAllocatesNothing(t *testing.T) {
	s := stormed(t, nil)
	s.storm(stormKeys, 200)
	recs, out := batch(2*stormKeys, 200, keys("a", stormKeys/2)...), make([]engine.Verdict, 0, stormKeys/2)
	require.Zero(t, testing.AllocsPerRun(20, func() {
		var err error
		if out, err = s.p.Check(recs, out[:0]); err != nil {
			t.Fatal(err)
		}
		for i := range recs {
			recs[i].Offset += int64(len(recs))
		}
	}))
	require.NoError(t, s.p.Commit(context.Background(), s.p.Committed()))
}
