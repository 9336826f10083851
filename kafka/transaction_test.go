package kafka

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

// readCommitted reads a topic as a consumer with read_committed does, up to its last stable offset.
func (w *world) readCommitted(topic string) map[int32][]*kgo.Record {
	w.t.Helper()
	ends, err := w.adm.ListEndOffsets(context.Background(), topic)
	require.NoError(w.t, err)
	w.eventually("no transaction is open", func() bool {
		stable, err := w.adm.ListCommittedOffsets(context.Background(), topic)
		require.NoError(w.t, err)
		for part, end := range ends[topic] {
			if stable[topic][part].Offset < end.Offset {
				return false
			}
		}
		return true
	})
	from, left := map[int32]kgo.Offset{}, map[int32]int64{}
	for part, end := range ends[topic] {
		if from[part] = kgo.NewOffset().AtStart(); end.Offset > 0 {
			left[part] = end.Offset
		}
	}
	got := make(map[int32][]*kgo.Record)
	if len(left) == 0 {
		return got
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.KeepControlRecords(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	require.NoError(w.t, err)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		require.NoError(w.t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			if end, ok := left[r.Partition]; ok && r.Offset >= end-1 {
				delete(left, r.Partition)
			}
			if !r.Attrs.IsControl() {
				got[r.Partition] = append(got[r.Partition], r)
			}
		})
	}
	return got
}

func newTxnWorld(t tb, parts int32) *world {
	w := newWorld(t, parts)
	w.txn = true
	return w
}

func TestTransactionsRelay(t *testing.T) {
	w := newTxnWorld(t, 3)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 3 {
		w.feed(history(rng, 3, 500)...)
		l := w.start(nil, nil)
		l.settle()
		w.feed(history(rng, 3, 100)...)
		l.settle()
		l.stop()
		w.requireClean()
	}
	_, meta := w.committed(0)
	require.Regexp(t, ` txn$`, meta)
}

var txnCrashPoints = []struct {
	name    string
	key     int16
	unheard bool
}{
	{"InitProducerID lost", 22, true}, {"InitProducerID unanswered", 22, false},
	{"AddPartitionsToTxn lost", 24, true}, {"AddPartitionsToTxn unanswered", 24, false},
	{"Produce lost", 0, true}, {"Produce unanswered", 0, false},
	{"AddOffsetsToTxn lost", 25, true}, {"AddOffsetsToTxn unanswered", 25, false},
	{"TxnOffsetCommit lost", 28, true}, {"TxnOffsetCommit unanswered", 28, false},
	{"EndTxn lost", 26, true}, {"EndTxn unanswered", 26, false},
}

// txnLive runs a life that dies at the n-th request of a kind, unless it has handled all before.
func (w *world) txnLive(point int, n int64, percent int, seed uint64) (died bool) {
	w.t.Helper()
	at := txnCrashPoints[point]
	var victim atomic.Pointer[life]
	var seen atomic.Int64
	toOutput := w.producesTo(testOut)
	w.cluster.ControlKey(at.key, func(req kmsg.Request) (kmsg.Response, error, bool) {
		l := victim.Load()
		if r, ok := req.(*kmsg.InitProducerIDRequest); ok && r.TransactionalID == nil {
			return nil, nil, false // the restore's, or the test's own
		}
		if l == nil || at.key == 0 && !toOutput(req) || seen.Add(1) != n {
			return nil, nil, false
		}
		l.die(percent, seed)
		return nil, errors.New("the connection is gone"), at.unheard
	})
	l := w.prepare(nil, func(cfg *RelayConfig) {
		brief(cfg)
		cfg.RebalanceTimeout = 500 * time.Millisecond // a life without transactions waits until the coordinator has ended its open one
	})
	victim.Store(l)
	defer victim.Store(nil)
	l.start()
	return w.untilDeath(l)
}

// TestTransactionsCrashAtEveryStep: whichever request a life dies at, readers with read_committed get each original once.
func TestTransactionsCrashAtEveryStep(t *testing.T) {
	for point, at := range txnCrashPoints {
		for _, percent := range []int{0, 100} {
			t.Run(fmt.Sprintf("%s/unsynced=%d", at.name, percent), func(t *testing.T) {
				w := newTxnWorld(t, 2)
				rng := rand.New(rand.NewPCG(9, uint64(percent)))
				deaths := 0
				for n := int64(1); n <= 3; n++ {
					w.feed(history(rng, 2, 200)...)
					if at.key == 22 {
						n = 3 // there is one in a life
						if w.txnLive(point, 1, percent, 1) {
							deaths++
						}
					} else if w.txnLive(point, n, percent, uint64(n)) {
						deaths++
					}
				}
				require.Positive(t, deaths, "the trap never sprang")
				l := w.start(nil, nil)
				l.settle()
				l.stop()
				w.requireClean()
			})
		}
	}
}

// TestTransactionsCrashesAtRandom: many lives, with and without transactions, each dying somewhere.
func TestTransactionsCrashesAtRandom(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newTxnWorld(rt, 2)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 5))
		for range rapid.IntRange(1, 5).Draw(rt, "lives") {
			w.txn = rapid.IntRange(0, 3).Draw(rt, "fencing") > 0
			w.feed(history(rng, 2, rng.IntN(300))...)
			n, percent := rapid.Int64Range(1, 8).Draw(rt, "n"), rapid.SampledFrom([]int{0, 30, 100}).Draw(rt, "unsynced")
			if w.txn {
				w.txnLive(rapid.IntRange(2, len(txnCrashPoints)-1).Draw(rt, "point"), n, percent, rng.Uint64())
			} else {
				w.live(rapid.SampledFrom(crashPoints).Draw(rt, "point"), n, percent, rng.Uint64())
			}
		}
		w.txn = true
		l := w.start(nil, nil)
		l.settle()
		l.stop()
		w.requireClean()
	})
}

// TestTransactionsFencePredecessor: a second process of the same name ends the first, and nothing comes twice.
func TestTransactionsFencePredecessor(t *testing.T) {
	w := newTxnWorld(t, 1)
	rng := rand.New(rand.NewPCG(4, 4))
	w.feed(history(rng, 1, 300)...)
	old := w.prepare(nil, nil)
	old.relay.member.cfg.CommitInterval = patience // its transaction stays open
	old.start()
	w.eventually("all written", old.idle)
	stable, err := w.adm.ListCommittedOffsets(tContext(t), testOut)
	require.NoError(t, err)
	require.Zero(t, stable[testOut][0].Offset, "nothing is visible before the commit")

	w.fs = w.fs.Crash(100, 1)
	l := w.start(nil, nil)
	l.settle()
	<-old.done
	require.Error(t, old.err)
	w.feed(history(rng, 1, 100)...)
	l.settle()
	l.stop()
	w.requireClean()
}

// TestTransactionsZombie: a member stands still between its offsets and the end of its transaction, and another takes its
// partitions. The other waits for the outcome, and the zombie's output is seen once or never.
func TestTransactionsZombie(t *testing.T) {
	for _, held := range []int16{26, 28} { // before EndTxn, and before TxnOffsetCommit
		t.Run(kmsg.Key(held).Name(), func(t *testing.T) {
			w := newTxnWorld(t, 1)
			rng := rand.New(rand.NewPCG(6, uint64(held)))
			w.feed(history(rng, 1, 300)...)
			zombie := w.prepare(nil, func(cfg *RelayConfig) {
				brief(cfg)
				cfg.InstanceID = "zombie"
				cfg.RebalanceTimeout = 2 * time.Second // so that its transaction times out soon
			})
			var frozen atomic.Bool
			w.cluster.ControlKey(held, func(kmsg.Request) (kmsg.Response, error, bool) {
				if frozen.Swap(true) {
					return nil, nil, false
				}
				zombie.net.cut() // it stands still
				return nil, errors.New("cut"), true
			})
			zombie.start()
			w.eventually("frozen", frozen.Load)
			w.vacate()
			w.fs = w.fs.Crash(100, 1)
			l := w.start(nil, func(cfg *RelayConfig) { cfg.InstanceID = "heir" })
			l.settle()
			zombie.net.heal()
			w.feed(history(rng, 1, 100)...)
			l.settle()
			zombie.cancel()
			<-zombie.done
			l.settle()
			l.stop()
			w.requireClean()
		})
	}
}

// TestTransactionsLostAndBack: a member that loses its partitions with a transaction open aborts it and lives on, and takes
// them again later.
func TestTransactionsLostAndBack(t *testing.T) {
	w := newTxnWorld(t, 2)
	rng := rand.New(rand.NewPCG(21, 21))
	w.feed(history(rng, 2, 300)...)
	first := w.prepare(nil, func(cfg *RelayConfig) { brief(cfg); cfg.InstanceID = "first" })
	var cut atomic.Bool
	w.cluster.ControlKey(int16(kmsg.TxnOffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
		if cut.Swap(true) {
			return nil, nil, false
		}
		first.net.cut()
		return nil, errors.New("cut"), true
	})
	first.start()
	w.eventually("cut off", cut.Load)
	w.vacate()
	w.fs = w.fs.Crash(100, 1)
	heir := w.start(nil, func(cfg *RelayConfig) { brief(cfg); cfg.InstanceID = "heir" })
	heir.settle()
	_, epoch := first.relay.txn.identity()
	first.net.heal()
	w.eventually("aborted", func() bool { _, now := first.relay.txn.identity(); return now > epoch })
	w.feed(history(rng, 2, 100)...)
	w.eventually("in the group again", func() bool { return len(w.cluster.GroupInfo(testGroup).Members) == 2 })
	heir.stop()
	first.settle()
	w.feed(history(rng, 2, 100)...)
	first.settle()
	first.stop()
	w.requireClean()
}

// TestTransactionsRebalance: partitions move to a second member and back while transactions are open, and the sequences of a
// partition that comes back go on.
func TestTransactionsRebalance(t *testing.T) {
	w := newTxnWorld(t, 4)
	rng := rand.New(rand.NewPCG(8, 8))
	w.feed(history(rng, 4, 400)...)
	first := w.start(nil, nil)
	first.settle()
	for range 2 {
		home := w.fs
		w.fs = w.fs.Crash(100, 1)
		second := w.start(nil, func(cfg *RelayConfig) { brief(cfg); cfg.InstanceID = "second" })
		w.feed(history(rng, 4, 400)...)
		w.eventually("two members share", func() bool {
			return len(first.m.assignments()) == 2 && len(second.m.assignments()) == 2
		})
		w.feed(history(rng, 4, 400)...)
		second.stop()
		w.fs = home
		w.eventually("the first has all", func() bool { return len(first.m.assignments()) == 4 })
		first.settle()
	}
	first.stop()
	w.requireOnceByKey()
}

// requireOnceByKey says that each key is in the output of its partition, and that no source is there twice.
func (w *world) requireOnceByKey() {
	w.t.Helper()
	out := w.output()
	for part := range w.parts {
		keys, sources := map[string]bool{}, map[string]bool{}
		for _, r := range out[part] {
			source := string(r.Headers[len(r.Headers)-1].Value)
			require.False(w.t, sources[source], "%s is there twice", source)
			sources[source], keys[string(r.Key)] = true, true
		}
		for _, r := range w.fed[part] {
			require.True(w.t, keys[string(r.Key)], "%s is missing", r.Key)
		}
	}
}

// TestTransactionsDuplicatesTopic: duplicates are written in the same transaction, and none is lost when lives die.
func TestTransactionsDuplicatesTopic(t *testing.T) {
	w := newTxnWorld(t, 2)
	_, err := w.adm.CreateTopics(tContext(t), 2, 1, nil, testDup)
	require.NoError(t, err)
	w.edit = func(cfg *RelayConfig) { cfg.OnDuplicate, cfg.DuplicatesTopic = DuplicateTopic, testDup }
	rng := rand.New(rand.NewPCG(12, 12))
	for n := int64(1); n <= 4; n++ {
		w.feed(history(rng, 2, 300)...)
		w.txnLive(len(txnCrashPoints)-2, n, 100, 1)
	}
	l := w.start(nil, nil)
	l.settle()
	l.stop()
	w.requireClean()
	have := map[string]bool{}
	for part, records := range w.output() {
		for _, r := range records {
			have[fmt.Sprint(part, string(r.Headers[len(r.Headers)-1].Value))] = true
		}
	}
	for part, records := range w.readCommitted(testDup) {
		for _, r := range records {
			have[fmt.Sprint(part, string(r.Headers[len(r.Headers)-1].Value))] = true
		}
	}
	for part, records := range w.fed {
		for _, r := range records {
			require.True(t, have[fmt.Sprint(part, fmt.Sprintf("%s/%d/%d", testIn, part, r.Offset))], "offset %d of %d is nowhere", r.Offset, part)
		}
	}
}

// TestTransactionsSwitch: from one way to the other and back, with deaths at the moment of the switch.
func TestTransactionsSwitch(t *testing.T) {
	w := newTxnWorld(t, 2)
	rng := rand.New(rand.NewPCG(13, 13))
	for n := range 8 {
		w.txn = n%2 == 0
		w.feed(history(rng, 2, 300)...)
		if w.txn {
			w.txnLive(10+n/2%2, int64(1+n/4), 100, uint64(n))
		} else {
			w.live(afterMarks, int64(1+n/4), 100, uint64(n))
		}
	}
	w.txn = true
	l := w.start(nil, nil)
	l.settle()
	l.stop()
	w.requireClean()
}
