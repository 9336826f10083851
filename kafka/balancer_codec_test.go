package kafka

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"noecho/engine"
)

func TestWarmCodec(t *testing.T) {
	data := encodeWarm(nil, "t", []engine.Coverage{
		{Topic: "t", Partition: 300, Low: 0, To: math.MaxInt64}, {Topic: "other", Partition: 1, Low: 0, To: 9},
		{Topic: "t", Partition: 0, Low: 7, To: 9}, {Topic: "t", Partition: 1, Low: 9, To: 9},
		{Topic: "t", Partition: math.MaxInt32, Low: math.MaxInt64 - 1, To: math.MaxInt64},
	})
	warm, ok := decodeWarm(data)
	require.True(t, ok)
	require.Equal(t, map[int32]coverage{0: {7, 9}, 300: {0, math.MaxInt64}, math.MaxInt32: {math.MaxInt64 - 1, math.MaxInt64}}, warm)
	require.Equal(t, []byte{1, 0, 7, 2}, data[:4], "on the wire, for ever")

	uv := func(vs ...uint64) []byte {
		b := []byte{warmVersion}
		for _, v := range vs {
			b = binary.AppendUvarint(b, v)
		}
		return b
	}
	for what, bad := range map[string][]byte{
		"nothing": nil, "another version": {2, 0, 7, 2}, "cut short": {1, 0, 7}, "an open number": {1, 0, 7, 0x80}, "no width": uv(0, 7, 0),
		"no such partition": uv(math.MaxInt32+1, 7, 2), "no such partition, summed up": uv(math.MaxInt32, 7, 2, 0, 7, 2), "a skip that overflows": uv(5, 7, 2, math.MaxUint64, 7, 2),
		"no such offset": uv(0, math.MaxUint64, 2), "an end that overflows": uv(0, math.MaxInt64-1, 2), "a width that overflows": uv(0, 1, math.MaxUint64),
		"too long": append([]byte{1}, bytes.Repeat([]byte{0, 7, 2}, maxWarmBytes/3+1)...), "a number of too many bytes": append([]byte{1}, bytes.Repeat([]byte{0xff}, 12)...),
	} {
		warm, ok := decodeWarm(bad)
		require.False(t, ok, what)
		require.Empty(t, warm, what)
	}
	warm, ok = decodeWarm(encodeWarm(nil, "t", nil))
	require.True(t, ok, "a store without marks is no fault")
	require.Empty(t, warm)
}

// TestWarmBound: whatever the store knows, the data stay small, can be read, and keep those that know most.
func TestWarmBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 2000).Draw(t, "n")
		far := rapid.Bool().Draw(t, "far")
		var all []engine.Coverage
		for part := range n {
			low := int64(part) * 1000
			if far {
				low += math.MaxInt64 / 2
			}
			all = append(all, engine.Coverage{Topic: "t", Partition: int32(part * 7), Low: low, To: low + 1 + int64(part*31%n)})
		}
		data := encodeWarm([]byte("before"), "t", all)[len("before"):]
		require.LessOrEqual(t, len(data), maxWarmBytes)
		warm, ok := decodeWarm(data)
		require.True(t, ok)
		least, most := int64(math.MaxInt64), int64(0)
		for _, c := range all {
			got, kept := warm[c.Partition]
			if kept {
				require.Equal(t, coverage{c.Low, c.To}, got)
				least = min(least, c.To-c.Low)
			} else {
				most = max(most, c.To-c.Low)
			}
		}
		require.GreaterOrEqual(t, least, most)
		if n <= 200 {
			require.Len(t, warm, n)
		}
	})
}

func FuzzWarm(f *testing.F) {
	f.Add([]byte{1, 0, 7, 2})
	f.Add([]byte{1, 0, 7, 2, 3, 0x80, 1, 9})
	f.Fuzz(func(t *testing.T, data []byte) {
		warm, ok := decodeWarm(data)
		if !ok {
			require.Empty(t, warm)
			return
		}
		var all []engine.Coverage
		for part, c := range warm {
			require.GreaterOrEqual(t, part, int32(0))
			require.GreaterOrEqual(t, c.low, int64(0))
			require.Greater(t, c.to, c.low)
			all = append(all, engine.Coverage{Topic: "t", Partition: part, Low: c.low, To: c.to})
		}
		again, ok := decodeWarm(encodeWarm(nil, "t", all))
		require.True(t, ok)
		for part, c := range again { // not all, where the bound bites
			require.Equal(t, warm[part], c)
		}
	})
}
