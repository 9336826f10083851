package kafka

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

func TestMetadata(t *testing.T) {
	require.Equal(t, "noecho/1 at=0 out=0", metadata{}.String())
	require.Equal(t, "noecho/1 at=7 out=42 clean rewound", metadata{at: 7, out: 42, clean: true, rewound: true}.String())
	id := topicID{0: 1, 15: 2}
	require.Equal(t, "noecho/1 at=7 out=42 since=3 topic=AQAAAAAAAAAAAAAAAAAAAg clean", metadata{at: 7, out: 42, since: 3, topic: id, clean: true}.String())
	for _, foreign := range []string{
		"", "x", "noecho/1", "noecho/1 at=1 out=", "noecho/1 at= out=1", "noecho/1 at=1 out=-1", "noecho/1 at=1 out=+1", "noecho/1 at=1 out=01",
		"noecho/1 at=1 out=1 ", "noecho/1 at=1 out=1  clean", "noecho/1 at=1 out=1 rewound clean", "noecho/1 at=1 out=1 clean clean",
		"noecho/1 at=1 out=1 cleanrewound", "noecho/2 at=1 out=1", "noecho/1 at=1 out=99999999999999999999", " noecho/1 at=1 out=1",
		"noecho/1 at=1 out=1 other", "noecho/1 out=1", "noecho/1 at=1", "noecho/1 out=1 at=1", "noecho/1 at=01 out=1",
		"noecho/1 at=1 out=1 since=0", "noecho/1 at=1 out=1 topic=AQ", "noecho/1 at=1 out=1 topic=", "noecho/1 at=1 out=1 topic=AAAAAAAAAAAAAAAAAAAAAA",
	} {
		_, ok := parseMetadata(foreign, 1)
		require.False(t, ok, "%q", foreign)
	}
	moved := metadata{at: 1, out: 5}.String()
	_, ok := parseMetadata(moved, 1)
	require.True(t, ok)
	_, ok = parseMetadata(moved, 2)
	require.False(t, ok, "a tool has copied it to another offset")
}

func FuzzMetadata(f *testing.F) {
	f.Add("noecho/1 at=3 out=7 clean rewound", int64(3))
	f.Add("noecho/1 at=4 out=7", int64(4))
	f.Add("noecho/1 at=4 out=7 since=2 topic=AQAAAAAAAAAAAAAAAAAAAg rewound", int64(4))
	f.Fuzz(func(t *testing.T, s string, offset int64) {
		if m, ok := parseMetadata(s, offset); ok {
			require.Equal(t, offset, m.at)
			require.Equal(t, s, m.String())
			require.GreaterOrEqual(t, m.out, int64(0))
		}
	})
}

func TestMetadataRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := metadata{at: rapid.Int64Range(0, math.MaxInt64).Draw(t, "at"), out: rapid.Int64Range(0, math.MaxInt64).Draw(t, "out"),
			clean: rapid.Bool().Draw(t, "clean"), rewound: rapid.Bool().Draw(t, "rewound"),
			since: rapid.Int64Range(0, math.MaxInt64).Draw(t, "since"), topic: topicID{rapid.Byte().Draw(t, "topic")}}
		got, ok := parseMetadata(m.String(), m.at)
		require.True(t, ok)
		require.Equal(t, m, got)
	})
}

func FuzzSource(f *testing.F) {
	f.Add([]byte("orders/3/17"))
	f.Fuzz(func(t *testing.T, value []byte) {
		if offset, ok := parseSource("orders/3/", value); ok {
			require.GreaterOrEqual(t, offset, int64(0))
			require.True(t, bytes.HasPrefix(value, []byte("orders/3/")))
		}
	})
}

func TestParseSource(t *testing.T) {
	offset, ok := parseSource(sourcePrefix("orders", 3), []byte("orders/3/17"))
	require.True(t, ok)
	require.EqualValues(t, 17, offset)
	for _, other := range []string{"", "orders/3/", "orders/3/-1", "orders/3/x", "orders/30/1", "order/3/1", "orders/3", "orders/3/1/2"} {
		_, ok := parseSource(sourcePrefix("orders", 3), []byte(other))
		require.False(t, ok, other)
	}
}

// TestBatchRoundTrip: what the builder seals is what a Kafka client reads, with every codec.
func TestBatchRoundTrip(t *testing.T) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for name, codec := range codecs {
		t.Run(name, func(t *testing.T) {
			compressor, err := kgo.DefaultCompressor(codec)
			require.NoError(t, err)
			decompressor := kgo.DefaultDecompressor()
			rapid.Check(t, func(t *rapid.T) {
				b := builder{prefix: []byte(sourcePrefix("in", 2)), compressor: compressor}
				for range 2 { // the second is built in the first one's memory
					records := drawRecords(t)
					bound := 0
					for _, r := range records {
						bound += b.sizeBound(r, nil)
						b.append(r, nil)
					}
					require.LessOrEqual(t, len(b.raw), bound)
					pid := rapid.Int64().Draw(t, "pid")
					sealed := b.seal(pid, 3, 77)
					require.True(t, b.empty())
					requireBatch(t, sealed, records, pid, decompressor)
					b.freelist = append(b.freelist, sealed)
				}
			})
		})
	}
}

func drawRecords(t *rapid.T) (records []*kgo.Record) {
	nullable := func(name string) []byte {
		if rapid.Bool().Draw(t, name+" null") {
			return nil
		}
		return append([]byte{}, rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, name)...)
	}
	offset := rapid.Int64Range(0, 1<<40).Draw(t, "offset")
	for range rapid.IntRange(1, 20).Draw(t, "records") {
		r := &kgo.Record{Key: nullable("key"), Value: nullable("value"), Offset: offset,
			Timestamp: time.UnixMilli(rapid.Int64Range(-1, 1<<42).Draw(t, "time"))}
		for range rapid.IntRange(0, 3).Draw(t, "headers") {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: rapid.StringN(0, 9, -1).Draw(t, "name"), Value: nullable("header")})
		}
		records = append(records, r)
		offset += rapid.Int64Range(1, 1000).Draw(t, "gap")
	}
	return records
}

func requireBatch(t *rapid.T, sealed *batch, records []*kgo.Record, pid int64, decompressor kgo.Decompressor) {
	var raw kmsg.RecordBatch
	require.NoError(t, raw.ReadFrom(sealed.wire))
	require.Equal(t, pid, raw.ProducerID)
	require.EqualValues(t, 3, raw.ProducerEpoch)
	require.EqualValues(t, 77, raw.FirstSequence)
	require.EqualValues(t, len(records), raw.NumRecords)
	require.EqualValues(t, len(records)-1, raw.LastOffsetDelta)
	rp := kmsg.NewFetchResponseTopicPartition()
	rp.RecordBatches = sealed.wire
	got, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Topic: "out"}, &rp, decompressor, nil)
	require.NoError(t, got.Err)
	require.EqualValues(t, len(records), next)
	require.Len(t, got.Records, len(records))
	latest := records[0].Timestamp
	for i, r := range got.Records {
		want := records[i]
		require.Equal(t, want.Key, r.Key)
		require.Equal(t, want.Value, r.Value)
		require.Equal(t, want.Timestamp.UnixMilli(), r.Timestamp.UnixMilli())
		require.Len(t, r.Headers, len(want.Headers)+1)
		for h := range want.Headers {
			require.Equal(t, want.Headers[h], r.Headers[h])
		}
		last := r.Headers[len(r.Headers)-1]
		require.Equal(t, sourceHeader, last.Key)
		source, ok := parseSource("in/2/", last.Value)
		require.True(t, ok)
		require.Equal(t, want.Offset, source)
		if want.Timestamp.After(latest) {
			latest = want.Timestamp
		}
	}
	require.Equal(t, latest.UnixMilli(), raw.MaxTimestamp)
	require.Equal(t, records[0].Offset, sealed.first)
	require.Equal(t, records[len(records)-1].Offset, sealed.last)
}

func TestVarintLen(t *testing.T) {
	for _, v := range []int64{0, -1, 1, 63, 64, -64, -65, 8191, 8192, math.MaxInt64, math.MinInt64} {
		want := binary.AppendVarint(nil, v)
		require.Len(t, want, varintLen(v), "%d", v)
		require.Equal(t, want, appendVarint(nil, v), "%d", v)
	}
}

// TestSplit: the halves hold the same records, numbered as they were, also round the end of the sequence numbers.
func TestSplit(t *testing.T) {
	compressor, err := kgo.DefaultCompressor(kgo.SnappyCompression())
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		b := builder{prefix: []byte(sourcePrefix("in", 2)), compressor: compressor}
		records := drawRecords(t)
		if len(records) < 2 {
			return
		}
		for _, r := range records {
			b.append(r, nil)
		}
		sequence := int32(math.MaxInt32 - rapid.IntRange(0, 30).Draw(t, "sequence"))
		parts, err := b.seal(9, 3, sequence).split(b)
		require.NoError(t, err)
		require.Len(t, parts, 2)
		for _, part := range parts {
			var raw kmsg.RecordBatch
			require.NoError(t, raw.ReadFrom(part.wire))
			require.Equal(t, sequence, raw.FirstSequence)
			require.EqualValues(t, 9, raw.ProducerID)
			one := builder{prefix: b.prefix, compressor: compressor}
			for _, r := range records[:part.records] {
				one.append(r, nil)
			}
			require.Equal(t, one.seal(9, 3, sequence), part)
			records = records[part.records:]
			sequence = int32((int64(sequence) + int64(part.records)) % (1 << 31))
		}
		require.Empty(t, records)
	})
}
