package kafka

import (
	"bytes"
	"encoding/binary"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// recordPool gives the client the memory of records that the workers are done with: the naive way, fresh memory for every
// fetched batch, is 400 bytes a record to be zeroed, touched for the first time, and looked through by the collector,
// a tenth of what a relay does. It implements kgo.PoolRecords and kgo.PoolDecompressBytes. A batch comes back when the last of its
// records is recycled; one of which a record is never recycled (dropped with a queue, or by the client) is the collector's.
//
// It hands out only what fits: a queue counts the bytes of its records, not of what they lie in, so a large buffer must not
// stand behind a small batch. Safe for concurrent use.
type recordPool struct {
	mu      sync.Mutex
	records shelf[kgo.Record] // protected by mu
	buffers shelf[byte]       // protected by mu
}

const (
	shelfRecords = 128 << 10 // kept: 26 MB
	shelfBuffers = 32 << 20
	smallBuffer  = 16 << 10 // smaller ones are not worth keeping
	smallRecords = 64
)

// newRecordPool returns an empty pool.
func newRecordPool() *recordPool {
	return &recordPool{records: shelf[kgo.Record]{most: shelfRecords}, buffers: shelf[byte]{most: shelfBuffers}}
}

// GetRecords implements kgo.PoolRecords. It always returns a slice with capacity n: the client would make one by doubling what
// it was given.
func (p *recordPool) GetRecords(n int) []kgo.Record {
	if n >= smallRecords {
		p.mu.Lock()
		s := p.records.get(n, 2*n)
		p.mu.Unlock()
		if s != nil {
			return s
		}
	}
	return make([]kgo.Record, 0, n)
}

// PutRecords implements kgo.PoolRecords.
func (p *recordPool) PutRecords(s []kgo.Record) {
	if cap(s) >= smallRecords {
		p.mu.Lock()
		p.records.put(s)
		p.mu.Unlock()
	}
}

// GetDecompressBytes implements kgo.PoolDecompressBytes. Only snappy says beforehand how large the batch will be; for the
// others, and for snappy in the framing of Java's producer, the guess is wide.
func (p *recordPool) GetDecompressBytes(compressed []byte, codec kgo.CompressionCodecType) (s []byte) {
	least, most := len(compressed), 8*len(compressed)
	if codec == kgo.CodecSnappy && !bytes.HasPrefix(compressed, xerial) {
		// A false claim finds nothing on the shelf; the client refuses it.
		if n, used := binary.Uvarint(compressed); used > 0 && n <= shelfBuffers {
			least, most = int(n), 2*int(n)
		}
	}
	if least >= smallBuffer {
		p.mu.Lock()
		s = p.buffers.get(least, most)
		p.mu.Unlock()
	}
	if s == nil && (codec == kgo.CodecGzip || codec == kgo.CodecLz4) {
		s = make([]byte, 0, 4*len(compressed)) // these two would grow it from nothing, step by step; the others know better
	}
	return s
}

// xerial starts the framing that Java's producer puts around snappy.
var xerial = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

// PutDecompressBytes implements kgo.PoolDecompressBytes.
func (p *recordPool) PutDecompressBytes(s []byte) {
	if cap(s) >= smallBuffer {
		p.mu.Lock()
		p.buffers.put(s)
		p.mu.Unlock()
	}
}

// shelf keeps slices for reuse, the last one in front: it is most likely in the processor's cache.
type shelf[T any] struct {
	slices [][]T
	held   int // sum of the capacities; at most most
	most   int // immutable
}

// looked is how many slices a get looks at.
const looked = 16

// get takes a slice with a capacity of least to most; nil: none at hand.
func (s *shelf[T]) get(least, most int) []T {
	for i := len(s.slices) - 1; i >= max(0, len(s.slices)-looked); i-- {
		if n := cap(s.slices[i]); least <= n && n <= most {
			found := s.slices[i]
			last := len(s.slices) - 1
			copy(s.slices[i:], s.slices[i+1:])
			s.slices[last] = nil
			s.slices = s.slices[:last]
			s.held -= n
			return found[:0]
		}
	}
	return nil
}

// put keeps a slice, and lets the oldest go where that is more than may be held.
func (s *shelf[T]) put(slice []T) {
	if cap(slice) > s.most {
		return
	}
	s.slices = append(s.slices, slice)
	s.held += cap(slice)
	gone := 0
	for ; s.held > s.most; gone++ {
		s.held -= cap(s.slices[gone])
	}
	if gone > 0 {
		n := copy(s.slices, s.slices[gone:])
		clear(s.slices[n:])
		s.slices = s.slices[:n]
	}
}
