package engine_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"noecho/engine"
	"noecho/internal/model"
	"noecho/internal/testutil"
)

// TestLargeHistories: the histories of TestRandomHistories are of some hundred keys, which one layer of the filter holds. Here a bucket has
// thousands, more or fewer each time, so that layers are chained, gathered and replaced, and the store is closed, crashes, or the
// partition is dropped in the middle of that. Verdicts are those of the rule, always.
func TestLargeHistories(t *testing.T) {
	for seed := range uint64(scaled(5)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 15))
			o := testOptions(testutil.NewFS())
			o.Buckets = []int{1, 3, 6, 7, 12}[rng.IntN(5)]
			o.Window = time.Duration(o.Buckets) * 100 * time.Millisecond
			o.TableKeys = []int{300, 1000, 2000}[rng.IntN(3)]
			o.Refresh = rng.IntN(2) == 0
			if rng.IntN(2) == 0 {
				o = engine.Cold(o)
			}
			l := &largeHistory{store: openStore(t, o), rng: rng}
			l.oracle = model.New(o.Window.Milliseconds(), o.Buckets, o.Refresh)
			for range 40 {
				l.step()
			}
			l.close()
		})
	}
}

// largeHistory is a log that is delivered in order, from the committed offset again after a crash.
type largeHistory struct {
	*store
	rng     *rand.Rand
	oracle  *model.Partition
	log     []model.Record // record i has offset i
	pos     int
	fresh   int
	base    int // keys below belong to a partition that was dropped
	time    int64
	density int // records to a bucket of 100 ms
}

func (l *largeHistory) step() {
	switch n := l.rng.IntN(100); {
	case n < 70:
		l.deliver(200 + l.rng.IntN(2500))
		if l.rng.IntN(3) > 0 {
			l.commit(int64(l.pos))
			l.oracle.Commit(int64(l.pos))
		}
	case n < 80:
		l.reopen()
	case n < 88:
		l.crash([]int{0, 50, 100}[l.rng.IntN(3)], l.rng.Uint64())
		l.pos = int(max(0, l.p.Committed()))
	case n < 90:
		l.drop()
	default:
		l.pos -= l.rng.IntN(min(l.pos, 6000) + 1)
	}
}

// deliver gives n records to both and compares.
func (l *largeHistory) deliver(n int) {
	for len(l.log) < l.pos+n {
		l.extend()
	}
	recs := l.log[l.pos : l.pos+n]
	l.pos += n
	want := l.oracle.Check(recs)
	for i, got := range l.check(recs) {
		same(l.t, want[i], got, "offset %d, key %s, timestamp %d", recs[i].Offset, recs[i].Key, recs[i].Timestamp)
	}
}

// extend appends a new key, a near copy or a far one. How dense the keys are changes now and then.
func (l *largeHistory) extend() {
	if l.density == 0 || l.rng.IntN(3000) == 0 {
		l.density = []int{200, 1500, 4000, 8000}[l.rng.IntN(4)]
	}
	if l.rng.IntN(l.density) < 100 {
		l.time++
	}
	key := l.fresh
	switch n := l.rng.IntN(10); {
	case n == 0:
		key = max(l.base, l.fresh-1-l.rng.IntN(300))
	case n < 3:
		key = l.base + l.rng.IntN(l.fresh-l.base+1)
	}
	if key == l.fresh {
		l.fresh++
	}
	l.log = append(l.log, model.Record{Offset: int64(len(l.log)), Timestamp: 1050 + l.time, Key: fmt.Sprintf("k%d", key)})
}

// drop drops the partition, which begins again with keys of its own.
func (l *largeHistory) drop() {
	require.NoError(l.t, l.p.Close())
	require.NoError(l.t, l.e.Drop("t", 0))
	p, err := l.e.Partition("t", 0)
	require.NoError(l.t, err)
	l.p = p
	l.oracle = model.New(l.opt.Window.Milliseconds(), l.opt.Buckets, l.opt.Refresh)
	l.log, l.pos, l.time, l.base = nil, 0, 0, l.fresh
}
