package engine_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"noecho/engine"
	"noecho/internal/testutil"
)

// pressed is an engine with small segments and n claimed partitions.
func pressed(t *testing.T, n int32, set func(*engine.Options)) (*engine.Engine, []*engine.Partition) {
	o := testOptions(testutil.NewFS())
	o.SegmentBytes, o.WALBytes = 8<<10, 32<<10
	set(&o)
	e, err := engine.Open("data", o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	ps := make([]*engine.Partition, n)
	for i := range ps {
		ps[i], err = e.Partition("t", int32(i))
		require.NoError(t, err)
	}
	return e, ps
}

// take takes in new keys and commits them.
func take(t testing.TB, p *engine.Partition, offset int64, keys ...string) {
	t.Helper()
	_, err := p.Check(batch(offset, 0, keys...), nil)
	require.NoError(t, err)
	require.NoError(t, p.Commit(context.Background(), offset+int64(len(keys))))
}

// TestIdlePartitionLetsTheLogGo: a partition wrote a little and is idle. While another one writes, and always has something on
// its way into the index, the first must not hold the log for ever.
func TestIdlePartitionLetsTheLogGo(t *testing.T) {
	e, ps := pressed(t, 2, func(o *engine.Options) { o.TableKeys = 64 })
	take(t, ps[0], 0, "idle")
	for i := range int64(scaled(400)) {
		take(t, ps[1], 100*i, keys(key("k", i)+"-", 100)...)
	}
	require.Eventually(t, func() bool { return e.Metrics().WAL.Bytes <= 48<<10 }, waitFor, pollEvery)
	_, seen, err := ps[0].Lookup([]byte("idle"))
	require.NoError(t, err)
	require.True(t, seen)
}

// TestNothingButDuplicates: a partition that takes in no new key fills no table, but its frames say how far it is.
func TestNothingButDuplicates(t *testing.T) {
	e, ps := pressed(t, 1, func(*engine.Options) {})
	take(t, ps[0], 0, "k")
	for i := range int64(3000) {
		take(t, ps[0], 1+i, "k")
	}
	require.Eventually(t, func() bool { return e.Metrics().WAL.Bytes <= 48<<10 }, waitFor, pollEvery)
	require.Greater(t, e.Metrics().WAL.Appended, uint64(128<<10), "the log never was longer than it may be")
}

// TestManySmallTables: 200 partitions share a megabyte. None of their tables is ever full, and memory is bounded all the same.
func TestManySmallTables(t *testing.T) {
	partitions, pages := int64(scaled(200)), int64(4*(12<<10+576))
	e, ps := pressed(t, int32(partitions), func(o *engine.Options) { o.MemoryBytes, o.WALBytes = 1<<20, 64<<20 })
	for round := range int64(10) {
		for _, p := range ps {
			_, err := p.Check(batch(300*round, 0, keys(key("k", round)+"-", 300)...), nil)
			require.NoError(t, err)
		}
		// Twice the budget: the keeper runs beside us.
		require.Eventually(t, func() bool { return e.Metrics().TableBytes <= 2*max(partitions*pages, 1<<20) }, waitFor, pollEvery)
	}
	require.Eventually(t, func() bool { return e.Metrics().TableBytes <= max(partitions*pages, 1<<20) }, waitFor, pollEvery)
	for _, p := range ps {
		out, err := p.Check(batch(3000, 0, "k0-7", "k9-299", "new"), nil)
		require.NoError(t, err)
		require.Equal(t, []engine.Verdict{{Kind: engine.Duplicate, First: 7}, {Kind: engine.Duplicate, First: 2999}, {First: 3002}}, out)
	}
}

// TestChecksWaitForTheDisk: tables are filled faster than they are sealed. Check waits, and loses nothing.
func TestChecksWaitForTheDisk(t *testing.T) {
	e, ps := pressed(t, 2, func(o *engine.Options) { o.MemoryBytes, o.TableKeys, o.WALBytes = 1<<20, 500, 64<<20 })
	for i := range int64(scaled(60)) {
		for _, p := range ps {
			_, err := p.Check(batch(1000*i, 0, keys(key("k", i)+"-", 1000)...), nil)
			require.NoError(t, err)
			require.LessOrEqual(t, e.Metrics().Unsealed, int64(1<<20))
		}
	}
	for _, p := range ps {
		require.Equal(t, uint64(scaled(60))*1000, p.Metrics().Keys)
	}
}
