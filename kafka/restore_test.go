package kafka

import (
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

// TestLostWithARequestUnderWay: the partition comes back while what its old lane sent is still on its way. The restore
// waits for it, for otherwise it would land behind what is produced again.
func TestLostWithARequestUnderWay(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"), rec(0, "b", "1"))
	var sent atomic.Bool
	held := make(chan struct{})
	release := sync.OnceFunc(func() { close(held) })
	defer release()
	w.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if sent.CompareAndSwap(false, true) {
			w.cluster.SleepControl(func() { <-held })
		}
		return nil, nil, false
	})
	l := w.start(nil, quick)
	w.eventually("a request under way", sent.Load)
	first := l.relay.assignments()[0]
	w.expire(first.done)
	w.eventually("assigned again", func() bool { ws := l.relay.assignments(); return len(ws) == 1 && ws[0] != first })
	for range 20 { // time for the second to go wrong; it does not get ready however long we look
		require.False(t, l.relay.assignments()[0].restored())
		time.Sleep(10 * time.Millisecond)
	}
	release()
	l.settle()
	l.stop()
	w.requireClean()
}

// TestOneOutputPartitionWithoutLeader: the others go on meanwhile.
func TestOneOutputPartitionWithoutLeader(t *testing.T) {
	w := newWorld(t, 3)
	w.feed(rec(0, "a", "1"), rec(1, "a", "1"), rec(2, "a", "1"))
	gone := w.cluster.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: testOut, Partitions: []int32{1}, Err: kerr.LeaderNotAvailable, Count: -1,
	})
	l := w.start(nil, nil)
	w.eventually("the others go on", func() bool {
		s := l.relay.Stats().Partitions
		return len(s) == 3 && s[0].Committed == 1 && s[2].Committed == 1
	})
	require.Equal(t, StateRestoring, l.relay.Stats().Partitions[1].State)
	gone.Remove()
	l.settle()
	l.stop()
	w.requireClean()
}

// TestInputOffsetsPassingError: what passes does not cost the relay its partitions.
func TestInputOffsetsPassingError(t *testing.T) {
	w := newWorld(t, 2)
	w.feed(rec(0, "a", "1"), rec(1, "a", "1"))
	var joins atomic.Int64
	w.cluster.ControlKey(int16(kmsg.JoinGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		joins.Add(1)
		return nil, nil, false
	})
	h := w.cluster.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: testIn, Partitions: []int32{1}, Err: kerr.NotLeaderForPartition, Count: 8,
	})
	l := w.start(nil, nil)
	l.settle()
	require.Equal(t, 8, h.Hits())
	require.LessOrEqual(t, joins.Load(), int64(2), "a join, and once more with the member id it was given")
	l.stop()
	w.requireClean()
}

func (w *world) tail() *tailReader {
	return &tailReader{cl: w.cl, top: &topology{cl: w.cl, topic: testOut}, decompress: kgo.DefaultDecompressor()}
}

// TestSettledWaitsForReplication: what the leader has and does not show yet will be shown.
func TestSettledWaitsForReplication(t *testing.T) {
	w := newWorld(t, 1)
	require.NoError(t, w.cl.ProduceSync(t.Context(), &kgo.Record{Topic: testOut, Value: []byte("x")}).FirstErr())
	var hidden atomic.Int64
	w.cluster.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		topic := kmsg.NewOffsetForLeaderEpochResponseTopic()
		topic.Topic = testOut
		part := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
		part.EndOffset = 1 + hidden.Load()
		topic.Partitions = append(topic.Partitions, part)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	parts := []int32{0}
	for _, moving := range []bool{false, true} {
		hidden.Store(1)
		got := w.tail().settled(t.Context(), parts, parts, time.Millisecond, moving)[0]
		require.ErrorIs(t, got.err, errUnsettled)
		hidden.Store(0)
		got = w.tail().settled(t.Context(), parts, parts, time.Millisecond, moving)[0]
		require.NoError(t, got.err)
		require.Equal(t, span{0, 1}, got.span)
	}
}

// TestTailShorterThanListed: the read does not wait for records that are no more.
func TestTailShorterThanListed(t *testing.T) {
	w := newWorld(t, 1)
	require.NoError(t, w.cl.ProduceSync(t.Context(), &kgo.Record{Topic: testOut, Value: []byte("x")}).FirstErr())
	for _, from := range []int64{1, 3} { // nothing there; out of range
		tail := w.tail()
		require.NoError(t, tail.top.refresh(t.Context(), 0))
		_, err := tail.last(tContext(t), testIn, 0, from, 5)
		require.ErrorIs(t, err, errTailMoved)
		require.False(t, final(err))
	}
}
