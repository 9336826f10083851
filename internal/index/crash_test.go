package index

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// script is a history that visits every kind of change: first runs of buckets,
// overlapping runs, deletes, metas changed and deleted, drops of some buckets,
// of all and of a partition.
func script() []step {
	many := map[mark]int64{}
	for i := range uint64(300) {
		many[mark{2, i % 3, i * 0x9e3779b97f4a7c15, i}] = int64(i)
	}
	return []step{
		{entries: map[mark]int64{{1, 0, 1, 1}: 0, {1, 1, 1, 1}: 300, {3, 0, 5, 5}: math.MaxInt64},
			metas: map[string]string{"": "empty key", "a": "1"}},
		{entries: many, metas: map[string]string{"a": "2", "b": ""}},
		{entries: map[mark]int64{{1, 1, 1, 1}: 299, {1, 1, 1, 2}: 7, {1, 0, 1, 1}: -1},
			deletes: []string{""}, metas: map[string]string{"a": "3"}},
		{drop: true, partition: 2, from: 0, to: 2},
		{entries: map[mark]int64{{2, 0, 9, 9}: 1, {trailBit - 1, math.MaxUint64 - 1, 9, 9}: 1}},
		{metas: map[string]string{"only": "metas"}},
		{dropAll: true, partition: trailBit - 1},
		{dropAll: true, partition: 2},
		{drop: true, partition: 1, from: 0, to: math.MaxUint64},
		{entries: map[mark]int64{{2, 2, 9, 9}: 2}, metas: map[string]string{"a": "4"}},
	}
}

// crashPoint is a file system as a crash before one operation leaves it.
type crashPoint struct {
	op      string
	percent int // of unsynced data that survived
	fs      *vfs.MemFS
	done    int  // steps that had returned
	running bool // one more was running
}

// TestCrashAtEveryOperation takes a crash clone before every single writing
// operation of a history, with none, half and all of the unsynced data kept,
// opens each and finds the state before or after the step that was running: never
// a part of it, never less than what had been acknowledged.
func TestCrashAtEveryOperation(t *testing.T) {
	for name, tune := range map[string]func(*pebble.Options){
		"compactions=off": manual,
		"compactions=eager": func(p *pebble.Options) {
			p.L0CompactionThreshold = 1 // every ingest that lands in L0 is compacted at once
			p.MaxManifestFileSize = 1   // and every edit may rotate the manifest
		},
	} {
		t.Run(name, func(t *testing.T) { crashAtEveryOperation(t, tune) })
	}
}

func crashAtEveryOperation(t *testing.T, tune func(*pebble.Options)) {
	mem := vfs.NewCrashableMem()
	fs := &snapFS{FS: mem}
	var points []crashPoint
	done, running := 0, false // under fs.mu
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	fs.before = func(op, path string) {
		for _, percent := range []int{0, 50, 100} {
			points = append(points, crashPoint{
				op: op + " " + path, percent: percent, done: done, running: running,
				fs: mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}),
			})
		}
	}
	x, err := Open("store", Options{FS: fs, tune: tune})
	require.NoError(t, err)
	states := []model{newModel()}
	for i, s := range script() {
		if i == len(script())/2 { // opening again writes too
			require.NoError(t, x.Close())
			x, err = Open("store", Options{FS: fs, tune: tune})
			require.NoError(t, err)
		}
		fs.mu.Lock()
		done, running = i, true
		fs.mu.Unlock()
		require.NoError(t, s.do(x))
		states = append(states, s.apply(states[i]))
		fs.mu.Lock()
		done, running = i+1, false
		// Right after the return: this one may not depend on anything later.
		fs.before("return of", fmt.Sprint("step ", i))
		fs.mu.Unlock()
	}
	require.NoError(t, x.Close())
	require.Greater(t, len(points), 300)
	partly := 0
	for _, p := range points {
		x, err := Open("store", Options{FS: p.fs, tune: manual})
		require.NoError(t, err, "crash before %s, %d %% kept", p.op, p.percent)
		got, err := dump(x)
		require.NoError(t, err)
		switch {
		case equal(got, states[p.done]):
		case p.running && equal(got, states[p.done+1]):
			partly++
		default:
			t.Fatalf("crash before %s, %d %% kept: state of neither step %d nor the next (running: %v)",
				p.op, p.percent, p.done, p.running)
		}
		require.NoError(t, x.Check())
		ls, err := p.fs.List(x.tmpDir)
		require.NoError(t, err)
		require.Empty(t, ls, "left-overs of an ingest")
		// It can be written again.
		require.NoError(t, x.Ingest(ctxb, []Run{run(1, 9, Entry{1, 1, 1})}, nil))
		require.NoError(t, x.Close())
	}
	require.Positive(t, partly, "no crash fell between a change and its return")
}
