package index

import (
	"context"
	"encoding/binary"
	"iter"

	"github.com/cockroachdb/pebble/v2"
)

// The trail is a second key space: the marks of a bucket in the order of the
// log, in blocks, each under the offset of its first mark. A lookup goes by
// hash, and hashes of neighbours in the log have nothing in common; whoever
// meets a stretch of the log for the second time finds one mark by its hash, and
// the others in the trail.
//
//	key    partition id + 2^31 (4) | bucket (8) | offset of the first mark, every bit turned (8)
//	value  the caller's
//
// The block of an offset is the last one that begins at or below it. With the bits
// turned that is the first key at or above the offset's: a seek forward, which
// leaves the value where it is. A seek backward would copy it, and allocate.
//
// The highest bit of the id keeps the two apart: neither's tables ever overlap
// the other's. Blocks of a bucket come in the order of the log and are never merged
// with anything, so a compaction moves their tables and does not rewrite them.
const (
	trailBit    = 1 << 31
	trailKeyLen = prefixLen + 8
)

// Trail is a run of blocks of one bucket's trail, the last one first: they descend
// strictly by the offset.
type Trail struct {
	Partition uint32
	Bucket    uint64
	Blocks    iter.Seq2[int64, []byte] // offset of the first mark, content; read once
}

func appendTrailKey(dst []byte, partition uint32, bucket uint64, first int64) []byte {
	return binary.BigEndian.AppendUint64(appendPrefix(dst, partition|trailBit, bucket), ^uint64(first))
}

// decodeTrailKey is the inverse of appendTrailKey.
func decodeTrailKey(key []byte) (partition uint32, bucket uint64, first int64, ok bool) {
	if len(key) != trailKeyLen {
		return 0, 0, 0, false
	}
	id := binary.BigEndian.Uint32(key)
	first = int64(^binary.BigEndian.Uint64(key[prefixLen:]))
	return id &^ trailBit, binary.BigEndian.Uint64(key[partitionLen:]), first, id > trailBit && first >= 0
}

// HasTrails says whether any trail is, or may be, stored.
func (x *Index) HasTrails() bool { return x.trails.Load() }

// findTrails looks for a trail when the index is opened.
func (x *Index) findTrails() error {
	lower, upper := binary.BigEndian.AppendUint32(nil, trailBit), appendPartitionEnd(nil, 1<<32-1)
	it, err := x.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return x.wrap(err)
	}
	x.trails.Store(it.First())
	return x.wrap(it.Close())
}

// DropTrail removes the trail of a partition in the buckets [from, to) and
// leaves the marks. Errors and ctx as for Ingest.
func (x *Index) DropTrail(ctx context.Context, partition uint32, from, to uint64) error {
	if from >= to || !x.HasTrails() {
		return nil
	}
	return x.excise(ctx, partition|trailBit, pebble.KeyRange{
		Start: appendPrefix(nil, partition|trailBit, from),
		End:   appendPrefix(nil, partition|trailBit, to),
	})
}

// trail writes the tables of a run of blocks.
func (b *tableBuilder) trail(t *Trail) error {
	if t.Partition == metaPartition || t.Partition >= trailBit {
		return &InputError{What: "trail", Reason: "no partition has that id"}
	}
	b.x.trails.Store(true)
	b.bare = true // nobody asks a filter for a place in the log
	var key []byte
	last := int64(-1)
	for first, block := range t.Blocks {
		if first < 0 || last >= 0 && first >= last {
			return &InputError{What: "trail", Reason: "blocks are not in descending order"}
		}
		last = first
		if err := b.roll(); err != nil {
			return err
		}
		key = appendTrailKey(key[:0], t.Partition, t.Bucket, first)
		if err := b.add(key, block, pebble.InternalKeyKindSet); err != nil {
			return b.failed(err)
		}
	}
	return b.finish()
}

// TrailAt appends to dst the block of a bucket's trail that holds the mark of
// offset, if any does: the last one that begins at or below it. ok is false when
// there is none. It costs about as much as a Get, and the reading of the block.
func (r *Reader) TrailAt(partition uint32, bucket uint64, offset int64, dst []byte) (first int64, block []byte, ok bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	it, err := r.iterator(inStack)
	if err != nil {
		return 0, dst, false, err
	}
	r.seek = appendTrailKey(r.seek[:0], partition, bucket, offset)
	if !it.SeekGE(r.seek) {
		return 0, dst, false, r.x.wrap(it.Error())
	}
	p, b, first, ours := decodeTrailKey(it.Key())
	if !ours || p != partition || b != bucket {
		return 0, dst, false, nil
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return 0, dst, false, r.x.wrap(err)
	}
	return first, append(dst, value...), true, nil
}
