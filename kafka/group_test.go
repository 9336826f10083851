package kafka

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// guest is a plain member of the relay's group, which takes its share of the partitions until it leaves.
func (w *world) guest() *kgo.Client {
	w.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.ConsumerGroup(testGroup), kgo.ConsumeTopics(testIn),
		kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.DisableAutoCommit(), kgo.HeartbeatInterval(20*time.Millisecond))
	require.NoError(w.t, err)
	return cl
}

// quick makes rebalances quick.
func quick(cfg *RelayConfig) { cfg.SessionTimeout = 400 * time.Millisecond }

// shareWithGuest lets another member have half of the four partitions for a while: those are committed, and cleanly.
func (l *life) shareWithGuest() {
	w := l.w
	w.t.Helper()
	w.eventually("all mine, and claimed", func() bool {
		as := l.m.assignments()
		return len(as) == 4 && !slices.ContainsFunc(as, func(a *assignment) bool { return a.gauges().state == StateRestoring })
	})
	g := w.guest()
	w.eventually("some revoked", func() bool { return len(l.m.assignments()) == 2 })
	mine := make(map[int32]bool)
	for _, a := range l.m.assignments() {
		mine[a.part] = true
	}
	for part := range w.parts {
		if !mine[part] {
			at, meta := w.committed(part)
			m, ok := parseMetadata(meta, at)
			require.True(w.t, ok && m.clean, "partition %d: %q", part, meta)
		}
	}
	g.Close()
}

// TestRevoke: revoked partitions are drained and committed, cleanly, and their state let go; the rest goes on. When they
// come back nothing is missing and nothing repeated.
func TestRevoke(t *testing.T) {
	w := newWorld(t, 4)
	rng := rand.New(rand.NewPCG(20, 20))
	w.feed(history(rng, 4, 2000)...)
	l := w.start(nil, quick)
	stop := make(chan struct{})
	var feeding sync.WaitGroup
	feeding.Go(func() { // records flow all the time
		cl, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			panic(err)
		}
		defer cl.Close()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			r := rec(int32(i%4), fmt.Sprintf("live%d", i/8), fmt.Sprint(i))
			r.Topic = testIn
			if err := cl.ProduceSync(context.Background(), r).FirstErr(); err != nil {
				panic(err)
			}
		}
	})
	for range 3 {
		l.shareWithGuest()
	}
	w.eventually("all mine again", func() bool { return len(l.relay.Stats().Partitions) == 4 })
	close(stop)
	feeding.Wait()
	w.fed = w.read(testIn)
	l.settle()
	require.Zero(t, l.relay.Stats().Totals.AlreadyThere, "a drained partition leaves nothing to find again")
	l.stop()
	w.requireClean()
}

// expire has the group say that it does not know its member until that has heard of it: the lease sends heartbeats as well as the client.
func (w *world) expire(heard <-chan struct{}) {
	expired := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: testGroup, Err: kerr.UnknownMemberID, Count: -1})
	defer expired.Remove()
	<-heard
}

// TestLost: the session expires while batches wait for the output. Of the lost partitions nothing is written, nothing
// committed, and when they are assigned again the work is done over.
func TestLost(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(history(rand.New(rand.NewPCG(21, 21)), 1, 500)...)
	stuck := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testOut, Err: kerr.NotEnoughReplicas, Count: -1})
	var commits atomic.Int64
	l := w.start(&hooks{before: func(int32, int64) error { commits.Add(1); return nil }}, quick)
	require.NoError(t, stuck.Wait(t.Context(), 2))
	w.eventually("a worker", func() bool { return len(l.relay.assignments()) == 1 })
	first := l.relay.assignments()[0]
	w.expire(first.done)
	require.True(t, first.isKilled())
	require.False(t, first.isDrained())
	require.Zero(t, commits.Load())
	at, _ := w.committed(0)
	require.Zero(t, at) // the claim
	stuck.Remove()
	l.settle()
	l.stop()
	w.requireClean()
}

// TestDrainTooSlow: the output does not take what is under way within the rebalance timeout. The relay lets go all the
// same, commits only what is acknowledged, not as clean, and the next life makes it good.
func TestDrainTooSlow(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(history(rand.New(rand.NewPCG(22, 22)), 1, 500)...)
	stuck := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testOut, Err: kerr.NotEnoughReplicas, Count: -1})
	l := w.start(nil, func(cfg *RelayConfig) { cfg.RebalanceTimeout = 200 * time.Millisecond })
	require.NoError(t, stuck.Wait(t.Context(), 1))
	l.stop()
	at, meta := w.committed(0)
	require.Zero(t, at)
	require.Equal(t, "noecho/1 at=0 out=0", meta)
	stuck.Remove()
	l = w.start(nil, nil)
	l.settle()
	l.stop()
	w.requireClean()
}

// TestStopDrains: a stop finishes what is under way: the next life finds nothing already there.
func TestStopDrains(t *testing.T) {
	w := newWorld(t, 2)
	w.feed(history(rand.New(rand.NewPCG(23, 23)), 2, 20000)...)
	l := w.start(nil, nil)
	w.eventually("in the middle", func() bool { return l.relay.Stats().Totals.Produced > 1000 })
	l.stop()
	l = w.start(nil, nil)
	l.settle()
	require.Zero(t, l.relay.Stats().Totals.AlreadyThere)
	l.stop()
	w.requireClean()
}

// TestRunTwice: one relay, one Run.
func TestRunTwice(t *testing.T) {
	w := newWorld(t, 1)
	l := w.start(nil, nil)
	l.stop()
	require.Error(t, l.relay.Run(t.Context()))
}

// TestGroupRefused: a session timeout that the broker does not take ends the relay with the remedy, not a loop.
func TestGroupRefused(t *testing.T) {
	w := newWorld(t, 1)
	w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Group: testGroup, Err: kerr.InvalidSessionTimeout, TopLevel: true, Count: -1})
	l := w.start(nil, nil)
	<-l.done
	var refused *GroupError
	require.ErrorAs(t, l.err, &refused)
	require.ErrorIs(t, l.err, kerr.InvalidSessionTimeout)
	require.Contains(t, refused.Hint, "45s", "what was asked for")
}
