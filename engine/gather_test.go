package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"noecho/engine"
	"noecho/internal/testutil"
)

// grown is a store whose first bucket began in its middle and had 20,000 keys, and whose second one has as many so far.
func grown(t *testing.T, o engine.Options) *store {
	o.TableKeys = 2000
	s := openStore(t, o)
	for i := range int64(20) {
		s.fill(1000*i, 50, key("a", i)+"-", 1000)
	}
	s.commit(20_000)
	for i := range int64(20) {
		s.fill(20_000+1000*i, 100, key("b", i)+"-", 1000)
	}
	s.commit(40_000)
	return s
}

// TestGather: what the first bucket has in a chain of layers is brought into the one that was sized for the second. Nothing is lost
// by it, and lookups of new keys ask one layer.
func TestGather(t *testing.T) {
	s := grown(t, engine.Cold(testOptions(testutil.NewFS())))
	// The first bucket saw half of its time: the second is expected to have twice as many keys.
	gathered := func() bool { return s.p.Metrics().FilterBytes < 13*(40_000*7/6)+4096 }
	s.eventually("not gathered", gathered)
	for i := range int64(20) {
		s.drop(40_000+1000*i, 110, keys(key("a", i)+"-", 1000)...)
	}
	before := s.p.Metrics().IndexLookups
	s.fill(60_000, 110, "new", 1000)
	require.Less(t, s.p.Metrics().IndexLookups-before, uint64(50))
	s.commit(61_000)
	s.reopen()
	require.True(t, gathered(), "the saved filter is the gathered one")
	s.drop(61_000, 110, keys("a3-", 1000)...)
	s.drop(62_000, 110, keys("b7-", 1000)...)
}

// TestGatherIsGivenUp: the bucket dies, the store is closed, the partition is dropped, whenever it happens to be. Goroutines that stay
// fail the package.
func TestGatherIsGivenUp(t *testing.T) {
	for name, act := range map[string]func(s *store){
		"expiry": func(s *store) {
			s.fill(40_000, 5000, "far", 10)
			s.commit(40_010)
			s.pass(40_010, 5000, keys("a3-", 1000)...)
		},
		"close": func(s *store) { s.reopen(); s.drop(40_000, 110, keys("a3-", 1000)...) },
		"drop": func(s *store) {
			require.NoError(s.t, s.p.Close())
			require.NoError(s.t, s.e.Drop("t", 0))
			var err error
			s.p, err = s.e.Partition("t", 0)
			require.NoError(s.t, err)
			s.pass(0, 110, keys("a3-", 1000)...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for range scaled(10) {
				s := grown(t, engine.Cold(testOptions(testutil.NewFS())))
				act(s)
				s.close()
			}
		})
	}
}

// TestFilterOfBursts: a partition that gets all its records at the end of each bucket is not one of which only the end was seen. Its filter is
// as large as its buckets are.
func TestFilterOfBursts(t *testing.T) {
	o := testOptions(testutil.NewFS())
	o.TableKeys = 1000
	s := openStore(t, o)
	next := int64(0)
	for num := range int64(20) {
		for i := range int64(4) {
			s.fill(next, num*100+95, key("k", num)+key("-", i)+"-", 1000)
			next += 1000
		}
		s.commit(next)
	}
	s.eventually("the filter is many times too large", func() bool { return s.e.Metrics().FilterBytes < 2*13*4000*7/6 })
}
