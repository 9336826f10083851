package kafka

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"noecho/engine"
)

// TestRecent: the ring against a map. What it tells is right; what it should know it knows.
func TestRecent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ring recent
		stamps := map[int64]int64{}
		offset := rapid.Int64Range(0, 1<<40).Draw(t, "start")
		for range rapid.IntRange(1, 30).Draw(t, "runs") {
			for range rapid.IntRange(1, recentOffsets/4).Draw(t, "records") {
				ts := offset%7 - 1 // sometimes none
				ring.note(offset, ts)
				stamps[offset] = ts
				offset++
			}
			last := offset - 1
			for _, back := range []int64{0, 1, 2, 100, recentOffsets - 1, recentOffsets, 2 * recentOffsets} {
				want, known := stamps[last-back]
				known = known && want >= 0 && back < recentOffsets
				got, ok := ring.stamp(last - back)
				require.Equal(t, known, ok, "%d back", back)
				if ok {
					require.Equal(t, want, got)
				}
			}
			_, ok := ring.stamp(offset)
			require.False(t, ok)
			offset += rapid.SampledFrom([]int64{0, 1, 50, recentOffsets - 1, recentOffsets, 3 * recentOffsets}).Draw(t, "gap")
		}
	})
}

// headers returns the evidence of a record, without what it brought along and without its source.
func evidenceOf(r *kgo.Record) map[string]string {
	got := map[string]string{}
	for _, h := range r.Headers {
		switch h.Key {
		case verdictHeader, originalHeader, partitionHeader, ageHeader, leastAgeHeader:
			got[h.Key] = string(h.Value)
		}
	}
	return got
}

type aged struct {
	partition
	before int64
}

func (a aged) TakenInBefore(int64) (int64, bool) { return a.before, a.before >= 0 }

func TestWitness(t *testing.T) {
	for _, c := range []struct {
		name           string
		copied         int64 // the copy's timestamp
		first          int64
		before         int64 // what the bucket says; -1: nothing
		age, least     int64
		hasAge, hasMin bool
	}{
		{name: "recent", copied: 5000, first: 10, before: -1, age: 4000, hasAge: true},
		{name: "recent, though the bucket would tell less", copied: 5000, first: 10, before: 2000, age: 4000, hasAge: true},
		{name: "clocks disagree", copied: 400, first: 10, before: -1, age: -600, hasAge: true},
		{name: "old, by its bucket", copied: 5000, first: 3, before: 2000, least: 3001, hasMin: true},
		{name: "old, its bucket gone", copied: 5000, first: 3, before: -1},
		{name: "old, and no younger than its bucket's end", copied: 1999, first: 3, before: 2000},
		{name: "original without a timestamp", copied: 5000, first: 11, before: -1},
		{name: "copy without a timestamp", copied: -1, first: 10, before: 2000},
	} {
		t.Run(c.name, func(t *testing.T) {
			var w witness
			w.recent.note(10, 1000)
			w.recent.note(11, -1)
			r := &kgo.Record{Offset: 12, Timestamp: time.UnixMilli(c.copied), Headers: []kgo.RecordHeader{{Key: ageHeader, Value: []byte("forged")}}}
			e := w.duplicate(r, engine.Verdict{Kind: engine.Duplicate, First: c.first}, aged{before: c.before})
			b := builder{prefix: []byte(sourcePrefix("in", 0))}
			size := b.sizeBound(r, e)
			b.append(r, e)
			require.LessOrEqual(t, len(b.raw), size)
			got := decode(t, b.seal(1, 0, 0))[0]
			require.Equal(t, kgo.RecordHeader{Key: ageHeader, Value: []byte("forged")}, got.Headers[0], "its own headers come first")
			require.Equal(t, kgo.RecordHeader{Key: sourceHeader, Value: []byte("in/0/12")}, got.Headers[len(got.Headers)-1])
			got.Headers = got.Headers[1:]
			want := map[string]string{verdictHeader: "duplicate", originalHeader: strconv.FormatInt(c.first, 10)}
			if c.hasAge {
				want[ageHeader] = strconv.FormatInt(c.age, 10)
			}
			if c.hasMin {
				want[leastAgeHeader] = strconv.FormatInt(c.least, 10)
			}
			require.Equal(t, want, evidenceOf(got))
		})
	}
}

// decode reads a sealed batch as a client does.
func decode(t *testing.T, b *batch) []*kgo.Record {
	t.Helper()
	rp := kmsg.NewFetchResponseTopicPartition()
	rp.RecordBatches = b.wire
	got, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{}, &rp, kgo.DefaultDecompressor(), nil)
	require.NoError(t, got.Err)
	require.Len(t, got.Records, b.records)
	return got.Records
}

// TestSplitKeepsEvidence: a batch that is sent in two parts carries what it carried.
func TestSplitKeepsEvidence(t *testing.T) {
	var w witness
	b := builder{prefix: []byte(sourcePrefix("in", 0))}
	for o := range int64(5) {
		r := &kgo.Record{Offset: 10 + o, Value: []byte("v"), Timestamp: time.UnixMilli(o)}
		w.recent.note(r.Offset, o)
		b.append(r, w.duplicate(r, engine.Verdict{Kind: engine.Duplicate, First: 10}, aged{before: -1}))
	}
	whole := b.seal(1, 0, 0)
	whole.out = 77
	parts, err := whole.split(b)
	require.NoError(t, err)
	require.Len(t, parts, 2)
	o := int64(0)
	for _, part := range parts {
		require.EqualValues(t, 77, part.out)
		for _, r := range decode(t, part) {
			require.Equal(t, map[string]string{verdictHeader: "duplicate", originalHeader: "10", ageHeader: strconv.FormatInt(o, 10)}, evidenceOf(r))
			require.Equal(t, "in/0/"+strconv.FormatInt(10+o, 10), string(r.Headers[len(r.Headers)-1].Value))
			o++
		}
	}
}
