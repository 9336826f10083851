package kafka

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestProduceRefusedForGood: one batch is refused, others wait behind it. Nothing behind it reaches the output, and
// once the cause is gone the next life goes on at that batch.
func TestProduceRefusedForGood(t *testing.T) {
	for _, refusal := range []*kerr.Error{kerr.InvalidRecord, kerr.TopicAuthorizationFailed, kerr.OutOfOrderSequenceNumber} {
		for _, nth := range []int64{1, 2, 5} {
			t.Run(fmt.Sprintf("%s/%d", refusal.Message, nth), func(t *testing.T) {
				w := newWorld(t, 1)
				w.feed(history(rand.New(rand.NewPCG(11, 11)), 1, 3000)...)
				var seen atomic.Int64
				h := w.cluster.Fault(kfake.Fault{
					Keys: []kmsg.Key{kmsg.Produce}, Topic: testOut, Err: refusal, Count: 1,
					When: func(kmsg.Request) bool { return seen.Add(1) == nth },
				})
				l := w.start(nil, nil)
				<-l.done
				var refused *ProduceError
				require.ErrorAs(t, l.err, &refused)
				require.ErrorIs(t, l.err, refusal)
				require.Equal(t, 1, h.Hits())
				for _, r := range w.output()[0] {
					source, ok := parseSource(sourcePrefix(testIn, 0), r.Headers[len(r.Headers)-1].Value)
					require.True(t, ok)
					require.Less(t, source, refused.First)
				}
				require.NoError(t, l.e.Close())

				l = w.start(nil, nil)
				l.settle()
				l.stop()
				w.requireClean()
			})
		}
	}
}

// TestBatchTooLargeForTheOutput: what the broker refuses for its size is sent in parts, as often as it takes, and those
// behind it after them.
func TestBatchTooLargeForTheOutput(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(history(rand.New(rand.NewPCG(11, 12)), 1, 3000)...)
	const limit = 500
	var refused atomic.Int64
	w.cluster.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.Produce}, Topic: testOut, Err: kerr.MessageTooLarge, Count: -1,
		When: func(req kmsg.Request) bool {
			p := req.(*kmsg.ProduceRequest)
			if len(p.Topics) == 1 && len(p.Topics[0].Partitions) == 1 && len(p.Topics[0].Partitions[0].Records) > limit {
				refused.Add(1)
				return true
			}
			return false
		},
	})
	l := w.start(nil, nil)
	l.settle()
	require.Positive(t, refused.Load())
	l.stop()
	w.requireClean()
}

// TestRecordRefusedAsTooLarge: one record cannot be sent in parts. What is before it goes through, and the error names it.
func TestRecordRefusedAsTooLarge(t *testing.T) {
	w := newWorld(t, 1)
	large := make([]byte, 2000)
	for i := range large {
		large[i] = byte(rand.Uint32())
	}
	w.feed(rec(0, "a", "1"), rec(0, "b", "1"), rec(0, "big", string(large)), rec(0, "c", "2"))
	h := w.cluster.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.Produce}, Topic: testOut, Err: kerr.MessageTooLarge, Count: -1,
		When: func(req kmsg.Request) bool {
			return len(req.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records) > 1500
		},
	})
	l := w.start(nil, nil)
	<-l.done
	var refused *ProduceError
	require.ErrorAs(t, l.err, &refused)
	require.EqualValues(t, 2, refused.First)
	require.EqualValues(t, 2, refused.Last)
	require.Contains(t, l.err.Error(), "set its max.message.bytes above that")
	requireSame(t, 0, w.fed[0][:2], w.output()[0])
	require.NoError(t, l.e.Close())
	h.Remove()
	l = w.start(nil, nil)
	l.settle()
	l.stop()
	w.requireClean()
}

// TestRecordTooLargeForTheOutput: known before it is sent.
func TestRecordTooLargeForTheOutput(t *testing.T) {
	w := newWorld(t, 1)
	large := make([]byte, 100_000)
	for i := range large {
		large[i] = byte(rand.Uint32()) // not to be compressed
	}
	w.feed(rec(0, "a", "1"), rec(0, "big", string(large)), rec(0, "b", "2"))
	w.limit(testOut, 50_000)
	l := w.start(nil, nil)
	<-l.done
	var refused *ProduceError
	require.ErrorAs(t, l.err, &refused)
	require.EqualValues(t, 1, refused.First)
	require.EqualValues(t, 1, refused.Last)
	require.NoError(t, l.e.Close())
	requireSame(t, 0, w.fed[0][:len(w.output()[0])], w.output()[0])

	w.limit(testOut, 1_000_000)
	l = w.start(nil, nil)
	l.settle()
	l.stop()
	w.requireClean()
}

// TestCompressibleRecordLargerThanTheLimit: what counts is the batch as sent.
func TestCompressibleRecordLargerThanTheLimit(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"), rec(0, "big", string(make([]byte, 900_000))), rec(0, "b", "2"))
	w.limit(testOut, 60_000)
	l := w.start(nil, nil)
	l.settle()
	l.stop()
	w.requireClean()
}

func (w *world) limit(topic string, bytes int) {
	w.t.Helper()
	text := fmt.Sprint(bytes)
	resps, err := w.adm.AlterTopicConfigs(context.Background(), alter(maxMessageConfig, text), topic)
	require.NoError(w.t, err)
	require.NoError(w.t, resps[0].Err)
}

// TestProducePassingErrors: whatever passes is tried again, whether or not the batch was stored, and stored once.
func TestProducePassingErrors(t *testing.T) {
	for _, passing := range []*kerr.Error{
		kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend, kerr.NotEnoughReplicas, kerr.NotLeaderForPartition,
		kerr.LeaderNotAvailable, kerr.UnknownTopicOrPartition, kerr.KafkaStorageError,
	} {
		t.Run(passing.Message, func(t *testing.T) {
			w := newWorld(t, 2)
			w.feed(history(rand.New(rand.NewPCG(12, 12)), 2, 2000)...)
			h := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: testOut, Err: passing, Count: 4})
			l := w.start(nil, nil)
			l.settle()
			require.Equal(t, 4, h.Hits())
			require.GreaterOrEqual(t, l.relay.Stats().ProduceRetries, int64(4))
			l.stop()
			w.requireClean()
		})
	}
}

// TestProduceConnectionsBreak: the broker closes the connection before or after it has stored the batch.
func TestProduceConnectionsBreak(t *testing.T) {
	w := newWorld(t, 2)
	w.feed(history(rand.New(rand.NewPCG(13, 13)), 2, 4000)...)
	var n, broken atomic.Int64
	w.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if n.Add(1)%3 == 0 && broken.Add(1) <= 6 {
			return nil, errors.New("closed"), true
		}
		return nil, nil, false
	})
	l := w.start(nil, nil)
	l.settle()
	l.stop()
	require.GreaterOrEqual(t, broken.Load(), int64(6))
	w.requireClean()
}

// TestLeadersMove: input and output partitions change brokers while records flow.
func TestLeadersMove(t *testing.T) {
	w := newWorld(t, 3, kfake.NumBrokers(3))
	rng := rand.New(rand.NewPCG(14, 14))
	l := w.start(nil, nil)
	for i := range 12 {
		w.feed(history(rng, 3, 200)...)
		for part := range w.parts {
			require.NoError(t, w.cluster.MoveTopicPartition(testOut, part, (part+int32(i))%3))
			require.NoError(t, w.cluster.MoveTopicPartition(testIn, part, (part+int32(i)+1)%3))
		}
	}
	l.settle()
	l.stop()
	w.requireClean()
}

// TestOutputMadeAgain: the output's topic is deleted and made again under the relay: its offsets mean nothing any more.
func TestOutputMadeAgain(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"))
	l := w.start(nil, nil)
	l.settle()
	require.NoError(t, w.cluster.DeleteTopic(testOut))
	require.NoError(t, w.cluster.CreateTopic(testOut, 1, nil))
	w.feed(rec(0, "b", "2"))
	<-l.done
	require.ErrorIs(t, l.err, ErrRecreated)
	require.NoError(t, l.e.Close())
	l = w.start(nil, nil)
	l.settle()
	l.stop()
	requireSame(t, 0, w.fed[0][1:], w.output()[0])
}
