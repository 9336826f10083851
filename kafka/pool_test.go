package kafka

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestPoolFits: a small batch does not get a large buffer, which it would keep for as long as its records wait.
func TestPoolFits(t *testing.T) {
	p := newRecordPool()
	p.PutRecords(make([]kgo.Record, 1000))
	require.Equal(t, 400, cap(p.GetRecords(400)), "less than half")
	require.Equal(t, 1001, cap(p.GetRecords(1001)), "too small: made, and not by doubling")
	require.Equal(t, 1000, cap(p.GetRecords(500)))
	require.Equal(t, 500, cap(p.GetRecords(500)), "gone")
	require.Equal(t, 3, cap(p.GetRecords(3)))

	snappy := func(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }
	p.PutDecompressBytes(make([]byte, 100<<10))
	require.Nil(t, p.GetDecompressBytes(snappy(40<<10), kgo.CodecSnappy), "less than half")
	require.Nil(t, p.GetDecompressBytes(snappy(101<<10), kgo.CodecSnappy))
	require.Nil(t, p.GetDecompressBytes(snappy(1<<31), kgo.CodecSnappy), "a false claim")
	require.Nil(t, p.GetDecompressBytes(nil, kgo.CodecSnappy))
	require.Nil(t, p.GetDecompressBytes(make([]byte, 12<<10), kgo.CodecZstd), "small")
	require.Equal(t, 100<<10, cap(p.GetDecompressBytes(snappy(60<<10), kgo.CodecSnappy)))
	p.PutDecompressBytes(make([]byte, 100<<10))
	require.Equal(t, 100<<10, cap(p.GetDecompressBytes(append(bytes.Clone(xerial), make([]byte, 20<<10)...), kgo.CodecSnappy)))
	p.PutDecompressBytes(make([]byte, 100<<10))
	require.Equal(t, 100<<10, cap(p.GetDecompressBytes(make([]byte, 30<<10), kgo.CodecZstd)))
	for _, codec := range []kgo.CompressionCodecType{kgo.CodecGzip, kgo.CodecLz4} {
		require.Equal(t, 80<<10, cap(p.GetDecompressBytes(make([]byte, 20<<10), codec)), "made: these two cannot guess")
	}
}

// TestPoolIsBounded: the oldest goes, and what could never stay is not taken.
func TestPoolIsBounded(t *testing.T) {
	s := shelf[byte]{most: 100}
	for _, n := range []int{10, 20, 30, 40} {
		s.put(make([]byte, n))
	}
	s.put(make([]byte, 101))
	require.Equal(t, 100, s.held)
	s.put(make([]byte, 25))
	require.Equal(t, 95, s.held)
	require.Len(t, s.slices, 3)
	for _, n := range []int{25, 40, 30} {
		require.Len(t, s.get(n, n)[:n], n)
	}
	require.Zero(t, s.held)
	require.Empty(t, s.slices)
	require.Nil(t, s.get(1, 100))
}

// TestRelayRecycles: memory goes round while records wait in queues, batches are built and others decoded; with every codec
// what comes out is what went in. (The client zeroes what is recycled: too early would show.)
func TestRelayRecycles(t *testing.T) {
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "snappy": kgo.SnappyCompression(), "gzip": kgo.GzipCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 2)
			cl, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codec),
				kgo.ProducerLinger(20*time.Millisecond))
			require.NoError(t, err)
			defer cl.Close()
			l := w.start(nil, nil)
			noise := rand.NewChaCha8([32]byte{1})
			for round := range 6 {
				var records []*kgo.Record
				for i := range 1000 {
					value := make([]byte, 50)
					_, _ = noise.Read(value)
					records = append(records, rec(int32(i%2), fmt.Sprintf("k%d", round*900+i), fmt.Sprintf("%x %[1]x", value)))
				}
				w.feedWith(cl, records...)
				l.settle()
			}
			l.stop()
			require.Positive(t, l.relay.pool.records.held)
			require.Equal(t, name != "none", l.relay.pool.buffers.held > 0)
			w.requireClean()
		})
	}
}
