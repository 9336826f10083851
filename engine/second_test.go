package engine_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"noecho/engine"
	"noecho/internal/testutil"
)

// TestSecondOpinion: while a bucket is a stack of runs, what the filter lets through by mistake is not looked up in them; copies are found as
// ever, and the memory is given back when the bucket has ended and is merged.
func TestSecondOpinion(t *testing.T) {
	o := engine.Cold(testOptions(testutil.NewFS()))
	o.TableKeys, o.FilterBits = 500, 8 // many errors
	s := openStore(t, o)
	const n = 20_000
	for i := range int64(n / 1000) {
		s.fill(1000*i, 100, key("a", i)+"-", 1000)
	}
	s.eventually("not sealed", func() bool { return s.e.Metrics().TableBytes == 0 })
	m := s.p.Metrics()
	require.Greater(t, m.SecondBytes, int64(n))
	require.Less(t, m.SecondBytes, int64(4*n))

	before := m
	s.fill(n, 100, "new", 400)
	m = s.p.Metrics()
	lookups, wrong := m.IndexLookups-before.IndexLookups, m.FalsePositives-before.FalsePositives
	require.Greater(t, wrong, uint64(8), "or nothing is shown")
	require.Less(t, lookups, wrong/2)
	for i := range int64(n / 1000) {
		s.drop(n+400+1000*i, 100, keys(key("a", i)+"-", 1000)...)
	}

	s.fill(2*n+400, 250, "later", 600) // of another bucket; the first one is merged when a seal brought nothing for it
	s.fill(2*n+1000, 250, "later still", 600)
	s.eventually("kept for ever", func() bool {
		now := s.p.Metrics().SecondBytes
		return now > 0 && now < m.SecondBytes
	})
	for i := range int64(n / 1000) {
		s.drop(3*n+1000*i, 250, keys(key("a", i)+"-", 1000)...)
	}
}

// held is a store whose rebuild after the next start stops when it has read the index, until release is called; with fail it fails then.
func held(t *testing.T, edit func(*engine.Options)) (s *store, read <-chan struct{}, release func(fail error)) {
	o := engine.Cold(testOptions(testutil.NewFS()))
	o.TableKeys, o.FilterBits = 300, 8
	if edit != nil {
		edit(&o)
	}
	done, goOn, armed := make(chan struct{}), make(chan error), false
	o = engine.Reread(o, func() error {
		if !armed {
			return nil
		}
		armed = false
		close(done)
		return <-goOn
	})
	s = openStore(t, o)
	t.Cleanup(func() { close(goOn) }) // a test that has failed must not wait for ever
	s.fill(0, 100, "a", 3000)
	s.commit(3000)
	s.eventually("not sealed", func() bool { return s.e.Metrics().TableBytes == 0 })
	armed = true
	return s, done, func(fail error) { goOn <- fail }
}

// adopted waits until what a rebuild brought is in use.
func (s *store) adopted() {
	s.eventually("not adopted", func() bool { return !s.p.Metrics().Rereading })
}

// requireSecond says that of what the filter lets through by mistake little is looked up.
func (s *store) requireSecond(t *testing.T, offset, ts int64) {
	t.Helper()
	before := s.p.Metrics()
	s.fill(offset, ts, "new", 400)
	m := s.p.Metrics()
	lookups, wrong := m.IndexLookups-before.IndexLookups, m.FalsePositives-before.FalsePositives
	require.Greater(t, wrong, uint64(8), "or nothing is shown")
	require.Less(t, lookups, wrong/2)
}

// TestSecondOpinionAfterRestart: what the index had of the current bucket before the start is read into one, together with what comes meanwhile, and is sealed and evicted
// before it is adopted. No copy of either is missed, and what the filter lets through by mistake is not looked up in the stack.
func TestSecondOpinionAfterRestart(t *testing.T) {
	for _, how := range []string{"crash", "close"} {
		t.Run(how, func(t *testing.T) {
			s, read, release := held(t, nil)
			if how == "close" {
				s.reopen()
			} else {
				s.crash(0, 1)
			}
			<-read
			s.fill(3000, 100, "b", 3000)
			s.eventually("not sealed", func() bool { return s.e.Metrics().TableBytes == 0 })
			release(nil)
			s.adopted()
			s.fill(6000, 100, "c", 3000)
			s.eventually("not sealed", func() bool { return s.e.Metrics().TableBytes == 0 })
			s.requireSecond(t, 9000, 100)
			for i, prefix := range []string{"a", "b", "c"} {
				s.drop(int64(10_000+3000*i), 100, keys(prefix, 3000)...)
			}
			s.fill(20_000, 250, fmt.Sprint("next bucket ", how), 1000)
			s.eventually("the next bucket has none", func() bool { return s.p.Metrics().SecondBytes > 0 })
		})
	}
}

// TestSecondOpinionNotRead: where it cannot be read, or the store is closed meanwhile, there is none, and no copy is missed.
func TestSecondOpinionNotRead(t *testing.T) {
	s, read, release := held(t, nil)
	s.reopen()
	<-read
	s.fill(3000, 100, "b", 900)
	s.eventually("not sealed", func() bool { return s.e.Metrics().TableBytes == 0 })
	release(errors.New("the disk"))
	s.adopted()
	require.Zero(t, s.p.Metrics().SecondBytes)
	s.fill(3900, 100, "c", 900)
	s.eventually("not sealed", func() bool { return s.e.Metrics().TableBytes == 0 })
	require.Zero(t, s.p.Metrics().SecondBytes)
	s.drop(5000, 100, keys("a", 3000)...)
	s.drop(8000, 100, append(keys("b", 900), keys("c", 900)...)...)
}

// TestSecondOpinionOfAnEndedBucket: the bucket ends while it is read. Copies of its keys are found, and the next one has its own.
func TestSecondOpinionOfAnEndedBucket(t *testing.T) {
	s, read, release := held(t, nil)
	s.reopen()
	<-read
	s.fill(3000, 100, "b", 900)
	s.fill(3900, 250, "c", 900)
	s.eventually("not sealed", func() bool { return s.e.Metrics().TableBytes == 0 })
	release(nil)
	s.adopted()
	s.drop(5000, 250, keys("a", 3000)...)
	s.drop(8000, 250, append(keys("b", 900), keys("c", 900)...)...)
}

// TestSecondOpinionOfAnEmptiedBucket: a bound empties the bucket while it is read, and it begins anew. What it gets then is found.
func TestSecondOpinionOfAnEmptiedBucket(t *testing.T) {
	for _, fail := range []error{nil, errors.New("the disk")} {
		s, read, release := held(t, func(o *engine.Options) { o.MaxKeys = 4000 })
		s.reopen()
		<-read
		s.fill(3000, 100, "b", 2100) // over the bound: a and some of b go
		s.eventually("not emptied", func() bool { return s.p.Metrics().Buckets[0].Keys < 3000 })
		s.fill(5100, 100, "c", 900)
		s.eventually("not sealed", func() bool { return s.e.Metrics().Unsealed == 0 }) // what is active is where the bound left it
		release(fail)
		s.adopted()
		s.fill(6000, 100, "d", 900)
		s.eventually("not sealed", func() bool { return s.e.Metrics().Unsealed == 0 }) // what is active is where the bound left it
		s.drop(6900, 100, append(keys("c", 900), keys("d", 900)...)...)
	}
}
