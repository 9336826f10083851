package engine_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"noecho/engine"
	"noecho/internal/testutil"
)

// shrinks collects the events of a store.
type shrinks struct {
	sync.Mutex
	all []engine.WindowShrunk
}

func (s *shrinks) add(w engine.WindowShrunk) {
	s.Lock()
	defer s.Unlock()
	s.all = append(s.all, w)
}

func (s *shrinks) list() []engine.WindowShrunk {
	s.Lock()
	defer s.Unlock()
	return append([]engine.WindowShrunk(nil), s.all...)
}

// boundStore is a store of at most maxKeys keys, 6 buckets of 100 ms.
func boundStore(t *testing.T, maxKeys int64) (*store, *shrinks) {
	o, events := testOptions(testutil.NewFS()), new(shrinks)
	o.MaxKeys = maxKeys
	o.Events.WindowShrunk = events.add
	return openStore(t, o), events
}

// fill takes in n new keys at a time and returns them.
func (s *store) fill(offset, timestamp int64, prefix string, n int) []string {
	ks := keys(prefix, n)
	s.pass(offset, timestamp, ks...)
	return ks
}

// settled waits until the store is inside its bound.
func (s *store) settled(maxKeys int64) {
	s.eventually("the store is over its bound", func() bool { return s.e.Metrics().Keys <= maxKeys })
}

// TestMaxKeysShrinksTheWindow: the oldest buckets go, which is said, and what remains is still deduplicated.
func TestMaxKeysShrinksTheWindow(t *testing.T) {
	s, events := boundStore(t, 100)
	old := s.fill(0, 0, "a", 60)
	mid := s.fill(60, 100, "b", 30)
	s.commit(90)
	require.Empty(t, events.list())
	require.Equal(t, 600*time.Millisecond, s.p.Metrics().EffectiveWindow)
	cur := s.fill(90, 200, "c", 30)
	s.settled(100)
	require.Equal(t, []engine.WindowShrunk{{Topic: "t", Keys: 60, Effective: 100 * time.Millisecond}}, events.list())
	require.Equal(t, uint64(1), s.e.Metrics().Shrunk)
	require.Equal(t, 100*time.Millisecond, s.p.Metrics().EffectiveWindow)
	s.drop(120, 200, mid...)
	s.drop(150, 200, cur...)
	s.pass(180, 200, old[:20]...)
	s.drop(200, 200, old[:20]...)
	require.Len(t, events.list(), 1)
}

// TestWindowGrowsBack: once the floor is older than the window, the whole window holds again.
func TestWindowGrowsBack(t *testing.T) {
	s, _ := boundStore(t, 50)
	s.fill(0, 0, "a", 60)
	s.fill(60, 100, "b", 20)
	s.settled(50)
	require.Zero(t, s.p.Metrics().EffectiveWindow)
	for i := range int64(6) {
		s.pass(80+i, 200+100*i, key("c", i))
		s.commit(81 + i)
		require.Equal(t, time.Duration(i+1)*100*time.Millisecond, s.p.Metrics().EffectiveWindow)
	}
}

// TestCurrentBucketAloneIsOver: its marks go at the next seal, loudly, and what comes after them is deduplicated.
func TestCurrentBucketAloneIsOver(t *testing.T) {
	for _, filter := range []string{engine.FilterSliced, engine.FilterRing} {
		t.Run(filter, func(t *testing.T) {
			o, events := testOptions(testutil.NewFS()), new(shrinks)
			o.MaxKeys, o.TableKeys, o.Filter = 100, 10, filter
			o.Events.WindowShrunk = events.add
			s := openStore(t, o)
			next := int64(0)
			for i := 0; len(events.list()) < 3; i++ {
				s.fill(next, 50, key("x", int64(i))+"-", 20)
				next += 20
				s.commit(next)
			}
			for _, w := range events.list() {
				require.True(t, w.Current)
				require.Zero(t, w.Effective)
				require.Greater(t, w.Keys, uint64(100))
			}
			s.settled(100)
			before := len(events.list())
			last := s.fill(next, 50, "last", 5)
			s.drop(next+5, 50, last...)
			s.eventually("the index holds more than the bound", func() bool { return s.e.Metrics().Unsealed == 0 })
			if len(events.list()) == before {
				s.drop(next+10, 50, last...)
			}
		})
	}
}

// TestFailInsteadOfShrinking: nothing is taken in, nothing is lost, and older buckets still go first.
func TestFailInsteadOfShrinking(t *testing.T) {
	o, events := testOptions(testutil.NewFS()), new(shrinks)
	o.MaxKeys, o.OnFull = 40, engine.Fail
	o.Events.WindowShrunk = events.add
	s := openStore(t, o)
	s.fill(0, 0, "a", 30)
	cur := s.fill(30, 100, "b", 45)
	s.eventually("not full", func() bool { return s.e.Metrics().Full })
	require.Len(t, events.list(), 1)
	require.False(t, events.list()[0].Current)
	verdicts, err := s.p.Check(batch(75, 100, "c"), nil)
	require.ErrorIs(t, err, engine.ErrFull)
	require.Empty(t, verdicts)
	s.commit(75) // what was taken in can be finished
	require.NoError(t, s.p.Forget([]byte("b0")), "an operator may make room")
	o.MaxKeys = 1000
	s.opt = o
	s.reopen()
	s.drop(75, 100, cur[1:]...)
	s.pass(119, 100, "b0")
}

// TestDropMakesRoom: a full store takes records in again when another partition is dropped.
func TestDropMakesRoom(t *testing.T) {
	o := testOptions(testutil.NewFS())
	o.MaxKeys, o.OnFull = 40, engine.Fail
	e, err := engine.Open("data", o)
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	a, err := e.Partition("t", 0)
	require.NoError(t, err)
	b, err := e.Partition("t", 1)
	require.NoError(t, err)
	for _, p := range []*engine.Partition{a, b} {
		_, err = p.Check(batch(0, 0, keys("k", 25)...), nil)
		require.NoError(t, err)
	}
	full := func() bool { return e.Metrics().Full }
	require.Eventually(t, full, waitFor, pollEvery)
	require.NoError(t, b.Close())
	require.NoError(t, e.Drop("t", 1))
	require.Eventually(t, func() bool { return !full() }, waitFor, pollEvery)
	_, err = a.Check(batch(25, 0, "new"), nil)
	require.NoError(t, err)
}

// TestFloorSurvives: after a restart or a crash the window says what it said before, and the bucket is still gone.
func TestFloorSurvives(t *testing.T) {
	restarts := map[string]func(*store){
		"reopen": func(s *store) { s.reopen() },
		"crash":  func(s *store) { s.crash(0, 1) },
	}
	for name, restart := range restarts {
		t.Run(name, func(t *testing.T) {
			s, events := boundStore(t, 50)
			old := s.fill(0, 0, "a", 40)
			cur := s.fill(40, 300, "b", 30)
			s.commit(70)
			s.settled(50)
			s.eventually("no event", func() bool { return len(events.list()) == 1 }) // it is told after the keys are gone
			// Bucket 0 went, 1 and 2 never were, 3 is current: what is not older than 1 is known.
			require.Equal(t, 200*time.Millisecond, s.p.Metrics().EffectiveWindow)
			restart(s)
			require.Equal(t, 200*time.Millisecond, s.p.Metrics().EffectiveWindow)
			require.Equal(t, uint64(30), s.p.Metrics().Keys)
			s.drop(70, 300, cur...)
			s.pass(100, 300, old[:10]...)
			require.Len(t, events.list(), 1)
		})
	}
}

// TestEmptiedBucketSurvives: an emptied current bucket is empty after a crash as well, and only what came after is remembered.
func TestEmptiedBucketSurvives(t *testing.T) {
	for _, crash := range []bool{false, true} {
		s, events := boundStore(t, 50)
		gone := s.fill(0, 0, "a", 60)
		s.eventually("nothing was emptied", func() bool { return len(events.list()) == 1 })
		kept := s.fill(60, 0, "b", 20)
		s.commit(80)
		if crash {
			s.crash(0, 1)
		} else {
			s.reopen()
		}
		require.Equal(t, uint64(20), s.p.Metrics().Keys)
		s.drop(80, 0, kept...)
		s.pass(100, 0, gone[:20]...)
		require.Len(t, events.list(), 1)
	}
}

// TestBoundOverPartitions: the oldest bucket of all partitions goes, whoever writes.
func TestBoundOverPartitions(t *testing.T) {
	o, events := testOptions(testutil.NewFS()), new(shrinks)
	o.MaxKeys = 100
	o.Events.WindowShrunk = events.add
	e, err := engine.Open("data", o)
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	take := func(p *engine.Partition, offset, ts int64, n int) {
		_, err := p.Check(batch(offset, ts, keys(key("k", offset), n)...), nil)
		require.NoError(t, err)
	}
	var ps []*engine.Partition
	for i := range int32(3) {
		p, err := e.Partition("t", i)
		require.NoError(t, err)
		ps = append(ps, p)
		take(p, 0, int64(300-100*i), 20)  // the last partition has the oldest bucket
		take(p, 20, int64(400-100*i), 10) // 90 keys in all
	}
	take(ps[0], 30, 400, 20)
	require.Eventually(t, func() bool { return e.Metrics().Keys <= 100 }, waitFor, pollEvery)
	require.Equal(t, []engine.WindowShrunk{{Topic: "t", Partition: 2, Keys: 20, Effective: 0}}, events.list())
}

// TestMaxBytes: the store stays near its bound on disk while many times as much goes through it.
func TestMaxBytes(t *testing.T) {
	o, events := testOptions(testutil.NewFS()), new(shrinks)
	o.MaxBytes, o.SegmentBytes = 1<<20, 0
	o.Events.WindowShrunk = events.add
	s := openStore(t, engine.Cold(o))
	next := int64(0)
	var last []string
	for b := range int64(12) {
		for i := range int64(4) {
			last = s.fill(next, 100*b, key(key("b", b), i)+"-", 2000)
			next += 2000
			s.commit(next)
		}
	}
	s.eventually("bytes", func() bool {
		m := s.e.Metrics()
		return m.Unsealed == 0 && int64(m.Index.TableBytes)+m.WAL.Bytes < 3<<20/2
	})
	require.NotEmpty(t, events.list())
	require.Less(t, s.p.Metrics().EffectiveWindow, 600*time.Millisecond)
	s.drop(next, 1100, last...)
}

// TestShrinkBesideCommits: commits drop buckets at the same time as the bound does.
func TestShrinkBesideCommits(t *testing.T) {
	o := testOptions(testutil.NewFS())
	o.Window, o.MaxKeys, o.TableKeys = 6*time.Millisecond, 30, 4
	s := openStore(t, o)
	ctx := context.Background()
	var out []engine.Verdict
	for i := range int64(3000) {
		var err error
		out, err = s.p.Check(batch(i, i/3, key("k", i)), out[:0])
		require.NoError(t, err)
		if i%5 == 0 {
			require.NoError(t, s.p.Commit(ctx, i+1))
		}
	}
	s.commit(3000)
	s.settled(30)
	require.LessOrEqual(t, len(s.p.Metrics().Buckets), 7)
}
