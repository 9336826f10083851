package kafka

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"noecho/internal/model"
	"noecho/internal/testutil"
)

// oneName is a relay that comes back under its name though its disk is another, so that its partitions wait for it.
func oneName(cfg *RelayConfig) { cfg.InstanceID = "one" }

// run is a whole life: it relays what was fed, and stops.
func (w *world) run(edit func(*RelayConfig)) Stats {
	w.t.Helper()
	l := w.start(nil, edit)
	l.settle()
	stats := l.relay.Stats()
	l.stop()
	return stats
}

// again are records with the keys of what was fed, once each.
func (w *world) again(part int32) (out []*kgo.Record) {
	for _, r := range w.originals(part, 0) {
		out = append(out, rec(part, string(r.Key), "copy"))
	}
	return out
}

// TestLostDisk: the store is gone, the group is not. No copy passes, and no original is repeated.
func TestLostDisk(t *testing.T) {
	w := newWorld(t, 2)
	w.feed(history(rand.New(rand.NewPCG(30, 1)), 2, 6000)...)
	w.run(oneName)
	w.fs = testutil.NewFS()
	w.feed(append(w.again(0), w.again(1)...)...)
	w.feed(rec(0, "new", "x"), rec(1, "new", "y"))
	stats := w.run(oneName)
	require.EqualValues(t, 6000, stats.Learned)
	require.Equal(t, Missing{None: 2}, stats.Missing)
	require.EqualValues(t, 2, stats.Totals.Unique)
	for _, p := range stats.Partitions {
		require.Positive(t, p.LearnAt)
		require.Equal(t, p.LearnAt, p.LearnTarget)
	}
	w.requireClean()
	require.Zero(t, w.run(oneName).Learned, "once is enough")
}

// TestLostDiskAndACrash: a tail of the output that no commit speaks of, and no store. Both are made good.
func TestLostDiskAndACrash(t *testing.T) {
	for _, at := range []crashPoint{produceUnacked, beforeMarks, afterMarks} {
		t.Run(string(at), func(t *testing.T) {
			w := newWorld(t, 1)
			w.feed(history(rand.New(rand.NewPCG(31, 1)), 1, 3000)...)
			h, arm := w.trap(at, 1, 50, 1)
			l := w.prepare(h, oneName)
			arm(l)
			l.start()
			<-l.dead
			l.bury()
			arm(nil)
			w.fs = testutil.NewFS()
			w.feed(w.again(0)...)
			w.run(oneName)
			w.requireClean()
		})
	}
}

// TestPartitionMoved: another store had the partition meanwhile. What it handled is learned, no more and no less.
func TestPartitionMoved(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(history(rand.New(rand.NewPCG(32, 1)), 1, 1500)...)
	w.run(oneName)
	mine := w.fs
	w.fs = testutil.NewFS()
	w.feed(history(rand.New(rand.NewPCG(32, 2)), 1, 2500)...)
	require.EqualValues(t, 1500, w.run(oneName).Learned)
	w.fs = mine
	w.feed(w.again(0)...)
	stats := w.run(oneName)
	require.EqualValues(t, 2500, stats.Learned)
	require.Equal(t, Missing{Behind: 1}, stats.Missing)
	w.requireClean()
}

// TestLearnedVerdicts: a store that was lost at any moment, and learned, gives the verdicts of one whose coverage begins where
// the window of its start does. Windows pass meanwhile, and timestamps go back.
func TestLearnedVerdicts(t *testing.T) {
	for seed := range uint64(25) {
		rng := rand.New(rand.NewPCG(36, seed))
		w := newWorld(t, 1)
		w.window = 60 * time.Second // ten a bucket
		now := int64(1_700_000_000_000)
		var records []*kgo.Record
		for range 100 {
			now += []int64{0, 500, 3000, 9000, 25000}[rng.IntN(5)]
			r := rec(0, fmt.Sprint(rng.IntN(8)), "v")
			r.Timestamp = time.UnixMilli(now - []int64{0, 0, 4000, 50000}[rng.IntN(4)])
			records = append(records, r)
		}
		oracle := model.New(60_000, 6, false)
		var want []*kgo.Record
		for len(records) > 0 {
			if len(w.fed[0]) > 0 && rng.IntN(2) == 0 {
				w.fs = testutil.NewFS()
				oracle = model.New(60_000, 6, false)
				oracle.Check(lastWindow(w.fed[0]))
			}
			n := 1 + rng.IntN(min(25, len(records)))
			w.feed(records[:n]...)
			for _, r := range records[:n] {
				if v := oracle.Check([]model.Record{modelRecord(r)}); !v[0].Drop {
					want = append(want, r)
				}
			}
			oracle.Commit(records[n-1].Offset + 1)
			records = records[n:]
			w.run(oneName)
		}
		requireSame(t, 0, want, w.output()[0])
	}
}

func modelRecord(r *kgo.Record) model.Record {
	return model.Record{Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(), Key: string(r.Key)}
}

// lastWindow returns the records since the stream time was in the sixth bucket before the last one.
func lastWindow(records []*kgo.Record) (last []model.Record) {
	end := int64(0)
	for _, r := range records {
		end = max(end, r.Timestamp.UnixMilli())
	}
	at := int64(0)
	for _, r := range records {
		if at = max(at, r.Timestamp.UnixMilli()); at/10_000 >= end/10_000-6 {
			last = append(last, modelRecord(r))
		}
	}
	return last
}

// TestWindowBound: what is older than the window is not read, by the stream's time and not this machine's.
func TestWindowBound(t *testing.T) {
	w := newWorld(t, 1)
	w.window = time.Hour // ten minutes a bucket
	const at = 1_700_000_400_000 / 600_000 * 600_000
	for i := range int64(600) {
		r := rec(0, fmt.Sprint(i), "v")
		r.Timestamp = time.UnixMilli(at + i*60_000)
		w.feed(r)
	}
	w.run(oneName)
	w.fs = testutil.NewFS()
	lowest := atomic.Int64{}
	lowest.Store(600)
	w.cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		for _, topic := range req.(*kmsg.FetchRequest).Topics {
			for _, p := range topic.Partitions {
				if req.(*kmsg.FetchRequest).IsolationLevel == 1 { // of the input
					lowest.Store(min(lowest.Load(), p.FetchOffset))
				}
			}
		}
		return nil, nil, false
	})
	old, young := rec(0, "529", "old"), rec(0, "530", "young")
	old.Timestamp, young.Timestamp = time.UnixMilli(at+599*60_000), time.UnixMilli(at+599*60_000)
	w.feed(old, young)
	// The last record is the 599th minute, in the bucket of 590; six buckets before that begins 530.
	require.EqualValues(t, 70, w.run(oneName).Learned)
	require.EqualValues(t, 530, lowest.Load())
	out := w.output()[0]
	require.Equal(t, "old", string(out[len(out)-1].Value))
	require.Len(t, out, 601)
}

// TestAbortedIsNotLearned: an aborted record owns no key, also of those that are learned.
func TestAbortedIsNotLearned(t *testing.T) {
	w := newWorld(t, 1)
	txn, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.TransactionalID("t"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer txn.Close()
	send := func(commit kgo.TransactionEndTry, key, value string) {
		r := rec(0, key, value)
		r.Topic = testIn
		require.NoError(t, txn.BeginTransaction())
		require.NoError(t, txn.ProduceSync(t.Context(), r).FirstErr())
		require.NoError(t, txn.EndTransaction(t.Context(), commit))
	}
	send(kgo.TryCommit, "a", "kept")
	send(kgo.TryAbort, "b", "aborted")
	l := w.start(nil, oneName)
	w.eventually("the last marker", func() bool { at, _ := w.committed(0); return at == 4 })
	l.stop()
	w.fs = testutil.NewFS()
	w.feed(rec(0, "a", "copy"), rec(0, "b", "first"))
	require.EqualValues(t, 1, w.run(oneName).Learned)
	var values []string
	for _, r := range w.output()[0] {
		values = append(values, string(r.Value))
	}
	require.Equal(t, []string{"kept", "first"}, values)
	require.Zero(t, w.run(oneName).Learned, "a marker at the end is known, too")
}

// TestKilledWhileLearning: the next start goes on where the last one was.
func TestKilledWhileLearning(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(history(rand.New(rand.NewPCG(33, 1)), 1, 8*chunkRecords)...)
	w.run(oneName)
	w.fs = testutil.NewFS()
	w.feed(w.again(0)...)
	checks := 0
	var l *life
	l = w.prepare(&hooks{check: func(int32) error {
		if checks++; checks == 6 {
			l.die(0, 1)
			return errCrash
		}
		time.Sleep(6 * time.Millisecond) // longer than a commit interval: each chunk is made durable
		return nil
	}}, oneName)
	l.start()
	<-l.dead
	l.bury()
	_, meta := w.committed(0)
	require.NotEmpty(t, meta)
	require.EqualValues(t, 3*chunkRecords, w.run(oneName).Learned)
	w.requireClean()
}

// TestStopWhileLearning: a stop does not wait for a broker, and takes nothing for handled.
func TestStopWhileLearning(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"), rec(0, "b", "1"))
	w.run(oneName)
	w.fs = testutil.NewFS()
	held, release := make(chan struct{}), make(chan struct{})
	var hold sync.Once
	w.cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		for _, topic := range req.(*kmsg.FetchRequest).Topics {
			for _, p := range topic.Partitions {
				if p.FetchOffset < 2 {
					w.cluster.SleepControl(func() { hold.Do(func() { close(held) }); <-release })
				}
			}
		}
		return nil, nil, false
	})
	l := w.start(nil, oneName)
	<-held
	stats := l.relay.Stats()
	require.Equal(t, StateRestoring, stats.Partitions[0].State)
	require.False(t, stats.Ready())
	l.cancel()
	w.eventually("the end of learning", func() bool { return len(l.relay.assignments()) == 0 })
	close(release)
	l.stop()
	w.feed(rec(0, "a", "2"), rec(0, "c", "1"))
	w.run(oneName)
	w.requireClean()
}

// refuseLearning answers fetches below an offset with an error, n times.
func (w *world) refuseLearning(below int64, code int16, n int) {
	w.cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		for _, topic := range req.(*kmsg.FetchRequest).Topics {
			for _, p := range topic.Partitions {
				if p.FetchOffset >= below || n == 0 {
					continue
				}
				n--
				resp := req.ResponseKind().(*kmsg.FetchResponse)
				rt, rp := kmsg.NewFetchResponseTopic(), kmsg.NewFetchResponseTopicPartition()
				rt.Topic, rt.TopicID, rp.Partition, rp.ErrorCode = topic.Topic, topic.TopicID, p.Partition, code
				rt.Partitions = append(rt.Partitions, rp)
				resp.Topics = append(resp.Topics, rt)
				return resp, nil, true
			}
		}
		return nil, nil, false
	})
}

// TestLearningRefused: what passes is tried again; what does not is said with a remedy, which helps.
func TestLearningRefused(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"), rec(0, "b", "1"))
	w.run(oneName)
	w.fs = testutil.NewFS()
	w.refuseLearning(2, kerr.TopicAuthorizationFailed.Code, 1)
	l := w.start(nil, oneName)
	<-l.done
	var refused *LearnError
	require.ErrorAs(t, l.err, &refused)
	require.ErrorIs(t, l.err, kerr.TopicAuthorizationFailed)
	require.EqualValues(t, 2, refused.To)
	require.NoError(t, l.e.Close())

	w.refuseLearning(2, kerr.NotLeaderForPartition.Code, tailTries+2)
	w.feed(rec(0, "a", "2"))
	require.EqualValues(t, 2, w.run(oneName).Learned)
	w.requireClean()
}

// TestLearnOff: the copies pass, and it is said and counted.
func TestLearnOff(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"))
	w.run(oneName)
	w.fs = testutil.NewFS()
	w.feed(rec(0, "a", "2"))
	var lines bytes.Buffer
	stats := w.run(func(cfg *RelayConfig) {
		oneName(cfg)
		cfg.Learn, cfg.Logger = LearnOff, slog.New(slog.NewTextHandler(&lines, nil))
	})
	require.Zero(t, stats.Learned)
	require.Equal(t, Missing{None: 1}, stats.Missing)
	require.Contains(t, lines.String(), "learn is off")
	requireSame(t, 0, w.fed[0], w.output()[0])
}

// TestLatestAndALostDisk: a group that began at the end has handled nothing before, and a copy of what was there passes, once;
// also when the store is lost, because the commit says where the group began. With LearnAll it does not.
func TestLatestAndALostDisk(t *testing.T) {
	for learn, want := range map[Learn][]int64{LearnHandled: {1, 3, 4}, LearnAll: {3, 4}} {
		t.Run(string(learn), func(t *testing.T) {
			w := newWorld(t, 1)
			edit := func(cfg *RelayConfig) {
				oneName(cfg)
				cfg.StartAt, cfg.Learn = StartLatest, learn
			}
			w.feed(rec(0, "old", "1"))
			l := w.start(nil, edit)
			w.eventually("a start", func() bool { s := l.relay.Stats(); return len(s.Partitions) == 1 && s.Ready() })
			w.feed(rec(0, "old", "2"), rec(0, "old", "3"), rec(0, "new", "1"))
			l.settle()
			l.stop()
			w.fs = testutil.NewFS()
			w.feed(rec(0, "newer", "1"), rec(0, "new", "2"), rec(0, "old", "4"))
			w.run(edit)
			var got []int64
			for _, r := range w.output()[0] {
				offset, ok := parseSource(sourcePrefix(testIn, 0), r.Headers[0].Value)
				require.True(t, ok)
				got = append(got, offset)
			}
			require.Equal(t, want, got)
		})
	}
}

// TestRewindLearnsNothing: those are replays.
func TestRewindLearnsNothing(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(history(rand.New(rand.NewPCG(34, 1)), 1, 500)...)
	w.run(brief)
	w.vacate()
	w.reset(0, 100)
	again := w.originals(0, 100)
	stats := w.run(brief)
	require.Zero(t, stats.Learned)
	require.Equal(t, Missing{}, stats.Missing)
	w.requireOutput(func(int32) []*kgo.Record { return again })
}

// TestRewindAndALostDisk: the window before the rewind's start is learned, so its copies stay dropped.
func TestRewindAndALostDisk(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(history(rand.New(rand.NewPCG(35, 1)), 1, 500)...)
	w.run(brief)
	w.vacate()
	w.fs = testutil.NewFS()
	w.reset(0, 100)
	again := w.originals(0, 100)
	require.EqualValues(t, 100, w.run(brief).Learned)
	w.requireOutput(func(int32) []*kgo.Record { return again })
}

// TestSkippedOwnsItsKey: an operator who moves the group forward says that what lies between is done.
func TestSkippedOwnsItsKey(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"))
	w.run(brief)
	w.feed(rec(0, "b", "1"), rec(0, "b", "2"), rec(0, "c", "1"))
	w.vacate()
	w.reset(0, 2)
	w.run(brief)
	requireSame(t, 0, []*kgo.Record{w.fed[0][0], w.fed[0][3]}, w.output()[0])
}

// TestRetentionAteTheWindow: what cannot be learned any more is counted; the rest is learned.
func TestRetentionAteTheWindow(t *testing.T) {
	for kept, want := range map[int64]uint64{2: 2, 4: 0} {
		w := newWorld(t, 1)
		w.feed(rec(0, "a", "1"), rec(0, "b", "1"), rec(0, "c", "1"), rec(0, "d", "1"))
		w.run(oneName)
		w.fs = testutil.NewFS()
		require.NoError(t, w.cluster.DeleteRecords(testIn, 0, kept))
		w.feed(rec(0, "e", "1"))
		stats := w.run(oneName)
		require.Equal(t, want, stats.Learned)
		require.Equal(t, Missing{None: 1, Retention: 1}, stats.Missing)
		w.requireClean()
	}
}

// TestNewGroupMissesNothing: what retention removed before there was a group was never to be handled, and nothing is said of it.
func TestNewGroupMissesNothing(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"), rec(0, "b", "1"), rec(0, "c", "1"))
	require.NoError(t, w.cluster.DeleteRecords(testIn, 0, 2))
	stats := w.run(oneName)
	require.Zero(t, stats.Missing)
	require.Zero(t, stats.Learned)
	requireSame(t, 0, w.fed[0][2:], w.output()[0])
}
