//go:build !race

package kafka

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestKeyAllocs(t *testing.T) {
	r := &kgo.Record{Key: []byte("key"), Value: []byte(`{"id":"value"}`), Headers: []kgo.RecordHeader{{Key: "id", Value: []byte("1")}}}
	dst := make([]byte, 0, 1024)
	for _, spec := range []string{"payload", "key", "value", "header:id", "payload+key+header:id"} {
		k := key(t, spec)
		require.Zero(t, testing.AllocsPerRun(100, func() { dst, _ = k.Append(dst[:0], r) }), spec)
	}
}

// TestBatchAllocs: encoding records allocates nothing once the buffers are there; sealing neither.
func TestBatchAllocs(t *testing.T) {
	compressor, err := kgo.DefaultCompressor(kgo.SnappyCompression())
	require.NoError(t, err)
	b := builder{prefix: []byte(sourcePrefix("orders", 0)), compressor: compressor}
	r := &kgo.Record{Key: []byte("key"), Value: make([]byte, 100), Timestamp: time.UnixMilli(1), Headers: []kgo.RecordHeader{{Key: "id", Value: []byte("1")}}}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for range 100 {
			b.append(r)
		}
		b.freelist = append(b.freelist, b.seal(1, 0, 0))
	}))
}
