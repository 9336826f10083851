package engine_test

import (
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

// TestSecondOpinionAfterCrash: what the index had of the current bucket before the start is read into one, together with what comes meanwhile. No copy of either
// is missed, and what the filter lets through by mistake is not looked up in the stack.
func TestSecondOpinionAfterCrash(t *testing.T) {
	for _, how := range []string{"crash", "close"} {
		t.Run(how, func(t *testing.T) {
			o := engine.Cold(testOptions(testutil.NewFS()))
			o.TableKeys, o.FilterBits = 300, 8
			s := openStore(t, o)
			s.fill(0, 100, "a", 3000)
			s.commit(3000)
			s.eventually("not sealed", func() bool { return s.e.Metrics().TableBytes == 0 })
			if how == "close" {
				s.reopen()
			} else {
				s.crash(0, 1)
			}
			s.fill(3000, 100, "b", 3000) // while it is being read, or not
			s.eventually("not sealed", func() bool { return s.e.Metrics().TableBytes == 0 })
			s.eventually("no second opinion", func() bool {
				m := s.p.Metrics()
				return m.SecondBytes >= 6000 && !m.Rebuilding
			})
			s.fill(6000, 100, "c", 3000)
			s.eventually("not sealed", func() bool { return s.e.Metrics().TableBytes == 0 })
			before := s.p.Metrics()
			s.fill(9000, 100, "new", 400)
			m := s.p.Metrics()
			lookups, wrong := m.IndexLookups-before.IndexLookups, m.FalsePositives-before.FalsePositives
			require.Greater(t, wrong, uint64(8), "or nothing is shown")
			require.Less(t, lookups, wrong/2)
			for i, prefix := range []string{"a", "b", "c"} {
				s.drop(int64(10_000+3000*i), 100, keys(prefix, 3000)...)
			}
			s.fill(20_000, 250, fmt.Sprint("next bucket ", how), 1000)
			s.eventually("the next bucket has none", func() bool { return s.p.Metrics().SecondBytes > 0 })
		})
	}
}
