package kafka

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const testSession = 600 * time.Millisecond // of a group whose coordinator assigns

// newAssignedWorld is a world whose lives are members of a group of ProtocolConsumer.
func newAssignedWorld(t tb, parts int32, opts ...kfake.Opt) *world {
	t.Helper()
	w := newWorld(t, parts, append(opts, kfake.BrokerConfigs(map[string]string{
		"group.consumer.heartbeat.interval.ms": "20", "group.consumer.session.timeout.ms": strconv.Itoa(int(testSession.Milliseconds())),
	}))...)
	w.edit = func(cfg *RelayConfig) {
		cfg.GroupProtocol, cfg.RebalanceTimeout = ProtocolConsumer, 6*time.Second
		cfg.Client = append(cfg.Client, kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }))
	}
	w.editConsumer = func(cfg *ConsumerConfig) {
		cfg.GroupProtocol, cfg.RebalanceTimeout = ProtocolConsumer, 6*time.Second
		cfg.Client = append(cfg.Client, kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }))
	}
	return w
}

// assignedGuest is guest in such a group.
func (w *world) assignedGuest() *kgo.Client {
	w.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.ConsumerGroup(testGroup), kgo.ConsumeTopics(testIn),
		kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.ServerSideBalancer(), kgo.DisableAutoCommit())
	require.NoError(w.t, err)
	return cl
}

// named gives a life an instance id of its own: stores of one world share theirs.
func named(name string) func(*RelayConfig) { return func(cfg *RelayConfig) { cfg.InstanceID = name } }

// shared waits until the members have their share, and have handled all that was fed.
func (w *world) shared(each int, lives ...*life) {
	w.t.Helper()
	w.eventually("shared out and handled", func() bool {
		next := make(map[int32]int64)
		for _, l := range lives {
			as := l.m.assignments()
			if len(as) != each || !l.m.lease.holds() {
				return false
			}
			for _, a := range as {
				g := a.gauges()
				if g.state == StateRestoring {
					return false
				}
				next[a.part] = g.next
			}
		}
		for part := range w.parts {
			if fed := w.fed[part]; len(fed) > 0 && next[part] <= fed[len(fed)-1].Offset {
				return false
			}
		}
		return len(next) == int(w.parts)
	})
}

func (l *life) partitions() (parts []int32) {
	for _, a := range l.m.assignments() {
		parts = append(parts, a.part)
	}
	slices.Sort(parts)
	return parts
}

// TestAssignedByTheBroker: two members share the partitions; one stops and comes back to what it had, dies and is replaced by the other, and
// comes back again. Nothing is lost, nothing repeated, and no copy passes.
func TestAssignedByTheBroker(t *testing.T) {
	for _, fencing := range []Fencing{FencingNone, FencingTransactional} {
		t.Run(string(fencing), func(t *testing.T) {
			w := newAssignedWorld(t, 4)
			w.txn = fencing == FencingTransactional
			rng := rand.New(rand.NewPCG(84, 1))
			here, there := w, w.process()
			w.feed(history(rng, 4, 1000)...)
			a := here.start(nil, named("a"))
			w.shared(4, a)
			b := there.start(nil, named("b"))
			feed := func() { w.feed(history(rng, 4, 1000)...) }
			w.shared(2, a, b)
			feed()
			w.shared(2, a, b)
			groups, err := w.adm.DescribeConsumerGroups(t.Context(), testGroup)
			require.NoError(t, err)
			require.Len(t, groups[testGroup].Members, 2)
			require.Equal(t, "uniform", groups[testGroup].AssignorName)

			had := b.partitions()
			b.stop()
			feed()
			b = there.start(nil, named("b"))
			w.shared(2, a, b)
			require.Equal(t, had, b.partitions(), "a static member that stops keeps what it has")

			feed()
			b.die(50, 1)
			b.bury()
			feed()
			w.shared(4, a)
			b = there.start(nil, named("b"))
			w.shared(2, a, b)
			feed()
			w.shared(2, a, b)
			a.stop()
			b.stop()
			w.requireClean()
		})
	}
}

// TestAssignedStop: a stop tells the group whose partitions are to wait: without the instance id a broker does not know.
func TestAssignedStop(t *testing.T) {
	w := newAssignedWorld(t, 1)
	l := w.start(nil, named("a"))
	l.settle()
	left := make(chan string, 8)
	w.cluster.ControlKey(int16(kmsg.ConsumerGroupHeartbeat), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if hb := req.(*kmsg.ConsumerGroupHeartbeatRequest); hb.MemberEpoch < 0 {
			name := "nobody"
			if hb.InstanceID != nil {
				name = *hb.InstanceID
			}
			left <- fmt.Sprint(name, hb.MemberEpoch)
		}
		return nil, nil, false
	})
	l.stop()
	require.Equal(t, "a-2", <-left)
	require.Empty(t, left)
}

// TestAssignedConsumers: the same for consumers. What the one that dies has handled and not committed is handled again; nothing else is.
func TestAssignedConsumers(t *testing.T) {
	w := newAssignedWorld(t, 4)
	rng := rand.New(rand.NewPCG(84, 2))
	there := w.process()
	book := newBook()
	start := func(w *world, name string) *life {
		return w.consume(book.handle, func(cfg *ConsumerConfig) { cfg.InstanceID = name })
	}
	feed := func() { w.feed(history(rng, 4, 500)...) }
	feed()
	a, b := start(w, "a"), start(there, "b")
	w.shared(2, a, b)
	feed()
	w.shared(2, a, b)
	for part := range w.parts {
		require.Equal(t, w.firstGood(part, book), book.of(part), "while they only share")
	}
	b.die(50, 1)
	b.bury()
	feed()
	w.shared(4, a)
	b = start(there, "b")
	w.shared(2, a, b)
	feed()
	w.shared(2, a, b)
	a.stop()
	b.stop()
	for part := range w.parts {
		require.Equal(t, w.firstGood(part, book), book.set(part))
	}
}

// mute has the coordinator hear nothing of a member, until the returned function is called. The others it hears.
func (l *life) mute() (unmute func()) {
	id, _ := l.m.cl.GroupMetadata()
	release := make(chan struct{})
	for _, key := range []kmsg.Key{kmsg.ConsumerGroupHeartbeat, kmsg.OffsetCommit, kmsg.TxnOffsetCommit} {
		l.w.cluster.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
			l.w.cluster.KeepControl()
			var from string
			switch req := req.(type) {
			case *kmsg.ConsumerGroupHeartbeatRequest:
				from = req.MemberID
			case *kmsg.OffsetCommitRequest:
				from = req.MemberID
			case *kmsg.TxnOffsetCommitRequest:
				from = req.MemberID
			}
			if from == id {
				select {
				case <-release:
				default:
					l.w.cluster.SleepControl(func() { <-release })
				}
			}
			return nil, nil, false
		})
	}
	l.w.t.Cleanup(func() {
		select {
		case <-release:
		default:
			close(release)
		}
	})
	return func() { close(release) }
}

// TestAssignedZombie: the coordinator has given a member up, which lives on, and has records of its former partitions in hand when it hears of
// it. It writes none of them.
func TestAssignedZombie(t *testing.T) {
	for _, fencing := range []Fencing{FencingNone, FencingTransactional} {
		t.Run(string(fencing), func(t *testing.T) {
			w := newAssignedWorld(t, 4)
			w.txn = fencing == FencingTransactional
			rng := rand.New(rand.NewPCG(84, 3))
			there := w.process()
			w.feed(history(rng, 4, 500)...)
			a, b := w.start(nil, named("a")), there.start(nil, named("b"))
			w.shared(2, a, b)
			had := b.partitions()
			unmute := b.mute()
			b.lapsed()
			before := b.relay.Stats().Totals.Produced
			w.feed(history(rng, 4, 500)...)
			w.eventually("all taken over", func() bool { return len(a.m.assignments()) == 4 })
			w.shared(4, a)
			require.Equal(t, had, b.partitions(), "it does not know")
			require.Equal(t, before, b.relay.Stats().Totals.Produced)
			require.True(t, b.relay.Stats().Unconfirmed)
			unmute()
			w.shared(2, a, b)
			w.feed(history(rng, 4, 500)...)
			w.shared(2, a, b)
			a.stop()
			b.stop()
			w.requireClean()
		})
	}
}

// TestAssignedCutOff: a coordinator that answers nobody takes no partitions away. The member waits, and goes on.
func TestAssignedCutOff(t *testing.T) {
	w := newAssignedWorld(t, 2)
	w.feed(rec(0, "a", "1"), rec(1, "a", "1"))
	l := w.start(nil, nil)
	l.settle()
	unmute := l.mute()
	l.lapsed()
	for i := range 100 {
		w.feed(rec(int32(i%2), fmt.Sprintf("b%d", i), "1"))
	}
	time.Sleep(100 * time.Millisecond) // a relay that does not know better is done with all of it by now
	require.EqualValues(t, 2, l.relay.Stats().Totals.Produced)
	unmute()
	l.settle()
	l.stop()
	w.requireClean()
}

// TestAssignedSlowToGiveBack: the coordinator waits for a partition, and goes on answering heartbeats. When it has waited for the rebalance timeout it
// gives the member up: by then the member does not act on what it keeps, either.
func TestAssignedSlowToGiveBack(t *testing.T) {
	w := newAssignedWorld(t, 2)
	assigned := w.editConsumer
	w.editConsumer = func(cfg *ConsumerConfig) { assigned(cfg); cfg.RebalanceTimeout = 500 * time.Millisecond }
	w.feed(rec(0, "a", "1"), rec(1, "a", "1"))
	b, entered, release := newBook(), make(chan struct{}, 2), make(chan struct{})
	l := w.consume(func(ctx context.Context, batch Batch) error {
		select {
		case entered <- struct{}{}:
		default:
		}
		<-release // for longer than it may
		return b.handle(ctx, batch)
	}, nil)
	letGo := sync.OnceFunc(func() { close(release) })
	t.Cleanup(letGo)
	<-entered
	<-entered
	g := w.assignedGuest()
	defer g.Close()
	l.lapsed()
	require.True(t, within(*l.m.lease.proof.Load(), l.m.lease.length()), "its heartbeats are answered")
	letGo()
	w.eventually("confirmed again", l.m.lease.holds)
	g.Close()
	l.settle()
	l.stop()
	for part := range w.parts {
		require.Equal(t, []int64{0}, b.set(part))
	}
}

// TestAssignedStaleEpoch: a commit meets an epoch that is over. While it runs the next one makes good; the last one of a stop is tried again.
func TestAssignedStaleEpoch(t *testing.T) {
	w := newAssignedWorld(t, 1)
	l := w.start(nil, nil)
	l.settle()
	stale := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: testGroup, Err: kerr.StaleMemberEpoch, Count: 1})
	w.feed(rec(0, "a", "1"))
	require.NoError(t, stale.Wait(t.Context(), 1))
	l.settle()

	l.m.commitMu.Lock() // no tick comes before the stop
	w.feed(rec(0, "b", "2"), rec(0, "a", "3"))
	w.eventually("handled", l.idle)
	stale = w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: testGroup, Err: kerr.StaleMemberEpoch, Count: 2})
	l.cancel()
	l.m.commitMu.Unlock()
	l.stop()
	require.EqualValues(t, 2, stale.Hits())
	at, meta := w.committed(0)
	m, ok := parseMetadata(meta, at)
	require.True(t, ok && m.clean && at == 3, "%d %q", at, meta)
	w.requireClean()
}

// TestScopeTopicAssigned: a second member is refused also where the coordinator assigns; one that joins all the same ends the first.
func TestScopeTopicAssigned(t *testing.T) {
	w := newAssignedWorld(t, 2)
	assigned := w.edit
	w.edit = func(cfg *RelayConfig) { assigned(cfg); topicWide(cfg) }
	l := w.start(nil, named("one"))
	w.feed(spread(rand.New(rand.NewPCG(54, 1)), 2, 0, 500)...)
	l.settle()
	refused := (*ScopeError)(nil)
	for _, protocol := range []GroupProtocol{ProtocolConsumer, ProtocolClassic} {
		second := w.process().prepare(nil, func(cfg *RelayConfig) { cfg.InstanceID, cfg.GroupProtocol = "two", protocol })
		require.ErrorAs(t, second.relay.Preflight(t.Context()), &refused, protocol)
		require.ErrorContains(t, refused, "another member")
		require.NoError(t, second.e.Close())
	}
	g := w.assignedGuest()
	defer g.Close()
	<-l.done
	require.ErrorAs(t, l.err, &refused)
	require.NoError(t, l.e.Close())
	w.requireEach(1)
}

// TestProtocolSwitch: the group's offsets and the store's marks stay when a group goes over.
func TestProtocolSwitch(t *testing.T) {
	w := newAssignedWorld(t, 2)
	assigned := w.edit
	w.edit = brief
	w.feed(history(rand.New(rand.NewPCG(84, 9)), 2, 1000)...)
	l := w.start(nil, nil)
	l.settle()
	l.stop()
	w.vacate()
	w.edit = assigned
	for part := range w.parts {
		w.feed(w.again(part)...)
		w.feed(rec(part, "new", "1"))
	}
	l = w.start(nil, nil)
	l.settle()
	l.stop()
	w.requireClean()
}
