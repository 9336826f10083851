package kafka

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"noecho/internal/model"
	"noecho/internal/testutil"
)

const testLog = "orders-marks"

// changelogWorld has a changelog, which each life that is not told otherwise uses.
func changelogWorld(t tb, parts int32) *world {
	t.Helper()
	w := newWorld(t, parts, kfake.SeedTopics(parts, testLog))
	w.edit = func(cfg *RelayConfig) { oneName(cfg); cfg.ChangelogTopic = testLog }
	return w
}

// withoutChangelog is a member that does not know of it.
func withoutChangelog(cfg *RelayConfig) { cfg.ChangelogTopic = "" }

// readsOfInput counts the fetches of the input below an offset: of what was handled before.
func (w *world) readsOfInput(below int64) *atomic.Int64 {
	n := &atomic.Int64{}
	w.cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		for _, topic := range req.(*kmsg.FetchRequest).Topics {
			for _, p := range topic.Partitions {
				if req.(*kmsg.FetchRequest).IsolationLevel == 1 && p.FetchOffset < below {
					n.Add(1)
				}
			}
		}
		return nil, nil, false
	})
	return n
}

// TestChangelogAndALostDisk: no copy passes, no original is repeated, and nothing of the input is read again.
func TestChangelogAndALostDisk(t *testing.T) {
	w := changelogWorld(t, 1)
	w.feed(history(rand.New(rand.NewPCG(50, 1)), 1, 6000)...)
	stats := w.run(nil)
	require.EqualValues(t, len(w.originals(0, 0)), stats.Changelog.Marks)
	require.Positive(t, stats.Changelog.Records)
	require.Positive(t, stats.Changelog.Bytes)
	reads := w.readsOfInput(6000)
	w.fs = testutil.NewFS()
	w.feed(w.again(0)...)
	w.feed(rec(0, "new", "x"))
	stats = w.run(nil)
	require.Zero(t, stats.Learned)
	require.EqualValues(t, len(w.originals(0, 0))-1, stats.Changelog.Restored)
	require.Zero(t, reads.Load())
	w.requireClean()
	require.Zero(t, w.run(nil).Changelog.Restored, "once is enough")
}

// TestChangelogMoved: of what another store handled meanwhile, and no more, the marks are restored.
func TestChangelogMoved(t *testing.T) {
	w := changelogWorld(t, 1)
	w.feed(history(rand.New(rand.NewPCG(51, 1)), 1, 1500)...)
	w.run(nil)
	mine := w.fs
	w.fs = testutil.NewFS()
	w.feed(history(rand.New(rand.NewPCG(51, 2)), 1, 2500)...)
	w.run(nil)
	w.fs = mine
	w.feed(w.again(0)...)
	stats := w.run(nil)
	require.Zero(t, stats.Learned)
	require.EqualValues(t, len(w.originals(0, 1500)), stats.Changelog.Restored)
	w.requireClean()
}

// TestChangelogHole: a member that does not know of the changelog leaves a hole. What lies behind it is learned from the input,
// and told: who comes next finds no hole.
func TestChangelogHole(t *testing.T) {
	w := changelogWorld(t, 1)
	w.feed(history(rand.New(rand.NewPCG(52, 1)), 1, 1000)...)
	w.run(nil)
	w.feed(rec(0, "untold", "x"))
	w.run(withoutChangelog)
	w.feed(rec(0, "told", "x"))
	w.run(nil)
	w.fs = testutil.NewFS()
	w.feed(w.again(0)...)
	stats := w.run(nil)
	require.EqualValues(t, 2, stats.Learned, "the hole, and what is behind it")
	w.requireClean()
	w.fs = testutil.NewFS()
	w.feed(w.again(0)...)
	require.Zero(t, w.run(nil).Learned)
	w.requireClean()
}

// TestChangelogSwitchedOn: it does not know the window yet. A store that is lost then learns it from the input, and tells it.
func TestChangelogSwitchedOn(t *testing.T) {
	w := changelogWorld(t, 1)
	w.feed(rec(0, "a", "x"), rec(0, "b", "x"))
	w.run(withoutChangelog)
	w.feed(rec(0, "c", "x"))
	w.run(nil)
	for i, want := range []uint64{3, 0} {
		w.fs = testutil.NewFS()
		w.feed(rec(0, "a", "copy"), rec(0, "b", "copy"), rec(0, "c", "copy"))
		stats := w.run(nil)
		require.Equal(t, want, stats.Learned, "loss %d", i)
		w.requireClean()
	}
}

// TestChangelogOfAForgetfulMember: one that did not learn what came before tells what it takes in, and nobody takes that for all.
func TestChangelogOfAForgetfulMember(t *testing.T) {
	w := changelogWorld(t, 1)
	w.feed(rec(0, "a", "x"), rec(0, "b", "x"))
	w.run(withoutChangelog)
	w.fs = testutil.NewFS()
	w.feed(rec(0, "c", "x"))
	w.run(func(cfg *RelayConfig) { cfg.Learn = LearnOff })
	w.fs = testutil.NewFS()
	w.feed(rec(0, "a", "copy"), rec(0, "b", "copy"), rec(0, "c", "copy"))
	require.EqualValues(t, 3, w.run(nil).Learned)
	w.requireClean()
}

// TestChangelogUnfit: a record of another hash, of another topic, or with damage is a hole.
func TestChangelogUnfit(t *testing.T) {
	w := changelogWorld(t, 1)
	w.feed(history(rand.New(rand.NewPCG(53, 1)), 1, 300)...)
	w.run(nil)
	w.feed(rec(0, "late", "x"))
	w.run(nil)
	written := w.read(testLog)[0]
	require.NoError(t, w.cluster.DeleteRecords(testLog, 0, int64(len(written))))
	for i, r := range written {
		value := append([]byte(nil), r.Value...)
		if i == 0 {
			value[20] ^= 1
		}
		again := &kgo.Record{Topic: testLog, Partition: 0, Value: value, Timestamp: r.Timestamp}
		require.NoError(t, w.cl.ProduceSync(t.Context(), again).FirstErr())
	}
	w.fs = testutil.NewFS()
	w.feed(w.again(0)...)
	stats := w.run(nil)
	require.EqualValues(t, 301, stats.Learned)
	require.EqualValues(t, len(written), stats.Changelog.Passed)
	w.requireClean()
}

// TestChangelogUnreachable: no offset is committed before the changelog has the marks.
func TestChangelogUnreachable(t *testing.T) {
	w := changelogWorld(t, 1)
	var refuse atomic.Bool
	refuse.Store(true)
	mine := w.producesTo(testLog)
	w.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if refuse.Load() && mine(req) {
			return refuseProduce(req.(*kmsg.ProduceRequest), kerr.NotEnoughReplicas.Code), nil, true
		}
		return nil, nil, false
	})
	w.feed(history(rand.New(rand.NewPCG(54, 1)), 1, 500)...)
	l := w.start(nil, nil)
	w.eventually("the output is whole", func() bool { return len(w.output()[0]) == len(w.originals(0, 0)) })
	time.Sleep(50 * time.Millisecond) // ten commit intervals
	at, _ := w.committed(0)
	require.LessOrEqual(t, at, int64(0))
	refuse.Store(false)
	l.settle()
	w.eventually("a commit", func() bool { at, _ := w.committed(0); return at == 500 })
	l.stop()
	w.fs = testutil.NewFS()
	w.feed(w.again(0)...)
	require.Zero(t, w.run(nil).Learned)
	w.requireClean()
}

// TestChangelogHangs: brokers that take its records and do not answer hold neither a stop nor the output.
func TestChangelogHangs(t *testing.T) {
	w := changelogWorld(t, 1)
	mine := w.producesTo(testLog)
	release := make(chan struct{})
	var hang atomic.Bool
	hang.Store(true)
	w.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if hang.Load() && mine(req) {
			w.cluster.SleepControl(func() { <-release })
		}
		return nil, nil, false
	})
	w.feed(history(rand.New(rand.NewPCG(57, 1)), 1, 500)...)
	l := w.start(nil, func(cfg *RelayConfig) { cfg.RebalanceTimeout = time.Second })
	w.eventually("the output is whole", func() bool { return len(w.output()[0]) == len(w.originals(0, 0)) })
	l.stop()
	at, _ := w.committed(0)
	require.LessOrEqual(t, at, int64(0))
	hang.Store(false)
	close(release)
	w.run(nil)
	w.fs = testutil.NewFS()
	w.feed(w.again(0)...)
	require.Zero(t, w.run(nil).Learned)
	w.requireClean()
}

// TestChangelogPreflight: what is wrong with the topic is said before the start, with what to do.
func TestChangelogPreflight(t *testing.T) {
	w := newWorld(t, 2)
	w.window = time.Hour
	require.NoError(t, w.cluster.CreateTopic("narrow", 1, nil))
	require.NoError(t, w.cluster.CreateTopic("compacted", 2, map[string]string{"cleanup.policy": "compact"}))
	require.NoError(t, w.cluster.CreateTopic("short", 2, map[string]string{"retention.ms": "1000"}))
	var lines bytes.Buffer
	preflight := func(topic string) error {
		l := w.prepare(nil, func(cfg *RelayConfig) {
			cfg.ChangelogTopic, cfg.Logger = topic, slog.New(slog.NewTextHandler(&lines, nil))
		})
		defer l.e.Close()
		return l.relay.Preflight(t.Context())
	}
	for topic, says := range map[string]string{
		"nowhere":   "it does not exist; create it with as many partitions as the input has (2)",
		"narrow":    "it has 1 partitions, the input has 2; marks keep their partition's number, so give it at least 2",
		"compacted": "its cleanup.policy is compact; its records have no keys and cannot be compacted; set cleanup.policy=delete",
	} {
		var bad *TopicError
		err := preflight(topic)
		require.ErrorAs(t, err, &bad)
		require.Equal(t, topic, bad.Topic)
		require.ErrorContains(t, err, says)
	}
	require.NoError(t, preflight("short"))
	require.Contains(t, lines.String(), "the changelog keeps less than the window")
	require.Contains(t, lines.String(), "needed_ms=4200000")
}

// TestChangelogRefused: what cannot pass is said.
func TestChangelogRefused(t *testing.T) {
	w := changelogWorld(t, 1)
	mine := w.producesTo(testLog)
	w.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if mine(req) {
			return refuseProduce(req.(*kmsg.ProduceRequest), kerr.TopicAuthorizationFailed.Code), nil, true
		}
		return nil, nil, false
	})
	w.feed(rec(0, "a", "x"))
	l := w.start(nil, nil)
	<-l.done
	var refused *ChangelogError
	require.ErrorAs(t, l.err, &refused)
	require.ErrorIs(t, l.err, kerr.TopicAuthorizationFailed)
}

func refuseProduce(req *kmsg.ProduceRequest, code int16) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	for _, topic := range req.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
		for _, p := range topic.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, code
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// TestChangelogAfterACrash: at whatever point a life ends, the changelog has no hole after it: the loss of the disk that follows
// is made good without the input.
func TestChangelogAfterACrash(t *testing.T) {
	for _, at := range []crashPoint{beforeCheck, produceUnacked, beforeMarks, afterMarks, commitUnheard, commitUnacked} {
		for _, n := range []int64{1, 3} {
			t.Run(fmt.Sprint(at, n), func(t *testing.T) {
				w := changelogWorld(t, 1)
				w.feed(history(rand.New(rand.NewPCG(55, uint64(n))), 1, 3000)...)
				w.live(at, n, 50, 1)
				w.run(nil)
				w.fs = testutil.NewFS()
				w.feed(w.again(0)...)
				stats := w.run(nil)
				require.Zero(t, stats.Learned)
				w.requireClean()
			})
		}
	}
}

// TestChangelogVerdicts: stores that are lost at any moment and restored give the verdicts of one that never was: windows pass
// meanwhile, timestamps go back, and some members do not know of the changelog.
func TestChangelogVerdicts(t *testing.T) {
	for seed := range uint64(25) {
		rng := rand.New(rand.NewPCG(56, seed))
		w := changelogWorld(t, 1)
		w.window = 60 * time.Second // ten a bucket
		now := int64(1_700_000_000_000)
		oracle := model.New(60_000, 6, false)
		var want []*kgo.Record
		for range 8 {
			var records []*kgo.Record
			for range 1 + rng.IntN(25) {
				now += []int64{0, 500, 3000, 9000, 25000}[rng.IntN(5)]
				r := rec(0, fmt.Sprint(rng.IntN(8)), "v")
				r.Timestamp = time.UnixMilli(now - []int64{0, 0, 4000, 50000}[rng.IntN(4)])
				records = append(records, r)
			}
			if rng.IntN(2) == 0 {
				w.fs = testutil.NewFS()
			}
			w.feed(records...)
			for _, r := range records {
				if v := oracle.Check([]model.Record{modelRecord(r)}); !v[0].Drop {
					want = append(want, r)
				}
			}
			oracle.Commit(records[len(records)-1].Offset + 1)
			require.Zero(t, w.run(nil).Learned)
		}
		requireSame(t, 0, want, w.output()[0])
	}
}

// TestGivenUpIsTold: a key that was given up is free also for a store that restores.
func TestGivenUpIsTold(t *testing.T) {
	w := changelogWorld(t, 1)
	edit := func(cfg *ConsumerConfig) {
		skipping(cfg)
		cfg.InstanceID, cfg.ChangelogTopic = "one", testLog
	}
	b := newBook()
	b.bad["fails"] = true
	w.feed(rec(0, "a", "fails"), rec(0, "b", "works"))
	l := w.consume(b.handle, edit)
	w.eventually("a commit", func() bool { at, _ := w.committed(0); return at == 2 })
	l.stop()
	w.fs = testutil.NewFS()
	w.feed(rec(0, "a", "works"), rec(0, "b", "copy"), rec(0, "a", "copy"))
	l = w.consume(b.handle, edit)
	w.eventually("a commit", func() bool { at, _ := w.committed(0); return at == 5 })
	require.EqualValues(t, 2, l.c.Stats().Changelog.Restored)
	l.stop()
	require.Equal(t, []int64{1, 2}, b.set(0))
}

// TestBypassIsAHole: what passed in bypass is told by nobody, and learned from the input.
func TestBypassIsAHole(t *testing.T) {
	w := changelogWorld(t, 1)
	w.feed(rec(0, "a", "x"))
	w.run(nil)
	w.feed(rec(0, "b", "x"))
	l := w.start(nil, func(cfg *RelayConfig) { cfg.Mode = ModeBypass })
	w.eventually("a commit", func() bool { at, _ := w.committed(0); return at == 2 })
	_, err := l.relay.SetMode(ModeActive)
	require.NoError(t, err)
	w.feed(rec(0, "c", "x"))
	l.settle()
	l.stop()
	w.fs = testutil.NewFS()
	w.feed(rec(0, "b", "copy"), rec(0, "c", "copy"))
	require.EqualValues(t, 2, w.run(nil).Learned)
	w.requireClean()
}
