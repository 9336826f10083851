package engine_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"noecho/engine"
	"noecho/internal/testutil"
)

// aheadStore has keys 0 to n-1 in the index and nowhere else.
func aheadStore(t *testing.T, n int, set func(*engine.Options)) *store {
	o := engine.Ahead(engine.Cold(testOptions(testutil.NewFS())))
	o.TableKeys = 256
	set(&o)
	s := openStore(t, o)
	for from := 0; from < n; from += 256 {
		_, err := s.p.Check(batch(int64(from), 100, numbered("old", from, 256)...), nil)
		require.NoError(t, err)
	}
	s.commit(int64(n))
	s.eventually("not sealed", func() bool { return s.e.Metrics().TableBytes == 0 })
	return s
}

func numbered(what string, from, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s%d", what, from+i)
	}
	return out
}

// TestLookupsAhead: verdicts are the same, for copies that lie far from each other and new keys between them, and what is in memory is
// not read ahead.
func TestLookupsAhead(t *testing.T) {
	const n = 4096
	s := aheadStore(t, n, func(o *engine.Options) { o.Trail = false })
	next := int64(n)
	check := func(keys []string) []engine.Verdict {
		out, err := s.p.Check(batch(next, 100, keys...), nil)
		require.NoError(t, err)
		next += int64(len(keys))
		return out
	}
	for round := range 20 {
		var keys []string
		for i := range 100 {
			keys = append(keys, fmt.Sprintf("old%d", (i*997+round)%n), fmt.Sprintf("new%d-%d", round, i))
		}
		for i, v := range check(keys) {
			if i%2 == 1 {
				require.Equal(t, engine.Unique, v.Kind)
				continue
			}
			require.Equal(t, engine.Duplicate, v.Kind)
			require.EqualValues(t, (i/2*997+round)%n, v.First)
		}
	}
	m := s.p.Metrics()
	require.Greater(t, m.LookupsAhead, uint64(15*100), "they were not done ahead")
	require.Less(t, m.LookupsAhead, uint64(20*120))

	recent := numbered("recent", 0, 40) // the active table has room for 48
	check(recent)
	before := s.p.Metrics().LookupsAhead
	for range 5 {
		for _, v := range check(recent) {
			require.Equal(t, engine.Duplicate, v.Kind)
		}
	}
	require.Less(t, s.p.Metrics().LookupsAhead-before, uint64(100), "what is in memory was read ahead")
}

// TestLookupsAheadLeaveCopiesToTheTrail: where copies come in the order of their originals, a block of the trail answers most.
func TestLookupsAheadLeaveCopiesToTheTrail(t *testing.T) {
	const n = 8192
	s := aheadStore(t, n, func(o *engine.Options) { o.Trail = true })
	before := s.p.Metrics()
	for from := 0; from < n; from += 256 {
		out, err := s.p.Check(batch(int64(n+from), 100, numbered("old", from, 256)...), nil)
		require.NoError(t, err)
		for i, v := range out {
			require.Equal(t, engine.Verdict{Kind: engine.Duplicate, First: int64(from + i)}, v)
		}
	}
	m := s.p.Metrics()
	require.Less(t, m.LookupsAhead-before.LookupsAhead, uint64(n/10))
	require.Greater(t, m.TrailHits-before.TrailHits, uint64(n*8/10))
}

// TestLookupsAheadOfSeveralPartitions share the workers, and end with the engine.
func TestLookupsAheadOfSeveralPartitions(t *testing.T) {
	const n, parts = 1024, 4
	o := engine.Ahead(engine.Cold(testOptions(testutil.NewFS())))
	o.TableKeys, o.Trail = 256, false
	e, err := engine.Open("store", o)
	require.NoError(t, err)
	handles := make([]*engine.Partition, parts)
	for part := range parts {
		handles[part], err = e.Partition("several", int32(part))
		require.NoError(t, err)
		_, err = handles[part].Check(batch(0, 100, numbered(fmt.Sprintf("p%d-", part), 0, n)...), nil)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return e.Metrics().TableBytes == 0 }, waitFor, pollEvery, "not sealed")
	done := make(chan error, parts)
	for part, p := range handles {
		go func() {
			for round := range int64(20) {
				out, err := p.Check(batch(n*(round+1), 100, numbered(fmt.Sprintf("p%d-", part), 0, n)...), nil)
				if err != nil {
					done <- err
					return
				}
				for i, v := range out {
					if v != (engine.Verdict{Kind: engine.Duplicate, First: int64(i)}) {
						done <- fmt.Errorf("round %d, record %d: %+v", round, i, v)
						return
					}
				}
			}
			done <- p.Close()
		}()
	}
	for range parts {
		require.NoError(t, <-done)
	}
	m := e.Metrics()
	for part := range parts {
		require.Positive(t, m.Partitions[part].LookupsAhead)
	}
	require.NoError(t, e.Close())
}
