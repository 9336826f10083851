package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"noecho/engine"
	"noecho/internal/testutil"
)

// story is a fixed history with everything in it: seals, expiry, a forgotten key, a clean restart. It is run again and
// again, with a crash or an error at a different operation each time. acked is the last offset whose commit returned.
type story struct {
	h     *history
	o     engine.Options
	acked atomic.Int64
	named atomic.Bool // SetLogID has returned
}

var storyLog = engine.LogID{0: 1, 15: 2}

func newStory(fs *testutil.FS, filter string) *story {
	o := testOptions(fs)
	o.Filter, o.TableKeys = filter, 40
	o = engine.Cold(o)
	st := &story{o: o}
	st.h = newHistory(rand.New(rand.NewPCG(11, 5)), o)
	st.h.stepMs, st.h.keys = 4, 40
	for len(st.h.log) < 500 {
		st.h.extend()
	}
	st.acked.Store(-1)
	return st
}

// run plays the story until the first error. It compares no verdicts: that is done on what is found afterwards.
func (st *story) run(ctx context.Context) error {
	for part := range 2 {
		e, err := engine.Open("data", st.o)
		if err != nil {
			return err
		}
		if err := st.play(ctx, e, part*250, part*250+250); err != nil {
			_ = e.Close() // the first error counts
			return err
		}
		if err := e.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (st *story) play(ctx context.Context, e *engine.Engine, from, to int) error {
	p, err := e.Partition("t", 0)
	if err != nil {
		return err
	}
	if err := p.SetLogID(storyLog); err != nil {
		return err
	}
	st.named.Store(true)
	for i := from; i < to; i += 25 {
		if _, err := p.Check(records(st.h.log[i:i+25]), nil); err != nil {
			return err
		}
		if i%50 != 0 {
			continue
		}
		next := st.h.log[i+24].Offset + 1
		if err := p.Commit(ctx, next); err != nil {
			return err
		}
		st.acked.Store(next)
	}
	return p.Close()
}

// verify opens what a crash left and holds it against the oracle, which took in the whole story: the commit that was
// acknowledged is there, and delivering again from it gives the rule's verdicts.
func (st *story) verify(t *testing.T, fs *testutil.FS, acked int64, named bool, what string) {
	o := st.o
	o.FS = fs
	s := openStore(t, o)
	defer func() {
		s.close()
		require.Zero(t, fs.OpenFiles(), "%s: files left open", what)
	}()
	require.GreaterOrEqual(t, s.p.Committed(), acked, "%s: an acknowledged commit is gone", what)
	if id := s.p.LogID(); named || id != (engine.LogID{}) {
		require.Equal(t, storyLog, id, "%s: the log's id", what)
	}
	h := newHistory(rand.New(rand.NewPCG(1, 1)), o)
	h.log, h.fresh, h.keys, h.time = append(h.log, st.h.log...), st.h.fresh, 40, st.h.time
	// The oracle goes through the log up to the committed offset, as the story did.
	committed := s.p.Committed()
	for h.pos < len(h.log) && h.log[h.pos].Offset < committed {
		h.oracle.Check(h.next(1))
		if st.h.commits(h.pos) {
			h.oracle.Commit(h.done())
		}
	}
	for h.pos < len(h.log) {
		h.deliver(t, s, min(25, len(h.log)-h.pos))
	}
	h.commit(s)
	h.deliver(t, s, 30)
}

// commits says whether the story commits after its first n records.
func (h *history) commits(n int) bool { return n%50 == 25 }

// TestCrashAtEveryOperation takes a crash clone before every operation on the file system, with all, half and nothing of
// what was not synced, and verifies each.
func TestCrashAtEveryOperation(t *testing.T) {
	for _, filter := range []string{engine.FilterSliced, engine.FilterRing} {
		t.Run(filter, func(t *testing.T) {
			st := newStory(testutil.NewFS(), filter)
			type clone struct {
				fs    *testutil.FS
				acked int64
				named bool
				what  string
			}
			var clones []clone
			fs := st.o.FS.(*testutil.FS)
			fs.OnOp(func(op int, what string) error {
				acked, named := st.acked.Load(), st.named.Load() // before the clone: what is acknowledged later may be in it, too
				percent := []int{0, 50, 100}[op%3]
				if op%cloneEvery(t) == 0 {
					clones = append(clones, clone{fs.Crash(percent, uint64(op)), acked, named, fmt.Sprintf("op %d (%s), %d %%", op, what, percent)})
				}
				return nil
			})
			require.NoError(t, st.run(context.Background()))
			fs.OnOp(nil)
			require.Greater(t, len(clones), 20)
			for _, c := range clones {
				st.verify(t, c.fs, c.acked, c.named, c.what)
				if t.Failed() {
					t.Fatal(c.what)
				}
			}
		})
	}
}

// cloneEvery thins the clones out where the race detector makes each of them dear; NOECHO_CRASH_ALL takes every one.
func cloneEvery(t *testing.T) int {
	if os.Getenv("NOECHO_CRASH_ALL") != "" || !testing.Short() {
		return 1
	}
	return 7
}
