package engine_test

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"noecho/engine"
	"noecho/internal/testutil"
)

// TestOrderErrorTakesNothing: a batch out of order is refused whole, with the place.
func TestOrderErrorTakesNothing(t *testing.T) {
	s := openStore(t, testOptions(testutil.NewFS()))
	s.pass(10, 0, "a")
	cases := []struct {
		recs []engine.Record
		want engine.OrderError
	}{
		{batch(-1, 0, "x"), engine.OrderError{Topic: "t", Index: 0, Offset: -1, Previous: -1}},
		{append(batch(20, 0, "x", "y"), batch(21, 0, "z")...), engine.OrderError{Topic: "t", Index: 2, Offset: 21, Previous: 21}},
		{append(batch(20, 0, "x"), batch(5, 0, "z")...), engine.OrderError{Topic: "t", Index: 1, Offset: 5, Previous: 20}},
	}
	for _, c := range cases {
		out, err := s.p.Check(c.recs, nil)
		var bad *engine.OrderError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, c.want, *bad)
		require.Empty(t, out)
	}
	_, to := s.p.Coverage()
	require.Equal(t, int64(11), to)
	s.pass(20, 0, "x", "y", "z")
}

// TestClaims: one handle at a time; what it took in, and did not commit, is there for the next.
func TestClaims(t *testing.T) {
	s := openStore(t, testOptions(testutil.NewFS()))
	s.pass(0, 0, "a")
	_, err := s.e.Partition("t", 0)
	require.ErrorIs(t, err, engine.ErrClaimed)
	require.ErrorContains(t, err, "t/0")
	require.ErrorIs(t, s.e.Drop("t", 0), engine.ErrClaimed)
	old := s.p
	require.NoError(t, old.Close())
	require.NoError(t, old.Close(), "a second Close does nothing")
	closed(t, old)
	s.p, err = s.e.Partition("t", 0)
	require.NoError(t, err)
	s.drop(1, 0, "a")
	s.commit(2)
	require.Equal(t, int64(2), s.p.Committed())
	require.NoError(t, old.Close())
	_, err = s.e.Partition("t", 0)
	require.ErrorIs(t, err, engine.ErrClaimed, "the old handle gave up the new one's claim")
}

// closed wants ErrClosed from every call of a handle.
func closed(t *testing.T, p *engine.Partition) {
	t.Helper()
	_, err := p.Check(batch(100, 0, "x"), nil)
	require.ErrorIs(t, err, engine.ErrClosed)
	require.ErrorIs(t, p.Commit(context.Background(), 101), engine.ErrClosed)
	_, _, err = p.Lookup([]byte("x"))
	require.ErrorIs(t, err, engine.ErrClosed)
	require.ErrorIs(t, p.Forget([]byte("x")), engine.ErrClosed)
	require.ErrorIs(t, p.SetLogID(engine.LogID{1}), engine.ErrClosed)
}

// TestClosedEngine: every call says so, those on handles, too.
func TestClosedEngine(t *testing.T) {
	s := openStore(t, testOptions(testutil.NewFS()))
	e, p := s.e, s.p
	s.pass(0, 0, "a")
	require.NoError(t, e.Close())
	s.e = nil
	closed(t, p)
	_, err := e.Partition("t", 1)
	require.ErrorIs(t, err, engine.ErrClosed)
	require.ErrorIs(t, e.Drop("t", 1), engine.ErrClosed)
	require.ErrorIs(t, e.Close(), engine.ErrClosed)
	require.NoError(t, p.Close())
	require.Equal(t, int64(1), p.Metrics().To)
	require.Equal(t, int64(1), e.Metrics().Keys)
}

// TestDrop: gone at once and for good, and what comes after is fresh.
func TestDrop(t *testing.T) {
	s := openStore(t, engine.Cold(testOptions(testutil.NewFS())))
	s.fill(0, 0, "a", 500)
	s.fill(500, 100, "b", 500)
	s.commit(1000)
	s.reopen() // into the index, with a saved filter
	require.NoError(t, s.p.Close())
	require.NoError(t, s.e.Drop("t", 0))
	require.NoError(t, s.e.Drop("t", 0), "what is not known is dropped already")
	require.Empty(t, s.e.Metrics().Partitions)
	require.Zero(t, s.e.Metrics().Keys)
	var err error
	s.p, err = s.e.Partition("t", 0)
	require.NoError(t, err)
	require.Equal(t, int64(-1), s.p.Committed())
	s.fill(0, 0, "a", 500)
	s.commit(500)
	s.crash(0, 1)
	s.drop(500, 0, "a0", "a499")
	s.pass(502, 0, "b0")
	require.Len(t, s.e.Metrics().Partitions, 1)
}

// TestForget: whether the mark is in the active table, in a sealed one, in an older bucket or in the index alone, its next
// copy passes, and after a commit that holds over a crash. Its neighbours stay.
func TestForget(t *testing.T) {
	places := map[string]struct {
		timestamp int64 // of the records that come between the mark and the Forget
		records   int
		set       func(*engine.Options)
		reopen    bool
	}{
		"active table":           {},
		"sealed table":           {records: 50, set: func(o *engine.Options) { o.TableKeys = 20 }},
		"index, current bucket":  {records: 50, set: func(o *engine.Options) { *o = engine.Cold(*o); o.TableKeys = 20 }},
		"older bucket, table":    {records: 5, timestamp: 300},
		"older bucket, index":    {records: 50, timestamp: 300, set: func(o *engine.Options) { *o = engine.Cold(*o); o.TableKeys = 20 }},
		"index, after a restart": {reopen: true},
	}
	for name, c := range places {
		t.Run(name, func(t *testing.T) {
			o := testOptions(testutil.NewFS())
			if c.set != nil {
				c.set(&o)
			}
			s := openStore(t, o)
			s.pass(0, 0, "gone", "stays")
			next := int64(2)
			if c.records > 0 {
				s.fill(next, c.timestamp, "between", c.records)
				next += int64(c.records)
			}
			if c.reopen {
				s.commit(next)
				s.reopen()
			}
			require.NoError(t, s.p.Forget([]byte("gone")))
			require.NoError(t, s.p.Forget([]byte("gone")), "a second time there is nothing to forget")
			s.forgotten()
			s.commit(next)
			s.crash(0, 1)
			s.forgotten()
			s.reopen()
			s.forgotten()
			s.pass(next, c.timestamp, "gone")
			s.drop(next+1, c.timestamp, "gone", "stays")
		})
	}
}

// forgotten looks both keys up.
func (s *store) forgotten() {
	s.t.Helper()
	_, seen, err := s.p.Lookup([]byte("gone"))
	require.NoError(s.t, err)
	require.False(s.t, seen)
	first, seen, err := s.p.Lookup([]byte("stays"))
	require.NoError(s.t, err)
	require.True(s.t, seen)
	require.Equal(s.t, int64(1), first)
}

// TestForgetMany: notes of older buckets are bounded, so that more than a few thousand are written out in between.
func TestForgetMany(t *testing.T) {
	s := openStore(t, testOptions(testutil.NewFS()))
	old := s.fill(0, 0, "a", 5000)
	s.pass(5000, 100, "b")
	for _, k := range old[1:] {
		require.NoError(t, s.p.Forget([]byte(k)))
	}
	s.commit(5001)
	s.crash(0, 1)
	s.drop(5001, 100, "a0", "b")
	s.pass(5003, 100, old[1:]...)
	require.Equal(t, uint64(5001), s.p.Metrics().Keys)
}

// TestForgetIsReplayedTwice: recovery seals the first part of what the log holds, and a second crash makes it replay all of that
// again, over what it wrote itself. The key's next owner, which came after the Forget, must not be forgotten with it.
func TestForgetIsReplayedTwice(t *testing.T) {
	s := openStore(t, testOptions(testutil.NewFS()))
	s.pass(0, 0, "k")
	require.NoError(t, s.p.Forget([]byte("k")))
	s.pass(1, 0, "k")
	s.fill(2, 100, "x", 300)
	s.commit(302)
	s.opt.TableKeys = 50
	first := s.fs.Crash(0, 1)
	s.abandon()
	s.opt.FS = first
	e, err := engine.Open("data", s.opt)
	require.NoError(t, err)
	s.eventually("not sealed", func() bool { return e.Metrics().SealedMarks >= 300 })
	s.fs = first.Crash(0, 2)
	s.opt.FS = s.fs
	require.NoError(t, e.Close())
	s.open()
	require.Equal(t, int64(1), s.drop(302, 100, "k")[0].First)
}

// TestRefresh: a duplicate renews its key, so that a stream of echoes stays suppressed; without, the window is fixed.
func TestRefresh(t *testing.T) {
	for _, refresh := range []bool{false, true} {
		o := testOptions(testutil.NewFS())
		o.Refresh = refresh
		s := openStore(t, engine.Cold(o))
		s.pass(0, 0, "k")
		s.commit(1)
		s.drop(1, 500, "k")
		s.commit(2)
		s.reopen()
		if refresh {
			require.Equal(t, int64(0), s.drop(2, 1000, "k")[0].First)
		} else {
			s.pass(2, 1000, "k")
		}
	}
}

// TestCommitNeverGoesDown: not in this life and not in the next.
func TestCommitNeverGoesDown(t *testing.T) {
	s := openStore(t, testOptions(testutil.NewFS()))
	require.Equal(t, int64(-1), s.p.Committed())
	s.commit(-5)
	require.Equal(t, int64(-1), s.p.Committed())
	s.fill(0, 0, "a", 10)
	s.commit(8)
	s.commit(3)
	s.commit(-1)
	require.Equal(t, int64(8), s.p.Committed())
	s.crash(0, 1)
	require.Equal(t, int64(8), s.p.Committed())
}

// TestCommitWithoutRecords: the caller may know of more than it has shown.
func TestCommitWithoutRecords(t *testing.T) {
	s := openStore(t, testOptions(testutil.NewFS()))
	start, to := s.p.Coverage()
	require.Zero(t, start+to)
	_, seen, err := s.p.Lookup([]byte("a"))
	require.NoError(t, err)
	require.False(t, seen)
	require.NoError(t, s.p.Forget([]byte("a")))
	out, err := s.p.Check(nil, nil)
	require.NoError(t, err)
	require.Empty(t, out)
	s.commit(100)
	s.crash(0, 1)
	require.Equal(t, int64(100), s.p.Committed())
	s.pass(100, 0, "a")
	start, to = s.p.Coverage()
	require.Equal(t, []int64{100, 101}, []int64{start, to})
	s.again(50, 0, "a") // below the start: nothing is known
}

// TestCommitGivesUp: a caller whose context is done gets its error, and what it asked for may hold all the same.
func TestCommitGivesUp(t *testing.T) {
	s := openStore(t, testOptions(testutil.NewFS()))
	s.pass(0, 0, "a")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, s.p.Commit(ctx, 1), context.Canceled)
	s.commit(0)
	require.Equal(t, int64(1), s.p.Committed())
	s.crash(0, 1)
	s.drop(1, 0, "a")
}

// TestGaps: compaction and transaction markers leave holes; only the order counts.
func TestGaps(t *testing.T) {
	s := openStore(t, testOptions(testutil.NewFS()))
	recs := []engine.Record{{Key: []byte("a"), Offset: 7}, {Key: []byte("b"), Offset: 1000}, {Key: []byte("c"), Offset: math.MaxInt64 - 1}}
	out, err := s.p.Check(recs, nil)
	require.NoError(t, err)
	require.Equal(t, []engine.Verdict{{First: 7}, {First: 1000}, {First: math.MaxInt64 - 1}}, out)
	s.commit(1001)
	s.reopen()
	out, err = s.p.Check(recs, nil)
	require.NoError(t, err)
	for i, v := range out {
		require.Equal(t, engine.Verdict{Kind: engine.Redelivery, First: recs[i].Offset}, v)
	}
	s.again(500, 0, "never seen") // in a hole: nothing is stored
	_, seen, err := s.p.Lookup([]byte("never seen"))
	require.NoError(t, err)
	require.False(t, seen)
}

// TestKeysOfAllSizes: empty, missing, and a megabyte.
func TestKeysOfAllSizes(t *testing.T) {
	for _, hash := range []string{engine.HashXXH3, engine.HashSipHash} {
		o := testOptions(testutil.NewFS())
		o.Hash = hash
		s := openStore(t, o)
		huge := make([]byte, 1<<20)
		other := append([]byte{}, huge...)
		other[1<<19] = 1
		recs := []engine.Record{{Key: nil, Offset: 0}, {Key: huge, Offset: 1}, {Key: []byte{}, Offset: 2}, {Key: other, Offset: 3}, {Key: huge, Offset: 4}}
		dst := make([]engine.Verdict, 1, 10)
		out, err := s.p.Check(recs, dst)
		require.NoError(t, err)
		require.Equal(t, []engine.Verdict{
			{}, {First: 0}, {First: 1}, {Kind: engine.Duplicate, First: 0}, {First: 3}, {Kind: engine.Duplicate, First: 1},
		}, out, "verdicts are appended")
		require.Same(t, &dst[0], &out[0])
	}
}

// TestKindNames: metrics use them as label values.
func TestKindNames(t *testing.T) {
	for want, k := range map[string]engine.Kind{"unique": engine.Unique, "redelivery": engine.Redelivery, "duplicate": engine.Duplicate, "unknown": 9} {
		require.Equal(t, want, k.String())
	}
}

// TestTakenInBefore: a bound of the stream time at which an offset was taken in, for as long as its bucket is there.
func TestTakenInBefore(t *testing.T) {
	o := testOptions(testutil.NewFS())
	s := openStore(t, o)
	delta := o.Window.Milliseconds() / int64(o.Buckets)
	want := func(offset, ms int64, known bool) {
		t.Helper()
		got, ok := s.p.TakenInBefore(offset)
		require.Equal(t, known, ok)
		require.Equal(t, ms, got)
	}
	want(0, 0, false)
	s.pass(10, 5, "a")
	want(9, 0, false)
	want(10, 6, true)
	want(11, 0, false)
	s.pass(20, 3*delta+7, "b")
	want(10, delta, true)
	want(15, delta, true)
	want(20, 3*delta+8, true)
	s.pass(30, 100*delta, "c")
	s.commit(31)
	want(10, 0, false)
	want(30, 100*delta+1, true)
}
