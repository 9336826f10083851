package engine

import (
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
)

// sampleShard has a different value in each field of the state.
func sampleShard() *shard {
	s := newShard(nil, 7, "orders", 3)
	s.seq, s.gen = 300, 12
	s.empty, s.start, s.to, s.committed, s.streamTime, s.floor = false, 0, 2_000_000, 1_999_000, 1_700_000_000_000, 5
	s.buckets = []bucket{{num: 5, first: 0, keys: 40}, {num: 6, first: 128, keys: 0}, {num: 900, first: 1 << 40, keys: 1 << 33}}
	return s
}

func TestMetaGolden(t *testing.T) {
	golden(t, "meta.v1.golden", []byte(hex.EncodeToString(sampleShard().appendMeta(nil))+"\n"))
	empty := newShard(nil, 7, "", -1)
	golden(t, "meta.empty.v1.golden", []byte(hex.EncodeToString(empty.appendMeta(nil))+"\n"))
}

// state is what appendMeta writes and decodeMeta reads.
type state struct {
	topic                                   string
	partition                               int32
	seq, gen                                uint64
	empty                                   bool
	start, to, committed, streamTime, floor int64
	buckets                                 []bucket
}

func stateOf(s *shard) state {
	return state{s.topic, s.partition, s.seq, s.gen, s.empty, s.start, s.to, s.committed, s.streamTime, s.floor, s.buckets}
}

func TestMetaRoundTrip(t *testing.T) {
	want := sampleShard()
	got := newShard(nil, 7, "", 0)
	require.NoError(t, got.decodeMeta(want.appendMeta(nil)))
	for i := range want.buckets {
		want.buckets[i].cold, want.buckets[i].stored = true, true // a decoded bucket is in the index
	}
	require.Equal(t, stateOf(want), stateOf(got))
}

// TestMetaRefused: what contradicts the rule is an error that names the partition, never a shard that panics later.
func TestMetaRefused(t *testing.T) {
	cases := []struct {
		reason string
		spoil  func(*shard)
	}{
		{"coverage", func(s *shard) { s.to = -1 }},
		{"coverage", func(s *shard) { s.start, s.to = 9, 8 }},
		{"coverage", func(s *shard) { s.empty = true }},
		{"committed", func(s *shard) { s.committed = -2 }},
		{"committed", func(s *shard) { s.streamTime = -1 }},
		{"no bucket", func(s *shard) { s.buckets = nil }},
		{"out of order", func(s *shard) { s.buckets[1].num = 5 }},
		{"out of order", func(s *shard) { s.buckets[0].first = 200 }},
		{"bucket -1", func(s *shard) { s.buckets[0].num = -1 }},
	}
	for _, c := range cases {
		s := sampleShard()
		c.spoil(s)
		err := newShard(nil, 7, "", 0).decodeMeta(s.appendMeta(nil))
		var bad *StateError
		require.ErrorAs(t, err, &bad, c.reason)
		require.ErrorContains(t, err, c.reason)
		require.ErrorContains(t, err, "partition id 7")
	}
	good := sampleShard().appendMeta(nil)
	for n := range good {
		require.Error(t, newShard(nil, 7, "", 0).decodeMeta(good[:n]), "cut after %d bytes", n)
	}
	require.ErrorContains(t, newShard(nil, 7, "", 0).decodeMeta(append(good, 0)), "left over")
	good[0] = metaVersion + 1
	require.ErrorContains(t, newShard(nil, 7, "", 0).decodeMeta(good), "version")
}

// FuzzDecodeMeta: no input panics or makes memory out of nothing, and what is accepted is sound and survives a round trip.
func FuzzDecodeMeta(f *testing.F) {
	f.Add(sampleShard().appendMeta(nil))
	f.Add(newShard(nil, 1, "t", 0).appendMeta(nil))
	f.Add([]byte{metaVersion, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newShard(nil, 7, "", 0)
		if s.decodeMeta(b) != nil {
			return
		}
		require.Empty(t, s.impossible())
		require.LessOrEqual(t, cap(s.buckets), len(b))
		again := newShard(nil, 7, "", 0)
		require.NoError(t, again.decodeMeta(s.appendMeta(nil)))
		require.Equal(t, stateOf(s), stateOf(again))
	})
}
