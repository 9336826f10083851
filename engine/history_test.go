package engine_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/stretchr/testify/require"

	"noecho/engine"
	"noecho/internal/model"
)

// history is a log with copies near and far, and the rule's view of it. The oracle never crashes: the verdicts must be
// the same whether what was not committed survived or not.
type history struct {
	rng    *rand.Rand
	log    []model.Record
	keys   int // new records choose among the last so many keys, or a fresh one
	fresh  int
	time   int64
	stepMs int64
	oracle *model.Partition
	pos    int // the next record to deliver, as an index of log
}

func newHistory(rng *rand.Rand, o engine.Options) *history {
	return &history{
		rng: rng, keys: 1 + rng.IntN(60), stepMs: 1 + rng.Int64N(20), time: rng.Int64N(5000),
		oracle: model.New(o.Window.Milliseconds(), o.Buckets, o.Refresh),
	}
}

// extend appends a record to the log: offsets with gaps, timestamps that jitter and are missing at times.
func (h *history) extend() {
	o := int64(h.rng.IntN(5))
	if n := len(h.log); n > 0 {
		o = h.log[n-1].Offset + 1
		if h.rng.IntN(8) == 0 {
			o += h.rng.Int64N(4)
		}
	}
	h.time += h.rng.Int64N(2 * h.stepMs)
	if h.rng.IntN(200) == 0 {
		h.time += 40 * h.stepMs * h.rng.Int64N(20) // a quiet spell, some longer than the window
	}
	ts := h.time - h.rng.Int64N(10*h.stepMs)
	if h.rng.IntN(10) == 0 {
		ts = -1
	}
	key := h.fresh
	if h.rng.IntN(3) > 0 {
		key = max(0, h.fresh-h.rng.IntN(h.keys))
	} else {
		h.fresh++
	}
	h.log = append(h.log, model.Record{Offset: o, Timestamp: ts, Key: fmt.Sprintf("k%d", key)})
}

// next returns the next n records of the log and moves on.
func (h *history) next(n int) []model.Record {
	for len(h.log) < h.pos+n {
		h.extend()
	}
	recs := h.log[h.pos : h.pos+n]
	h.pos += n
	return recs
}

// redeliver moves back to the first record at or above an offset.
func (h *history) redeliver(from int64) {
	h.pos = 0
	for h.pos < len(h.log) && h.log[h.pos].Offset < from {
		h.pos++
	}
}

// atHead says that nothing below the oracle's coverage is left to deliver.
func (h *history) atHead() bool {
	_, to := h.oracle.Coverage()
	return h.pos > 0 && h.log[h.pos-1].Offset+1 == to
}

// done is the offset after the last delivered record.
func (h *history) done() int64 {
	if h.pos == 0 {
		return 0
	}
	return h.log[h.pos-1].Offset + 1
}

// deliver gives n records to the store and to the oracle and compares.
func (h *history) deliver(t failer, s *store, n int) {
	recs := h.next(n)
	want := h.oracle.Check(recs)
	for i, got := range s.check(recs) {
		same(t, want[i], got, "offset %d, key %s, timestamp %d", recs[i].Offset, recs[i].Key, recs[i].Timestamp)
	}
}

func (h *history) commit(s *store) {
	h.oracle.Commit(h.done())
	s.commit(h.done())
}

// lookup compares one key at the head.
func (h *history) lookup(t failer, s *store, key string) {
	want, wantSeen := h.oracle.Lookup(key)
	got, seen, err := s.p.Lookup([]byte(key))
	require.NoError(t, err)
	require.Equal(t, wantSeen, seen, "lookup of %s", key)
	if seen {
		require.Equal(t, want, got, "lookup of %s", key)
	}
}

// verify delivers everything from the committed offset again, and then some, and looks at every key.
func (h *history) verify(t failer, s *store) {
	h.redeliver(max(0, s.p.Committed()))
	for h.pos < len(h.log) {
		h.deliver(t, s, min(50, len(h.log)-h.pos))
	}
	h.deliver(t, s, 30)
	for k := range h.fresh + 1 {
		h.lookup(t, s, fmt.Sprintf("k%d", k))
	}
}
