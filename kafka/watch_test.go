package kafka

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/engine"
	"noecho/internal/testutil"
)

// recreate deletes the input and makes it again, with records.
func (w *world) recreate(records ...*kgo.Record) {
	w.t.Helper()
	require.NoError(w.t, w.cluster.DeleteTopic(testIn))
	require.NoError(w.t, w.cluster.CreateTopic(testIn, w.parts, nil))
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(w.t, err)
	defer cl.Close()
	w.feedWith(cl, records...)
}

// TestInputRecreated: the new topic is longer than the old one was, so offsets fit, and mean other records. The id does not fit.
func TestInputRecreated(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"))
	w.run(brief)
	w.vacate()
	at, _ := w.committed(0)
	meta := metadata{at: at, out: 1, topic: topicID{1}}.String()
	w.recreate(rec(0, "b", "1"), rec(0, "c", "1"))
	// kfake forgets the offsets of a topic with it; a real group may still have them.
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...))
	require.NoError(t, err)
	defer cl.Close()
	offsets := make(kadm.Offsets)
	offsets.Add(kadm.Offset{Topic: testIn, Partition: 0, At: at, LeaderEpoch: -1, Metadata: meta})
	require.NoError(t, kadm.NewClient(cl).CommitAllOffsets(t.Context(), testGroup, offsets))
	l := w.start(nil, brief)
	<-l.done
	require.ErrorIs(t, l.err, ErrRecreated)
	require.ErrorContains(t, l.err, "empty data directory")
	require.Len(t, w.output()[0], 1)
}

// TestInputRecreatedWhileStopped: the broker has dropped the group's offsets together with the topic, and the new one is longer than
// the old one was. Only the store can tell: without the id its offset would be the start, and c and d were passed over.
func TestInputRecreatedWhileStopped(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"), rec(0, "b", "1"))
	w.run(brief)
	w.vacate()
	w.recreate(rec(0, "c", "1"), rec(0, "d", "1"), rec(0, "e", "1"))
	at, _ := w.committed(0)
	require.EqualValues(t, -1, at, "the broker still has the offset")
	for _, edit := range []func(*RelayConfig){brief, func(cfg *RelayConfig) { brief(cfg); cfg.Mode = ModeBypass }} {
		l := w.start(nil, edit)
		<-l.done
		require.ErrorIs(t, l.err, ErrRecreated)
		require.NoError(t, l.e.Close())
	}
	require.Len(t, w.output()[0], 2)
}

// TestInputRecreatedWhileLearning: what the store lacks is not in the new topic, and to go on without it is no remedy.
func TestInputRecreatedWhileLearning(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"), rec(0, "b", "1"))
	w.run(oneName)
	w.fs = testutil.NewFS()
	w.refuseLearning(2, kerr.NotLeaderForPartition.Code, -1) // until the topic is another one
	l := w.start(nil, oneName)
	w.eventually("learning", func() bool {
		l.m.learner.mu.Lock()
		defer l.m.learner.mu.Unlock()
		return l.m.learner.tail != nil && l.m.learner.tail.top.topicID() != topicID{}
	})
	w.recreate(rec(0, "c", "1"), rec(0, "d", "1"), rec(0, "e", "1"))
	<-l.done
	require.ErrorIs(t, l.err, ErrRecreated)
	var learning *LearnError
	require.False(t, errors.As(l.err, &learning), "%v", l.err)
	require.NoError(t, l.e.Close())
}

// TestConsumerInputRecreated: the same for a consumer.
func TestConsumerInputRecreated(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"), rec(0, "b", "1"))
	b := newBook()
	l := w.consume(b.handle, func(cfg *ConsumerConfig) { cfg.SessionTimeout = 300 * time.Millisecond })
	l.settle()
	l.stop()
	w.vacate()
	w.recreate(rec(0, "c", "1"), rec(0, "d", "1"), rec(0, "e", "1"))
	l = w.consume(b.handle, nil)
	<-l.done
	require.ErrorIs(t, l.err, ErrRecreated)
	require.NoError(t, l.e.Close())
	require.Equal(t, []int64{0, 1}, b.of(0))
}

// TestStoreTakesOnTheInput: a store from before the id was kept gets it at its next start, and so does one that was in bypass, before it is
// asked for the first verdict.
func TestStoreTakesOnTheInput(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"))
	e, err := engine.Open("data", w.engineOptions())
	require.NoError(t, err)
	p, err := e.Partition(testIn, 0)
	require.NoError(t, err)
	_, err = p.Check([]engine.Record{{Offset: 0, Timestamp: 1_700_000_000_000, Key: []byte("a")}}, nil)
	require.NoError(t, err)
	require.NoError(t, p.Commit(t.Context(), 1))
	require.NoError(t, e.Close())
	known := func(l *life) bool { return l.e.Metrics().Partitions[0].LogID != engine.LogID{} }

	w.feed(rec(0, "b", "1"))
	l := w.start(nil, func(cfg *RelayConfig) { oneName(cfg); cfg.Mode = ModeBypass })
	l.settle()
	require.False(t, known(l), "in bypass the store is left alone")
	_, err = l.relay.SetMode(ModeActive)
	require.NoError(t, err)
	w.feed(rec(0, "c", "1"))
	l.settle()
	require.True(t, known(l))
	l.stop()
	l = w.start(nil, oneName)
	l.settle()
	require.True(t, known(l))
	l.stop()
}

// TestInputRecreatedWhileRunning: noticed within a look, and nothing of the new topic is relayed as if it were the old one's.
func TestInputRecreatedWhileRunning(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"))
	l := w.prepare(nil, oneName)
	l.relay.watchEvery = 10 * time.Millisecond
	l.start()
	l.settle()
	w.recreate()
	select {
	case <-l.done:
	case <-time.After(patience):
		require.Fail(t, "the relay goes on")
	}
	require.ErrorIs(t, l.err, ErrRecreated)
}

// TestPartitionsAddedWhileRunning: noticed, counted, and relayed.
func TestPartitionsAddedWhileRunning(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"))
	l := w.prepare(nil, oneName)
	l.relay.watchEvery = 10 * time.Millisecond
	l.start()
	l.settle()
	require.Zero(t, l.relay.Stats().Added)
	for _, topic := range []string{testOut, testIn} {
		_, err := w.adm.CreatePartitions(t.Context(), 1, topic)
		require.NoError(t, err)
	}
	w.parts = 2
	w.cl.ForceMetadataRefresh()
	w.eventually("a record in the new partition", func() bool {
		r := rec(1, "first", "1")
		r.Topic = testIn
		if w.cl.ProduceSync(t.Context(), r).FirstErr() != nil {
			return false
		}
		w.fed[1] = append(w.fed[1], r)
		return true
	})
	l.settle()
	require.EqualValues(t, 1, l.relay.Stats().Added)
	l.stop()
	w.requireClean()
}

// TestPartitionsAddedWhileStopped: noticed at the start, once, by what the group has offsets for.
func TestPartitionsAddedWhileStopped(t *testing.T) {
	w := newWorld(t, 2)
	w.feed(rec(0, "a", "1"))
	require.Zero(t, w.run(oneName).Added, "a new group")
	require.Zero(t, w.run(oneName).Added, "partition 1 has never held a record")
	for _, topic := range []string{testOut, testIn} {
		_, err := w.adm.CreatePartitions(t.Context(), 3, topic)
		require.NoError(t, err)
	}
	w.parts = 5
	l := w.start(nil, oneName)
	l.settle()
	w.eventually("a look at the input", func() bool { return l.relay.Stats().Added == 3 })
	l.stop()
	require.Zero(t, w.run(oneName).Added, "known by now")
}

// TestLostToRetentionIsCounted: what was removed before it was handled.
func TestLostToRetentionIsCounted(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"))
	w.run(oneName)
	w.feed(rec(0, "b", "1"), rec(0, "c", "1"), rec(0, "d", "1"))
	require.NoError(t, w.cluster.DeleteRecords(testIn, 0, 3))
	require.Equal(t, uint64(2), w.run(oneName).Missing.Removed)
}
