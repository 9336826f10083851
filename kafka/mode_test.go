package kafka

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

func set(t tb, l *life, m Mode) {
	t.Helper()
	_, err := l.relay.SetMode(m)
	require.NoError(t, err)
}

// TestShadow: everything passes, in order; what would not is counted and carries the evidence; nothing is missing on the way
// back.
func TestShadow(t *testing.T) {
	for name, edit := range map[string]func(*RelayConfig){"drop": func(*RelayConfig) {}, "tag": tagging, "topic": toTopic} {
		t.Run(name, func(t *testing.T) {
			w := withDuplicates(t, 2)
			w.edit = edit
			w.feed(history(rand.New(rand.NewPCG(31, 1)), 2, 2000)...)
			l := w.start(nil, func(c *RelayConfig) { c.Mode = ModeShadow })
			l.settle()
			w.requireTagged()
			s := l.relay.Stats()
			require.Equal(t, ModeShadow, s.Mode)
			require.Positive(t, s.Totals.Duplicate)
			require.Equal(t, s.Totals.Duplicate, s.Totals.Tagged)
			require.EqualValues(t, 2000, s.Totals.Produced)
			require.Empty(t, w.read(testDup))

			set(t, l, ModeActive)
			for part := range w.parts {
				again := *w.fed[part][0]
				again.Headers = nil
				w.feed(&again)
			}
			l.settle()
			require.Equal(t, s.Totals.Duplicate+2, l.relay.Stats().Totals.Duplicate, "marks were taken in meanwhile")
			l.stop()
		})
	}
}

// TestShadowWithoutAKey: what on_missing_key would drop passes too, and says so.
func TestShadowWithoutAKey(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"), &kgo.Record{Value: []byte("no key")}, rec(0, "a", "1"))
	l := w.start(nil, func(c *RelayConfig) { c.Mode, c.OnMissingKey = ModeShadow, MissingDrop })
	l.settle()
	l.stop()
	out := w.output()[0]
	requireSame(t, 0, w.fed[0], out)
	require.Empty(t, evidenceOf(out[0]))
	require.Equal(t, map[string]string{verdictHeader: "no_key"}, evidenceOf(out[1]))
	require.Equal(t, "duplicate", evidenceOf(out[2])[verdictHeader])
}

// TestBypass: everything passes untouched, and leaves no marks: that is counted, and its copies pass once after the way back.
func TestBypass(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"), rec(0, "b", "1"))
	l := w.start(nil, nil)
	l.settle()
	set(t, l, ModeBypass)
	w.feed(rec(0, "a", "2"), rec(0, "c", "1"), rec(0, "c", "2"))
	l.settle()
	require.EqualValues(t, 3, l.relay.Stats().Totals.Unjudged)
	set(t, l, ModeActive)
	w.feed(rec(0, "a", "3"), rec(0, "c", "3"), rec(0, "c", "4"), rec(0, "d", "1"))
	l.settle()
	require.Zero(t, l.relay.Stats().Totals.Tagged)
	l.stop()
	// a: dropped by its mark from before. c: the first copy after the way back passes, for want of one.
	want := append(append([]*kgo.Record{}, w.fed[0][:5]...), w.fed[0][6], w.fed[0][8])
	out := w.output()[0]
	requireSame(t, 0, want, out)
	for _, r := range out {
		require.Empty(t, evidenceOf(r))
	}
}

// TestBypassDoesNotAskTheStore: records flow and offsets are committed while every call of the store fails; the way back stops
// the relay as it would have been stopped without the switch, and nothing is lost.
func TestBypassDoesNotAskTheStore(t *testing.T) {
	w := newWorld(t, 2)
	broken := errors.New("the store is broken")
	h := &hooks{check: func(int32) error { return broken }, before: func(int32, int64) error { return broken }, probe: func() error { return broken }}
	w.feed(history(rand.New(rand.NewPCG(32, 1)), 2, 2000)...)
	l := w.start(h, func(c *RelayConfig) { c.Mode = ModeBypass })
	l.settle()
	commits := l.relay.Stats().Commits
	w.feed(rec(0, "x", "1"))
	w.eventually("another commit", func() bool { return l.relay.Stats().Commits > commits })
	l.settle()
	out := w.output()
	for part := range w.parts {
		requireSame(t, part, w.fed[part], out[part])
	}
	set(t, l, ModeActive)
	w.feed(rec(0, "y", "1"))
	<-l.done
	require.ErrorIs(t, l.err, broken)
	require.NoError(t, l.e.Close())
	l = w.start(nil, nil)
	l.settle()
	l.stop()
	requireSame(t, 0, w.fed[0], w.output()[0])
}

// TestSwitchWhileTheStoreFails: the switch is thrown while the store is asked, and then it fails. The chunk passes.
func TestSwitchWhileTheStoreFails(t *testing.T) {
	w := newWorld(t, 1)
	var l *life
	h := &hooks{check: func(int32) error {
		set(w.t, l, ModeBypass)
		return errors.New("too late to matter")
	}}
	l = w.prepare(h, nil)
	w.feed(history(rand.New(rand.NewPCG(33, 1)), 1, 500)...)
	l.start()
	l.settle()
	l.stop()
	requireSame(t, 0, w.fed[0], w.output()[0])
}

// TestRelayWithoutAStore: in bypass the relay needs none, and finds in the output what is there already; there is no way back
// but a restart.
func TestRelayWithoutAStore(t *testing.T) {
	cfg := RelayConfig{Input: "a", Output: "b", Group: "g", Mode: ModeBypass}
	_, err := NewRelay(cfg)
	require.ErrorContains(t, err, "instance_id is missing")
	cfg.Mode, cfg.InstanceID = ModeActive, "one"
	_, err = NewRelay(cfg)
	require.ErrorContains(t, err, "engine is missing")

	w := newWorld(t, 2)
	w.feed(history(rand.New(rand.NewPCG(34, 1)), 2, 1000)...)
	l := w.prepare(nil, nil)
	l.relay.member.cfg.CommitInterval = patience // all is in the output, and nothing of it is committed
	l.start()
	w.eventually("all in the output", l.idle)
	l.die(0, 1)
	l.bury()
	w.requireClean()

	w.feed(history(rand.New(rand.NewPCG(34, 2)), 2, 1000)...)
	l = w.prepare(nil, nil)
	cfg = l.relay.cfg
	cfg.Mode, cfg.InstanceID = ModeBypass, "noecho-"+l.e.ID()
	l.relay, err = NewRelay(cfg)
	require.NoError(t, err)
	l.m, l.run = &l.relay.member, l.relay.Run
	l.start()
	l.settle()
	_, err = l.relay.SetMode(ModeActive)
	var refused *ModeError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, ModeBypass, l.relay.Mode())
	l.stop()
	w.requireOriginals()
	totals := l.relay.Stats().Totals
	require.Positive(t, totals.AlreadyThere)
	require.Positive(t, totals.Unjudged)
	l = w.start(nil, nil)
	l.settle()
	l.stop()
	w.requireOriginals()
}

// unclaimable is a store that gives no partition away.
type unclaimable struct{ store }

func (unclaimable) Partition(string, int32) (partition, error) { return nil, errors.New("damaged") }

func TestBypassWithoutAState(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"), rec(0, "a", "2"))
	l := w.prepare(nil, func(c *RelayConfig) { c.Mode = ModeBypass })
	l.relay.store = unclaimable{l.relay.store}
	l.start()
	l.settle()
	_, err := l.relay.SetMode(ModeShadow)
	require.ErrorContains(t, err, "mend it and restart")
	l.stop()
	requireSame(t, 0, w.fed[0], w.output()[0])
}

func TestSetMode(t *testing.T) {
	r, err := newRelay(RelayConfig{Input: "a", Output: "b", Group: "g"}, namedStore("abc"))
	require.NoError(t, err)
	require.Equal(t, ModeActive, r.Mode())
	was, err := r.SetMode(ModeShadow)
	require.NoError(t, err)
	require.Equal(t, ModeActive, was)
	_, err = r.SetMode("of")
	require.ErrorContains(t, err, `kafka: mode "of": there is no such mode; choose active, shadow or bypass`)
	require.Equal(t, ModeShadow, r.Stats().Mode)
	for _, m := range Modes() {
		require.NoError(t, m.validate())
	}
}

// switching throws the switch all the time until the returned function is called.
func (l *life) switching(seed uint64) (stop func()) {
	var done atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		rng := rand.New(rand.NewPCG(seed, 35))
		for !done.Load() {
			before := l.relay.Stats().Totals
			_, _ = l.relay.SetMode(Modes()[rng.IntN(3)])
			for !done.Load() { // until some records went through in it
				now := l.relay.Stats().Totals
				if now != before {
					break
				}
				time.Sleep(time.Millisecond)
			}
		}
	}()
	return func() { done.Store(true); <-ended }
}

// TestSwitchWhileRecordsFlow: nothing is lost, nothing overtakes, nothing comes twice, whatever becomes of duplicates; and no
// copy is anywhere without its evidence but where the engine was not asked.
func TestSwitchWhileRecordsFlow(t *testing.T) {
	for name, edit := range map[string]func(*RelayConfig){"drop": func(*RelayConfig) {}, "tag": tagging, "topic": toTopic} {
		t.Run(name, func(t *testing.T) {
			w := withDuplicates(t, 3)
			w.edit = edit
			rng := rand.New(rand.NewPCG(36, 1))
			l := w.start(nil, nil)
			stop := l.switching(1)
			fed := uint64(0)
			w.eventually("records went through in every mode, and in some more switches", func() bool {
				w.feed(history(rng, 3, 400)...)
				fed += 400
				totals := l.relay.Stats().Totals
				return fed >= 6000 && totals.Unjudged > 0 && totals.Tagged > 0 && (name == "tag" || totals.Duplicate > totals.Tagged)
			})
			stop()
			l.settle()
			totals := l.relay.Stats().Totals
			l.stop()
			w.requireOriginals()
			if name == "topic" {
				w.requireEvidenceOnce()
			}
			require.Equal(t, fed, totals.Unique+totals.Redelivery+totals.Duplicate+totals.Unjudged)
		})
	}
}

// requireEvidenceOnce says that every record is in the output or in the duplicates' topic, and in one of them.
func (w *world) requireEvidenceOnce() {
	w.t.Helper()
	out, dup := w.output(), w.read(testDup)
	for part := range w.parts {
		where := map[int64]int{}
		for _, r := range append(append([]*kgo.Record{}, out[part]...), dup[part]...) {
			source, ok := sourceOf(sourcePrefix(testIn, part), r)
			require.True(w.t, ok)
			where[source]++
		}
		for _, r := range w.fed[part] {
			require.Equal(w.t, 1, where[r.Offset], "%d/%d", part, r.Offset)
		}
	}
}

// TestCrashWhileSwitching: the same, through crashes at every step.
func TestCrashWhileSwitching(t *testing.T) {
	for i, at := range append([]crashPoint{evidenceUnheard, evidenceUnacked}, crashPoints...) {
		t.Run(string(at), func(t *testing.T) {
			w := withDuplicates(t, 2)
			rng := rand.New(rand.NewPCG(37, uint64(i)))
			for n := range int64(6) {
				w.edit = []func(*RelayConfig){toTopic, tagging, func(*RelayConfig) {}}[rng.IntN(3)]
				choice := w.edit
				w.edit = func(c *RelayConfig) { choice(c); c.Mode = Modes()[rng.IntN(3)] }
				w.feed(history(rng, 2, 300)...)
				var stop func()
				w.started = func(l *life) { stop = l.switching(uint64(n)) }
				w.live(at, 1+n, 50, uint64(n))
				stop()
			}
			w.edit, w.started = nil, nil
			l := w.start(nil, nil)
			l.settle()
			l.stop()
			w.requireOriginals()
		})
	}
}

// TestModeIsNotKept: a restart begins with the configuration's.
func TestModeIsNotKept(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"))
	l := w.start(nil, nil)
	set(t, l, ModeShadow)
	l.settle()
	l.stop()
	l = w.start(nil, nil)
	w.feed(rec(0, "a", "2"), rec(0, "b", fmt.Sprint(l.relay.Mode())))
	l.settle()
	l.stop()
	w.requireClean()
	require.Equal(t, "active", string(w.output()[0][1].Value))
}

// sickStore has a state that cannot be claimed.
type sickStore struct{ store }

func (sickStore) Partition(string, int32) (partition, error) { return nil, errBad }

// TestClaimAndSwitch: a partition that goes without its state, because the switch says bypass, and the way back at the same moment. One of the two
// has to lose: the claim fails, or the mode stays.
func TestClaimAndSwitch(t *testing.T) {
	w := newWorld(t, 1)
	cfg := w.config(&network{})
	cfg.InstanceID = "one"
	r, err := newRelay(cfg, sickStore{noStore{}})
	require.NoError(t, err)
	for range 20_000 {
		r.stateless.Store(false)
		_, err := r.SetMode(ModeBypass)
		require.NoError(t, err)
		var there atomic.Int32 // both at once, or the window is never met
		meet := func() {
			for there.Add(1); there.Load() < 2; {
				runtime.Gosched()
			}
		}
		back := make(chan struct{})
		go func() {
			defer close(back)
			meet()
			_, _ = r.SetMode(ModeActive)
		}()
		meet()
		state, err := r.claimState(0)
		<-back
		require.False(t, err == nil && r.Mode() == ModeActive, "active, with %T", state)
	}
}
