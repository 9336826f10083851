package engine_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"noecho/engine"
	"noecho/internal/testutil"
)

// randomOptions draws options that must not change a single verdict.
func randomOptions(t *rapid.T, fs *testutil.FS) engine.Options {
	o := testOptions(fs)
	o.Buckets = rapid.SampledFrom([]int{1, 2, 3, 6, 7, 12, 30}).Draw(t, "buckets")
	o.Window = time.Duration(o.Buckets) * time.Duration(rapid.SampledFrom([]int{1, 10, 100}).Draw(t, "delta")) * time.Millisecond
	o.Refresh = rapid.Bool().Draw(t, "refresh")
	o.Filter = rapid.SampledFrom([]string{engine.FilterSliced, engine.FilterRing}).Draw(t, "filter")
	o.TableKeys = rapid.SampledFrom([]int{1, 16, 100, 0}).Draw(t, "table")
	o.SegmentBytes = rapid.SampledFrom([]int64{4 << 10, 64 << 10}).Draw(t, "segment")
	if rapid.Bool().Draw(t, "cold") {
		o = engine.Cold(o)
	}
	if rapid.Bool().Draw(t, "ahead") {
		o = engine.Ahead(o)
	}
	return o
}

// TestRandomHistories runs random histories with crashes, clean restarts, rewinds, lookups and forgotten keys against
// the oracle, under random options: identical verdicts, always.
func TestRandomHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := randomOptions(rt, testutil.NewFS())
		h := newHistory(rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 7)), o)
		s := openStore(quiet{t, rt}, o)
		steps := rapid.SliceOfN(rapid.IntRange(0, 99), 5, 60).Draw(rt, "steps")
		for i, step := range steps {
			h.step(rt, s, step, uint64(i))
		}
		h.verify(rt, s)
		s.close()
	})
}

// step does what a number between 0 and 99 stands for.
func (h *history) step(t *rapid.T, s *store, step int, seed uint64) {
	switch {
	case step < 50:
		h.deliver(t, s, 1+step*step/20)
	case step < 72:
		h.commit(s)
	case step < 78:
		s.reopen()
	case step < 88:
		percent := []int{0, 30, 70, 100}[step%4]
		s.crash(percent, seed)
		h.redeliver(max(0, s.p.Committed()))
	case step < 92: // an operator's rewind, or a redelivery of what is not committed
		if len(h.log) > 0 {
			h.pos = h.rng.IntN(min(h.pos, len(h.log)) + 1)
		}
	default:
		if !h.atHead() {
			return
		}
		key := fmt.Sprintf("k%d", max(0, h.fresh-h.rng.IntN(h.keys+3)))
		h.lookup(t, s, key)
		if step >= 96 {
			h.oracle.Forget(key)
			if err := s.p.Forget([]byte(key)); err != nil {
				t.Fatal(err)
			}
			h.commit(s)
			h.lookup(t, s, key)
		}
	}
}

// quiet lets helpers that want a testing.TB fail a rapid test, and registers clean-ups with the real one.
type quiet struct {
	testing.TB
	rt *rapid.T
}

func (q quiet) Helper()                           {}
func (q quiet) Fatalf(format string, args ...any) { q.rt.Fatalf(format, args...) }
func (q quiet) Errorf(format string, args ...any) { q.rt.Errorf(format, args...) }
func (q quiet) FailNow()                          { q.rt.FailNow() }
