package kafka

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"noecho/internal/testutil"
)

// TestOffsetCommitsFail: lost, refused for a moment, or applied and not acknowledged: the next one makes good, and
// nothing shows in the output.
func TestOffsetCommitsFail(t *testing.T) {
	for _, passing := range []*kerr.Error{
		kerr.RequestTimedOut, kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.RebalanceInProgress, kerr.CoordinatorLoadInProgress,
	} {
		t.Run(passing.Message, func(t *testing.T) {
			w := newWorld(t, 2)
			w.feed(history(rand.New(rand.NewPCG(15, 15)), 2, 1000)...)
			h := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: testGroup, Err: passing, Count: 2})
			l := w.start(nil, nil)
			l.settle()
			require.Positive(t, h.Hits())
			l.stop()
			w.requireClean()
		})
	}
}

// TestOffsetCommitRefused: what cannot pass stops the relay with the remedy.
func TestOffsetCommitRefused(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"))
	w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: testGroup, Err: kerr.GroupAuthorizationFailed, Count: -1})
	l := w.start(nil, nil)
	<-l.done
	var refused *GroupError
	require.ErrorAs(t, l.err, &refused)
}

// TestMarksBeforeOffsets: at every offset commit that reaches the broker the engine has acknowledged at least as much.
func TestMarksBeforeOffsets(t *testing.T) {
	w := newWorld(t, 2)
	w.feed(history(rand.New(rand.NewPCG(16, 16)), 2, 5000)...)
	var mu sync.Mutex
	durable, ahead := map[int32]int64{}, 0
	w.cluster.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		for _, topic := range req.(*kmsg.OffsetCommitRequest).Topics {
			for _, p := range topic.Partitions {
				if p.Offset > durable[p.Partition] {
					ahead++
				}
			}
		}
		return nil, nil, false
	})
	l := w.start(&hooks{after: func(part int32, next int64) error {
		mu.Lock()
		defer mu.Unlock()
		durable[part] = max(durable[part], next)
		return nil
	}}, nil)
	l.settle()
	l.stop()
	require.Zero(t, ahead)
	require.EqualValues(t, len(w.fed[0]), durable[0])
}

// TestEngineFails: a store that cannot write stops the relay, and no offset goes out.
func TestEngineFails(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"), rec(0, "b", "2"))
	full := errors.New("disk full")
	l := w.start(&hooks{before: func(int32, int64) error { return full }}, nil)
	<-l.done
	require.ErrorIs(t, l.err, full)
	at, _ := w.committed(0)
	require.Zero(t, at) // the claim
	require.NoError(t, l.e.Close())
	l = w.start(nil, nil)
	l.settle()
	l.stop()
	w.requireClean()
}

// TestEngineFailsWhileIdle: a store that has failed ends the relay without waiting for a record.
func TestEngineFailsWhileIdle(t *testing.T) {
	w := newWorld(t, 2)
	w.feed(rec(0, "a", "1"))
	poisoned := errors.New("poisoned")
	var broken atomic.Bool
	l := w.start(&hooks{probe: func() error {
		if broken.Load() {
			return poisoned
		}
		return nil
	}}, nil)
	l.settle()
	broken.Store(true)
	<-l.done
	require.ErrorIs(t, l.err, poisoned)
}

// TestBackPressure: the output stands still; the queue stays within its bound, fetching pauses, other partitions go on,
// and when the output moves again all of it arrives.
func TestBackPressure(t *testing.T) {
	w := newWorld(t, 2)
	for range 30 {
		var records []*kgo.Record
		for range 100 {
			n := len(w.fed[0]) + len(records)
			value := make([]byte, 200)
			for i := range value {
				value[i] = byte(rand.Uint32()) // not to be compressed: the fetch is bounded by what is on the wire
			}
			records = append(records, rec(0, fmt.Sprintf("k%d", n), string(value)))
		}
		w.feed(records...)
	}
	stuck := w.cluster.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.Produce}, Topic: testOut, Partitions: []int32{0}, Err: kerr.NotEnoughReplicas, Count: -1,
	})
	const bound = 90_000 // two of the batches that were fed
	l := w.start(nil, func(cfg *RelayConfig) {
		cfg.QueueBytes, cfg.FetchPartitionBytes, cfg.BatchBytes = bound, 10_000, 2_000
	})
	partition := func(i int) PartitionStats {
		if s := l.relay.Stats(); len(s.Partitions) == 2 {
			return s.Partitions[i]
		}
		return PartitionStats{}
	}
	w.eventually("the stuck partition pauses", func() bool { return partition(0).Paused })
	require.Less(t, partition(0).QueuedBytes, int64(2*bound), "the bound, and what one poll brings over it")
	w.feed(rec(1, "x", "1"), rec(1, "y", "2"))
	w.eventually("the other goes on", func() bool { return partition(1).Committed == 2 })
	require.True(t, partition(0).Paused)
	stuck.Remove()
	l.settle()
	require.Positive(t, l.relay.Stats().Pauses)
	l.stop()
	w.requireClean()
}

// TestReadCommitted: an aborted record never owns a key, and an open transaction holds its partition back.
func TestReadCommitted(t *testing.T) {
	w := newWorld(t, 1)
	txn, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.TransactionalID("t"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer txn.Close()
	send := func(commit kgo.TransactionEndTry, records ...*kgo.Record) {
		require.NoError(t, txn.BeginTransaction())
		for _, r := range records {
			r.Topic = testIn
		}
		require.NoError(t, txn.ProduceSync(t.Context(), records...).FirstErr())
		require.NoError(t, txn.EndTransaction(t.Context(), commit))
	}
	send(kgo.TryAbort, rec(0, "a", "aborted"), rec(0, "b", "aborted"))
	send(kgo.TryCommit, rec(0, "a", "kept"))
	send(kgo.TryAbort, rec(0, "c", "aborted"))
	w.feed(rec(0, "a", "copy"), rec(0, "c", "kept"))
	send(kgo.TryCommit, rec(0, "b", "kept"))
	l := w.start(nil, nil)
	// Offsets: 0 1 aborted, 2 marker, 3 kept, 4 marker, 5 aborted, 6 marker, 7 copy, 8 kept, 9 kept, 10 marker. The last
	// marker counts too: no lag is left.
	w.eventually("all committed, the last marker too", func() bool { at, _ := w.committed(0); return at == 11 })
	l.stop()
	var values []string
	for _, r := range w.output()[0] {
		values = append(values, string(r.Key)+"="+string(r.Value))
	}
	require.Equal(t, []string{"a=kept", "c=kept", "b=kept"}, values)
}

func TestMissingKeyPolicies(t *testing.T) {
	feed := func(w *world) {
		w.feed(rec(0, "a", "1"), &kgo.Record{Value: []byte("2")}, rec(0, "a", "3"), &kgo.Record{Value: []byte("2")}, rec(0, "b", "4"))
	}
	for policy, want := range map[MissingKey][]int64{MissingPass: {0, 1, 3, 4}, MissingDrop: {0, 4}} {
		t.Run(string(policy), func(t *testing.T) {
			w := newWorld(t, 1)
			feed(w)
			l := w.start(nil, func(cfg *RelayConfig) { cfg.OnMissingKey = policy })
			l.settle()
			totals := l.relay.Stats().Totals
			l.stop()
			var records []*kgo.Record
			for _, o := range want {
				records = append(records, w.fed[0][o])
			}
			requireSame(t, 0, records, w.output()[0])
			require.EqualValues(t, 1, totals.Duplicate)
			if policy == MissingPass {
				require.EqualValues(t, 2, totals.Bypassed)
			} else {
				require.EqualValues(t, 2, totals.NoKey)
			}
		})
	}
	t.Run("fail", func(t *testing.T) {
		w := newWorld(t, 1)
		feed(w)
		l := w.start(nil, func(cfg *RelayConfig) { cfg.OnMissingKey = MissingFail })
		<-l.done
		var missing *MissingKeyError
		require.ErrorAs(t, l.err, &missing)
		require.EqualValues(t, 1, missing.Offset)
		require.NoError(t, l.e.Close())
		l = w.start(nil, func(cfg *RelayConfig) { cfg.OnMissingKey = MissingDrop }) // the operator gives in: nothing is lost
		l.settle()
		l.stop()
		requireSame(t, 0, []*kgo.Record{w.fed[0][0], w.fed[0][4]}, w.output()[0])
	})
}

// TestOnlyKeylessRecords: the position moves over records that the engine never sees.
func TestOnlyKeylessRecords(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(&kgo.Record{Value: []byte("1")}, &kgo.Record{Value: []byte("2")})
	l := w.start(nil, nil)
	l.settle()
	l.stop()
	w.feed(rec(0, "a", "3"), rec(0, "a", "4"), &kgo.Record{Value: []byte("5")})
	l = w.start(nil, nil)
	l.settle()
	l.stop()
	requireSame(t, 0, []*kgo.Record{w.fed[0][0], w.fed[0][1], w.fed[0][2], w.fed[0][4]}, w.output()[0])
}

// TestMegabyteKey: a key of any size is hashed.
func TestMegabyteKey(t *testing.T) {
	w := newWorld(t, 1)
	w.limit(testIn, 3<<20)
	w.limit(testOut, 3<<20)
	key := string(make([]byte, 1<<20))
	w.feed(rec(0, key, "1"), rec(0, key, "2"), rec(0, key+"x", "3"))
	l := w.start(nil, nil)
	l.settle()
	l.stop()
	w.requireClean()
}

// TestTwoProcesses: the second with the same instance id takes over; the first stops and says why.
func TestTwoProcesses(t *testing.T) {
	w := newWorld(t, 1)
	first := w.start(nil, func(cfg *RelayConfig) { cfg.InstanceID = "same"; cfg.SessionTimeout = 300 * time.Millisecond })
	w.eventually("assigned", func() bool { s := first.relay.Stats(); return len(s.Partitions) == 1 && s.Ready() })
	w.fs = testutil.NewFS()
	second := w.start(nil, func(cfg *RelayConfig) { cfg.InstanceID = "same"; cfg.SessionTimeout = 300 * time.Millisecond })
	<-first.done
	var fenced *FencedError
	require.ErrorAs(t, first.err, &fenced)
	w.feed(rec(0, "a", "1"))
	second.settle()
	second.stop()
	w.requireClean()
}
