package kafka

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// history makes n records of which about a fifth are copies, half of them of what was just sent, half of any before.
func history(rng *rand.Rand, parts int32, n int) (records []*kgo.Record) {
	sent := make([][]string, parts)
	for i := range n {
		part := rng.Int32N(parts)
		key := fmt.Sprintf("k%06d", i)
		if had := sent[part]; len(had) > 0 && rng.IntN(5) == 0 {
			key = had[rng.IntN(len(had))]
			if rng.IntN(2) == 0 {
				key = had[max(0, len(had)-1-rng.IntN(4))]
			}
		}
		sent[part] = append(sent[part], key)
		r := rec(part, key, fmt.Sprintf("v%d", i))
		if rng.IntN(3) == 0 {
			r.Headers = []kgo.RecordHeader{{Key: "trace", Value: []byte{1, 2}}, {Key: "none"}}
		}
		records = append(records, r)
	}
	return records
}

func TestRelay(t *testing.T) {
	w := newWorld(t, 4)
	rng := rand.New(rand.NewPCG(1, 1))
	w.feed(history(rng, 4, 3000)...)
	l := w.start(nil, nil)
	w.feed(history(rng, 4, 3000)...) // the same keys again: copies from far away
	l.settle()
	totals := l.relay.Stats().Totals
	l.stop()
	w.requireClean()

	out := 0
	for _, records := range w.output() {
		out += len(records)
	}
	require.EqualValues(t, out, totals.Produced)
	require.EqualValues(t, out, totals.Unique)
	require.EqualValues(t, 6000-out, totals.Duplicate)
	for part := range w.parts {
		at, meta := w.committed(part)
		require.EqualValues(t, len(w.fed[part]), at)
		m, ok := parseMetadata(meta, at)
		require.True(t, ok, meta)
		require.True(t, m.clean)
		require.EqualValues(t, len(w.output()[part]), m.out)
	}
}

// TestRelayKeepsRecords: key, value, headers and timestamp come out as they went in, null and empty told apart.
func TestRelayKeepsRecords(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(
		&kgo.Record{Key: []byte("a"), Value: nil},
		&kgo.Record{Key: []byte("b"), Value: []byte{}},
		&kgo.Record{Key: []byte("c"), Value: []byte("x"), Headers: []kgo.RecordHeader{
			{Key: "h", Value: []byte("1")}, {Key: "h", Value: []byte("2")}, {Key: "", Value: nil}, {Key: "e", Value: []byte{}},
		}},
	)
	l := w.start(nil, nil)
	l.settle()
	l.stop()
	got := w.output()[0]
	require.Len(t, got, 3)
	for i, r := range got {
		want := w.fed[0][i]
		require.Equal(t, want.Key, r.Key)
		require.Equal(t, want.Value, r.Value)
		require.Equal(t, want.Timestamp.UnixMilli(), r.Timestamp.UnixMilli())
		require.Equal(t, len(want.Headers)+1, len(r.Headers))
		for h := range want.Headers {
			require.Equal(t, want.Headers[h], r.Headers[h])
		}
		require.Equal(t, kgo.RecordHeader{Key: sourceHeader, Value: []byte(fmt.Sprintf("%s/0/%d", testIn, i))}, r.Headers[len(want.Headers)])
	}
}
