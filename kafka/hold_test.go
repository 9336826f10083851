package kafka

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// alone is a worker that sends nothing: the test acknowledges by hand what is pending.
func alone() *worker {
	r := &Relay{cfg: RelayConfig{Input: testIn, Output: testOut, OnDuplicate: DuplicateTopic}}
	r.producer, r.duplicates = &producer{}, &producer{}
	r.producer.mu.stopped, r.duplicates.mu.stopped = true, true
	r.batchLimit.Store(1 << 20)
	a := &assignment{m: &r.member, resume: resume{there: 4, low: 3, end: 50}, wake: make(chan struct{}, 1), quit: make(chan struct{})}
	w := &worker{assignment: a, r: r, open: -1, lastOut: -1, lane: &lane{}}
	w.build = builder{prefix: []byte(sourcePrefix(testIn, 0))}
	w.dups = newDuplicates(w)
	return w
}

func at(offset int64) *kgo.Record { return &kgo.Record{Offset: offset, Value: []byte("value")} }

// wantPosition compares what may be committed, and the output offset that goes with it.
func wantPosition(t *testing.T, w *worker, next, out int64) {
	t.Helper()
	pos := w.position()
	require.Equal(t, fmt.Sprint(next, out), fmt.Sprint(pos.next, pos.meta.out))
}

// TestHold: from the moment a duplicate is taken until it is acknowledged nothing above it is committed, and the output offset
// stays the one that finds all that the output takes meanwhile.
func TestHold(t *testing.T) {
	w := alone()
	w.handled = 10
	wantPosition(t, w, 10, 50)
	originals := func(from, to, base int64) { // put, sealed, acknowledged: also in the middle of a chunk
		for o := from; o < to; o++ {
			require.NoError(t, w.put(at(o), nil))
		}
		require.NoError(t, w.seal())
		w.acked(w.pending[0], base)
	}
	originals(10, 12, 50)
	wantPosition(t, w, 12, 52)
	require.NoError(t, w.dups.put(at(12), &evidence{})) // in the builder
	originals(13, 20, 52)
	wantPosition(t, w, 12, 52)
	w.dups.flush() // under way
	originals(20, 25, 59)
	wantPosition(t, w, 12, 52)
	require.NoError(t, w.dups.put(at(25), &evidence{}))
	originals(26, 30, 64)
	w.dups.flush()
	require.Len(t, w.dups.pending, 1, "one at a time")
	wantPosition(t, w, 12, 52)
	w.dups.acked(w.dups.pending[0], 0)
	wantPosition(t, w, 25, 64)
	w.dups.flush()
	wantPosition(t, w, 25, 64)
	w.dups.acked(w.dups.pending[0], 1)
	wantPosition(t, w, 30, 68)
}

// TestHoldWhileCatchingUp: what lies below the output's tail is found from where the tail was.
func TestHoldWhileCatchingUp(t *testing.T) {
	w := alone()
	w.handled = 3
	require.NoError(t, w.dups.put(at(3), &evidence{}))
	w.handled = 5
	wantPosition(t, w, 3, 3)
	w.dups.flush()
	wantPosition(t, w, 3, 3)
	w.dups.acked(w.dups.pending[0], 0)
	wantPosition(t, w, 5, 50)
}

// TestOutputIsSentBeforeTheWait: what is ready for the output does not wait with the worker for the duplicates' topic.
func TestOutputIsSentBeforeTheWait(t *testing.T) {
	w := alone()
	for o := range int64(maxPending) {
		require.NoError(t, w.dups.put(at(10+2*o), &evidence{}))
		w.dups.seal()
	}
	require.NoError(t, w.put(at(20), nil))
	require.NoError(t, w.dups.put(at(21), &evidence{}))
	require.Empty(t, w.pending, "there is room in the duplicates' batch")
	w.r.batchLimit.Store(1)
	close(w.quit)
	require.ErrorIs(t, w.dups.put(at(22), &evidence{}), errKilled)
	require.Len(t, w.pending, 1)
	require.EqualValues(t, 20, w.pending[0].first)
}
