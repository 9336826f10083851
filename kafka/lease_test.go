package kafka

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestLease(t *testing.T) {
	var l lease
	l.init(time.Hour)
	l.limit(2 * time.Hour)
	require.False(t, l.holds(), "before anything was answered")
	waits := l.held()
	require.NotEqual(t, (<-chan struct{})(always), waits)
	l.renew(time.Now())
	require.True(t, l.holds())
	<-waits
	require.Equal(t, (<-chan struct{})(always), l.held())
	l.renew(time.Now().Add(-55 * time.Minute))
	require.False(t, l.holds(), "a tenth of the session is for what is on its way")
	slept := time.Now().Round(0).Add(-2 * time.Hour) // the wall clock alone shows it
	l.renew(slept)
	require.False(t, l.holds())
}

// noCoordinator has the group's coordinator answer nothing until the returned function is called; the partitions' leaders do. kfake
// gives members up meanwhile, as the coordinator would.
func (w *world) noCoordinator() (back func()) {
	release := make(chan struct{})
	for _, key := range []kmsg.Key{kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.OffsetCommit} {
		w.cluster.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
			w.cluster.KeepControl()
			select {
			case <-release:
			default:
				w.cluster.SleepControl(func() { <-release })
			}
			return nil, nil, false
		})
	}
	back = sync.OnceFunc(func() { close(release) })
	w.t.Cleanup(back)
	return back
}

// hasty has a short session, and a rebalance timeout that is not.
func hasty(cfg *RelayConfig) { cfg.SessionTimeout = 500 * time.Millisecond }

// lapsed waits until the coordinator has not answered for a session.
func (l *life) lapsed() {
	l.w.t.Helper()
	l.w.eventually("a lease that ends", func() bool { return !l.m.lease.holds() })
}

// TestCutOffFromTheCoordinator: a member that hears nothing of the group's coordinator for a session does not know whether its partitions are
// another's by now. It sends nothing, though the leaders are there, and goes on when it hears of it.
func TestCutOffFromTheCoordinator(t *testing.T) {
	w := newWorld(t, 2)
	w.feed(rec(0, "a", "1"), rec(1, "a", "1"))
	l := w.start(nil, hasty)
	l.settle()
	back := w.noCoordinator()
	l.lapsed()
	for i := range 200 {
		w.feed(rec(int32(i%2), fmt.Sprintf("b%d", i), "1"))
	}
	w.eventually("records in hand", func() bool {
		as := l.m.assignments()
		return len(as) == 0 || as[0].highWater.Load() > 100
	})
	time.Sleep(100 * time.Millisecond) // a relay that does not know better is done with all of it by now
	require.EqualValues(t, 2, l.relay.Stats().Totals.Produced)
	require.True(t, l.relay.Stats().Unconfirmed)
	require.False(t, l.relay.Stats().LeaseHeld)
	back()
	l.settle()
	l.stop()
	w.requireClean()
}

// TestConsumerCutOffFromTheCoordinator: the handler is not called meanwhile.
func TestConsumerCutOffFromTheCoordinator(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"))
	b := newBook()
	l := w.consume(b.handle, func(cfg *ConsumerConfig) { cfg.SessionTimeout = 500 * time.Millisecond })
	l.settle()
	back := w.noCoordinator()
	l.lapsed()
	w.feed(rec(0, "b", "1"), rec(0, "a", "2"), rec(0, "c", "1"))
	w.eventually("records in hand", func() bool {
		as := l.m.assignments()
		return len(as) == 0 || as[0].highWater.Load() == 4
	})
	time.Sleep(100 * time.Millisecond)
	require.Equal(t, []int64{0}, b.of(0))
	stats := l.c.Stats()
	require.False(t, stats.Ready())
	back()
	l.settle()
	l.stop()
	require.Equal(t, []int64{0, 1, 3}, b.set(0))
}

// TestStopWithoutTheCoordinator: a stop in that state ends, loses nothing, and repeats nothing.
func TestStopWithoutTheCoordinator(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"))
	l := w.start(nil, func(cfg *RelayConfig) { hasty(cfg); cfg.RebalanceTimeout = 2 * time.Second })
	l.settle()
	back := w.noCoordinator()
	l.lapsed()
	w.feed(rec(0, "b", "1"), rec(0, "a", "2"))
	w.eventually("records in hand", func() bool {
		as := l.m.assignments()
		return len(as) == 0 || as[0].highWater.Load() == 3
	})
	l.stop()
	back()
	l = w.start(nil, oneName)
	l.settle()
	l.stop()
	w.requireClean()
}

// TestWaitingToJoin: a rebalance that takes longer than a session, because somebody else is slow to join, is no reason to stop: the member that
// waits is still its partitions' owner, and the coordinator says so. The client sends no heartbeats meanwhile.
func TestWaitingToJoin(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"))
	l := w.start(nil, hasty)
	l.settle()
	joining, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.cluster.ControlKey(int16(kmsg.JoinGroup), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if id := req.(*kmsg.JoinGroupRequest).InstanceID; id != nil { // the relay's, not the guest's
			once.Do(func() { close(joining) })
			select {
			case <-release:
			default:
				w.cluster.SleepControl(func() { <-release })
			}
		}
		return nil, nil, false
	})
	back := sync.OnceFunc(func() { close(release) })
	t.Cleanup(back)
	g := w.guest()
	defer g.Close()
	<-joining
	for i, until := 0, time.Now().Add(3*l.m.cfg.SessionTimeout); time.Now().Before(until); i++ {
		w.feed(rec(0, fmt.Sprintf("b%d", i), "1"))
		w.produced(l, uint64(i)+2)
	}
	back()
	g.Close()
	l.settle()
	l.stop()
	w.requireClean()
}
