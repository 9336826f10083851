package kafka

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

// crashPoint is a step between taking a record in and having committed it.
type crashPoint string

const (
	beforeCheck       crashPoint = "before check"
	produceUnheard    crashPoint = "produce request lost"             // sent, never handled
	produceUnacked    crashPoint = "produce handled, not acked"       // in the output, nobody knows
	beforeMarks       crashPoint = "produced, marks not committed"    // acked
	afterMarks        crashPoint = "marks committed, offset not"      // D > C
	commitUnheard     crashPoint = "offset commit request lost"       //
	commitUnacked     crashPoint = "offset commit handled, not acked" //
	evidenceUnheard   crashPoint = "duplicates request lost"
	evidenceUnacked   crashPoint = "duplicates handled, not acked"
	onClaimUnheard    crashPoint = "claim lost"
	onClaimUnanswered crashPoint = "claim handled, not acked"
)

var crashPoints = []crashPoint{
	beforeCheck, produceUnheard, produceUnacked, beforeMarks, afterMarks, commitUnheard, commitUnacked, onClaimUnheard, onClaimUnanswered,
}

// trap makes the next life die at the n-th time the point is passed, n from 1 on. It returns the hooks for that life and
// a function that tells the trap whose life it is; before that it does not spring.
func (w *world) trap(at crashPoint, n int64, percent int, seed uint64) (h *hooks, arm func(*life)) {
	var victim atomic.Pointer[life]
	var seen atomic.Int64
	spring := func() bool {
		l := victim.Load()
		if l == nil || seen.Add(1) != n {
			return false
		}
		l.die(percent, seed)
		return true
	}
	hook := func(mine crashPoint) func(int32, int64) error {
		return func(int32, int64) error {
			if at == mine && spring() {
				return errCrash
			}
			return nil
		}
	}
	h = &hooks{before: hook(beforeMarks), after: hook(afterMarks), check: func(int32) error {
		if at == beforeCheck && spring() {
			return errCrash
		}
		return nil
	}}
	on := func(key int16, unheard, unacked crashPoint, mine func(kmsg.Request) bool) {
		if at != unheard && at != unacked {
			return
		}
		w.cluster.ControlKey(key, func(req kmsg.Request) (kmsg.Response, error, bool) {
			if victim.Load() == nil || !mine(req) || !spring() {
				return nil, nil, false
			}
			return nil, errors.New("the connection is gone"), at == unheard
		})
	}
	any := func(kmsg.Request) bool { return true }
	on(int16(kmsg.Produce), produceUnheard, produceUnacked, w.producesTo(testOut))
	if at == evidenceUnheard || at == evidenceUnacked {
		on(int16(kmsg.Produce), evidenceUnheard, evidenceUnacked, w.producesTo(testDup))
	}
	on(int16(kmsg.OffsetCommit), commitUnheard, commitUnacked, any)
	if at == onClaimUnheard || at == onClaimUnanswered { // the first commit of a life that was not preceded by a crash
		on(int16(kmsg.OffsetCommit), onClaimUnheard, onClaimUnanswered, any)
	}
	return h, victim.Store
}

// live runs a life until it dies in the trap, or has handled everything, which then ends in a clean stop.
func (w *world) live(at crashPoint, n int64, percent int, seed uint64) (died bool) {
	w.t.Helper()
	h, arm := w.trap(at, n, percent, seed)
	l := w.prepare(h, brief)
	arm(l)
	l.start()
	defer arm(nil)
	return w.untilDeath(l)
}

// untilDeath returns when a life has died, which it says, or has handled everything; that one is ended by a clean stop, whose commits may
// still be its death.
func (w *world) untilDeath(l *life) (died bool) {
	w.t.Helper()
	w.eventually("handled or dead", func() bool {
		select {
		case <-l.dead:
			return true
		case <-l.done:
			return true
		default:
			return l.idle()
		}
	})
	select {
	case <-l.dead:
		l.bury()
		return true
	default:
	}
	l.cancel()
	<-l.done
	select {
	case <-l.dead:
		_ = l.e.Close()
		return true
	default:
	}
	require.NoError(w.t, l.err)
	require.NoError(w.t, l.e.Close())
	return false
}

// TestCrashAtEveryStep: whatever the moment, the next life leaves no hole and repeats nothing.
func TestCrashAtEveryStep(t *testing.T) {
	for _, at := range crashPoints {
		for _, percent := range []int{0, 50, 100} {
			t.Run(fmt.Sprintf("%s/unsynced=%d", at, percent), func(t *testing.T) {
				w := newWorld(t, 2)
				rng := rand.New(rand.NewPCG(7, uint64(percent)))
				deaths := 0
				for n := int64(1); n <= 6; n++ {
					w.feed(history(rng, 2, 300)...)
					if w.live(at, n, percent, uint64(n)) {
						deaths++
					}
				}
				require.Positive(t, deaths, "the trap never sprang")
				l := w.start(nil, nil)
				l.settle()
				l.stop()
				w.requireClean()
			})
		}
	}
}

// TestCrashesAtRandom: many lives, each dying somewhere, with records fed in between.
func TestCrashesAtRandom(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt, 3)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 3))
		for range rapid.IntRange(1, 6).Draw(rt, "lives") {
			w.feed(history(rng, 3, rng.IntN(400))...)
			w.live(rapid.SampledFrom(crashPoints).Draw(rt, "point"), rapid.Int64Range(1, 12).Draw(rt, "n"),
				rapid.SampledFrom([]int{0, 30, 100}).Draw(rt, "unsynced"), rng.Uint64())
		}
		l := w.start(nil, nil)
		l.settle()
		l.stop()
		w.requireClean()
	})
}

// TestCrashWhileCatchingUp: a life finds much of the output written already, commits somewhere in that, and dies. The
// scan of the next one must not begin where this one's ended.
func TestCrashWhileCatchingUp(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(history(rand.New(rand.NewPCG(3, 3)), 1, 5000)...)
	l := w.prepare(nil, nil)
	var commits atomic.Int64
	l.relay.member.cfg.CommitInterval = patience // so that no commit comes before all is in the output
	l.start()
	w.eventually("all in the output", l.idle)
	l.die(100, 1)
	l.bury()

	var first atomic.Bool
	var l2 *life
	l2 = w.prepare(&hooks{check: func(int32) error {
		if first.Swap(true) {
			w.eventually("a commit of the first chunk", func() bool { return commits.Load() > 0 })
			l2.die(100, 2)
			return errCrash
		}
		return nil
	}}, nil)
	w.cluster.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		if at := req.(*kmsg.OffsetCommitRequest).Topics[0].Partitions[0].Offset; at > 0 && at < 5000 {
			commits.Add(1)
		}
		return nil, nil, false
	})
	l2.start()
	l2.bury()
	at, _ := w.committed(0)
	require.Positive(t, at)
	require.Less(t, at, int64(5000))

	l = w.start(nil, nil)
	l.settle()
	require.Positive(t, l.relay.Stats().Totals.AlreadyThere)
	l.stop()
	w.requireClean()
}

// TestCleanRestart: a clean stop leaves nothing to find out, and "clean" is taken back before anything is produced.
func TestCleanRestart(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"), rec(0, "b", "2"))
	l := w.start(nil, nil)
	l.settle()
	l.stop()
	_, meta := w.committed(0)
	require.Equal(t, "noecho/1 at=2 out=2 clean", meta)

	var atProduce atomic.Pointer[string]
	l = w.start(&hooks{check: func(int32) error { _, m := w.committed(0); atProduce.Store(&m); return nil }}, nil)
	require.NoError(t, w.cl.ProduceSync(t.Context(), &kgo.Record{Topic: testIn, Key: []byte("c"), Value: []byte("3")}).FirstErr())
	w.eventually("a check", func() bool { return atProduce.Load() != nil })
	require.Equal(t, "noecho/1 at=2 out=2", *atProduce.Load())
	l.stop()
	_, meta = w.committed(0)
	require.Equal(t, "noecho/1 at=3 out=3 clean", meta)
}
