package kafka

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"noecho/internal/testutil"
)

func TestDecide(t *testing.T) {
	ours := func(c int64, m metadata) committedOffset { return committedOffset{offset: c, meta: m, ours: true} }
	for _, c := range []struct {
		name  string
		group committedOffset
		state int64
		want  plan
	}{
		{"ours, marks ahead", ours(5, metadata{out: 4}), 9, plan{start: 9, scan: scanForward, out: 4}},
		{"ours, marks behind", ours(9, metadata{out: 4}), 5, plan{start: 9, scan: scanForward, out: 4}},
		{"ours, no marks", ours(9, metadata{out: 4}), -1, plan{start: 9, scan: scanForward, out: 4}},
		{"ours, clean", ours(9, metadata{out: 4, clean: true}), 9, plan{start: 9, scan: scanForward, out: 4, claim: true, clean: true}},
		{"ours, rewound", ours(5, metadata{out: 4, rewound: true}), 9, plan{start: 5, scan: scanForward, out: 4}},
		{"operator, back", committedOffset{offset: 5}, 9, plan{start: 5, obeyed: true, claim: true}},
		{"operator, forth", committedOffset{offset: 12}, 9, plan{start: 12, obeyed: true, claim: true}},
		{"operator, to the start", committedOffset{offset: 0}, 9, plan{start: 0, obeyed: true, claim: true}},
		{"none, marks", committedOffset{offset: -1}, 9, plan{start: 9, scan: scanBackward, claim: true}},
		{"nothing at all", committedOffset{offset: -1}, -1, plan{start: -1, scan: scanBackward, claim: true, clean: true}},
	} {
		require.Equal(t, c.want, decide(c.group, c.state), c.name)
	}
}

// TestPositionIsOneStatement: whatever a worker's state, no acknowledged record from a source offset at or above next
// lies below out. It drives the fields as run and the producer do, step by step, in any order they may come.
func TestPositionIsOneStatement(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type stored struct{ source, out int64 }
		w := &worker{assignment: &assignment{wake: make(chan struct{}, 1)}, r: &Relay{}, open: -1, lastOut: -1}
		there := rapid.Int64Range(-1, 30).Draw(t, "there")
		w.resume = resume{start: 0, state: 0, there: there, low: 100, end: 100 + there + 1}
		var log []stored // of the output: first what was there
		for o := range there + 1 {
			log = append(log, stored{o, 100 + o})
		}
		end, source := w.resume.end, int64(0)
		var open []int64 // in the builder
		check := func() {
			pos := w.position()
			for _, s := range log {
				require.False(t, s.source >= pos.next && s.out < pos.meta.out, "%+v: %+v", pos, s)
			}
			for _, o := range open {
				require.Less(t, pos.next, o+1, "a record in the builder is not done")
			}
		}
		seal := func() {
			w.pending = append(w.pending, &batch{records: len(open), first: open[0], last: open[len(open)-1]})
			w.open, open = -1, nil
		}
		ack := func() {
			b := w.pending[0]
			for i := range b.records {
				log = append(log, stored{b.first + int64(i), end + int64(i)}) // offsets between are dropped: the least helpful case
			}
			log[len(log)-1].source = b.last
			w.acked(b, end)
			end += int64(b.records)
		}
		for range rapid.IntRange(1, 12).Draw(t, "chunks") {
			for range rapid.IntRange(1, 8).Draw(t, "records") {
				if source > there && rapid.Bool().Draw(t, "passes") {
					open = append(open, source)
				}
				source++
				if len(open) > 0 && rapid.IntRange(0, 3).Draw(t, "seal") == 0 {
					seal()
					check()
				}
				if len(w.pending) > 0 && rapid.IntRange(0, 2).Draw(t, "ack") == 0 {
					ack()
					check()
				}
			}
			w.handled = max(w.handled, source)
			w.open = -1
			if len(open) > 0 {
				w.open = open[0]
			}
			check()
		}
	})
}

// originals are the records of a partition that own their key, from an offset on.
func (w *world) originals(part int32, from int64) (out []*kgo.Record) {
	seen := make(map[string]bool)
	for _, r := range w.fed[part] {
		if !seen[string(r.Key)] && r.Offset >= from {
			out = append(out, r)
		}
		seen[string(r.Key)] = true
	}
	return out
}

// TestOperatorRewinds: the group set back with the usual tool is obeyed. Originals pass again, copies stay dropped.
func TestOperatorRewinds(t *testing.T) {
	for _, to := range []int64{0, 1, 700, 1999} {
		t.Run(fmt.Sprint(to), func(t *testing.T) {
			w := newWorld(t, 1)
			w.feed(history(rand.New(rand.NewPCG(5, uint64(to))), 1, 2000)...)
			l := w.start(nil, brief)
			l.settle()
			l.stop()
			w.vacate()
			w.reset(0, to)
			again := w.originals(0, to)
			l = w.start(nil, brief)
			l.settle()
			require.EqualValues(t, len(again), l.relay.Stats().Totals.Redelivery)
			l.stop()
			w.requireOutput(func(int32) []*kgo.Record { return again })
			at, meta := w.committed(0)
			require.EqualValues(t, 2000, at)
			require.NotContains(t, meta, "rewound")
		})
	}
}

// TestCrashInARewind: case 2. The rewind goes on where it was, and the rewound records are in the output once more, not
// twice, and all of them.
func TestCrashInARewind(t *testing.T) {
	for _, at := range crashPoints {
		if at == beforeMarks || at == afterMarks {
			continue // nothing is committed to the engine below where it stands
		}
		t.Run(string(at), func(t *testing.T) {
			w := newWorld(t, 1)
			w.feed(history(rand.New(rand.NewPCG(6, 6)), 1, 6000)...)
			l := w.start(nil, brief)
			l.settle()
			l.stop()
			w.vacate()
			w.reset(0, 100)
			again := w.originals(0, 100)
			deaths := 0
			for n := int64(1); n <= 4; n++ {
				if w.live(at, n, 50, uint64(n)) {
					deaths++
					if c, meta := w.committed(0); c < 6000 && meta != "" {
						require.True(t, strings.HasSuffix(meta, " rewound"), meta)
					}
				}
			}
			require.Positive(t, deaths)
			l = w.start(nil, brief)
			l.settle()
			l.stop()
			w.requireOutput(func(int32) []*kgo.Record { return again })
		})
	}
}

// TestOperatorSkips: the group set forward: what lies between is left out, as was asked.
func TestOperatorSkips(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"))
	l := w.start(nil, brief)
	l.settle()
	l.stop()
	w.feed(rec(0, "b", "2"), rec(0, "c", "3"), rec(0, "a", "4"))
	w.vacate()
	w.reset(0, 2)
	l = w.start(nil, brief)
	l.settle()
	l.stop()
	requireSame(t, 0, []*kgo.Record{w.fed[0][0], w.fed[0][2]}, w.output()[0])
}

// TestNoCommittedOffset: case 4. The group's offsets are gone (expired, or the group deleted).
func TestNoCommittedOffset(t *testing.T) {
	for _, keepState := range []bool{true, false} {
		t.Run(fmt.Sprintf("state=%v", keepState), func(t *testing.T) {
			w := newWorld(t, 2)
			w.feed(history(rand.New(rand.NewPCG(8, 8)), 2, 4000)...)
			l := w.start(nil, brief)
			l.settle()
			l.stop()
			w.vacate()
			resp, err := w.adm.DeleteGroup(t.Context(), testGroup)
			require.NoError(t, err)
			require.NoError(t, resp.Err)
			if !keepState {
				w.fs = testutil.NewFS()
			}
			w.feed(history(rand.New(rand.NewPCG(9, 8)), 2, 500)...) // copies of the first, mostly
			w.feed(rec(0, "new", "x"), rec(1, "new", "y"))
			l = w.start(nil, brief)
			l.settle()
			l.stop()
			w.requireClean()
		})
	}
}

// TestStartLatest: a group that is new starts at the end, for good: a crash before the first record does not move it.
func TestStartLatest(t *testing.T) {
	latest := func(cfg *RelayConfig) { cfg.StartAt = StartLatest }
	w := newWorld(t, 1)
	w.feed(rec(0, "old", "1"))
	l := w.start(nil, latest)
	w.eventually("the claim", func() bool { at, _ := w.committed(0); return at == 1 })
	l.die(0, 1)
	l.bury()
	w.feed(rec(0, "old", "2"), rec(0, "new", "3"))
	l = w.start(nil, latest)
	l.settle()
	l.stop()
	requireSame(t, 0, w.fed[0][1:], w.output()[0]) // the first "old" was never seen
}

// TestStartLatestAndPartitionsAdded: what a new partition took in before the group heard of it is not passed over.
func TestStartLatestAndPartitionsAdded(t *testing.T) {
	latest := func(cfg *RelayConfig) { cfg.StartAt = StartLatest }
	w := newWorld(t, 1)
	w.feed(rec(0, "old", "1"))
	l := w.start(nil, latest)
	w.eventually("the claim", func() bool { at, _ := w.committed(0); return at == 1 })
	l.stop()
	for _, topic := range []string{testOut, testIn} {
		_, err := w.adm.CreatePartitions(t.Context(), 1, topic)
		require.NoError(t, err)
	}
	w.cl.ForceMetadataRefresh()
	w.parts = 2
	w.eventually("a record in the new partition", func() bool {
		r := rec(1, "first", "1")
		r.Topic = testIn
		if w.cl.ProduceSync(t.Context(), r).FirstErr() != nil {
			return false
		}
		w.fed[1] = append(w.fed[1], r)
		return true
	})
	l = w.start(nil, latest)
	l.settle()
	l.stop()
	out := w.output()
	require.Empty(t, out[0])
	requireSame(t, 1, w.fed[1], out[1])
}

// TestAnotherGroupOnTheSameStore: the store knows where it was, whatever start_at says, and the log says so.
func TestAnotherGroupOnTheSameStore(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"))
	l := w.start(nil, nil)
	l.settle()
	l.stop()
	w.feed(rec(0, "a", "2"), rec(0, "b", "1"))
	var lines bytes.Buffer
	l = w.start(nil, func(cfg *RelayConfig) {
		cfg.Group, cfg.StartAt = "another", StartLatest
		cfg.Logger = slog.New(slog.NewTextHandler(&lines, nil))
	})
	l.settle()
	l.stop()
	w.requireClean()
	require.Contains(t, lines.String(), "start_at is not used")
}

// TestOffsetBeyondTheLog: the topic was made again, or the group is another's. Refused, not guessed at.
func TestOffsetBeyondTheLog(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"))
	w.reset(0, 7)
	l := w.start(nil, nil)
	<-l.done
	var beyond *OffsetError
	require.ErrorAs(t, l.err, &beyond)
	require.EqualValues(t, 7, beyond.Offset)
	require.EqualValues(t, 1, beyond.End)
}

// TestRetentionOvertook: the committed offset is gone from the log: go on at what is left, and say so.
func TestRetentionOvertook(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"))
	l := w.start(nil, nil)
	l.settle()
	l.stop()
	w.feed(rec(0, "b", "2"), rec(0, "c", "3"))
	require.NoError(t, w.cluster.DeleteRecords(testIn, 0, 2))
	l = w.start(nil, nil)
	l.settle()
	l.stop()
	requireSame(t, 0, []*kgo.Record{w.fed[0][0], w.fed[0][2]}, w.output()[0])
}

// TestOutputShorterThanCommitted: the output was emptied and made again between two lives.
func TestOutputShorterThanCommitted(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"), rec(0, "b", "2"), rec(0, "c", "3"))
	l := w.start(nil, nil)
	l.settle()
	l.stop()
	require.NoError(t, w.cluster.DeleteTopic(testOut))
	require.NoError(t, w.cluster.CreateTopic(testOut, 1, nil))
	w.feed(rec(0, "a", "4"), rec(0, "d", "5"))
	l = w.start(nil, nil)
	l.settle()
	l.stop()
	requireSame(t, 0, w.fed[0][4:], w.output()[0])
}

// TestForeignRecordsInTheOutput: others may write there too; what is not ours is passed over by the scan.
func TestForeignRecordsInTheOutput(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(history(rand.New(rand.NewPCG(2, 8)), 1, 400)...)
	foreign := func(n int) {
		for i := range n {
			r := &kgo.Record{Topic: testOut, Value: []byte("foreign")}
			if i%2 == 0 { // another relay's, with the same numbers
				r.Headers = []kgo.RecordHeader{{Key: sourceHeader, Value: []byte(fmt.Sprintf("elsewhere/0/%d", 1_000_000+i))}}
			}
			require.NoError(t, w.cl.ProduceSync(t.Context(), r).FirstErr())
		}
	}
	foreign(5)
	l := w.prepare(nil, nil)
	l.relay.member.cfg.CommitInterval = patience // nothing committed but the claim
	l.start()
	w.eventually("all in the output", l.idle)
	l.die(0, 1)
	l.bury()
	foreign(5)
	w.feed(history(rand.New(rand.NewPCG(2, 8)), 1, 600)...)
	l = w.start(nil, nil)
	l.settle()
	l.stop()
	var ours []*kgo.Record
	for _, r := range w.output()[0] {
		if string(r.Value) != "foreign" {
			ours = append(ours, r)
		}
	}
	requireSame(t, 0, w.originals(0, 0), ours)
}
