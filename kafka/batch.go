package kafka

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/bits"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The record batch of Kafka's message format v2 (https://kafka.apache.org/documentation/#recordbatch):
//
//	 0 base offset 8 | length 4 | leader epoch 4 | magic 1 | crc 4 |
//	21 attributes 2 | last offset delta 4 | first timestamp 8 | max timestamp 8 |
//	43 producer id 8 | epoch 2 | first sequence 4 | records 4 |
//	61 records, compressed together
//
// The CRC-32C covers everything from the attributes on.
const (
	batchHeader = 61
	batchCRCAt  = 21

	batchSequenceAt  = 53
	transactionalBit = 1 << 4 // of the attributes
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// batch is a sealed record batch on its way to the output. Its owner is the worker until it is handed to the producer,
// then the producer until the acknowledgement, then the worker again, which reuses wire.
type batch struct {
	wire        []byte
	records     int
	first, last int64 // source offsets
	out         int64 // of a batch of duplicates: see hold
}

// builder encodes records into the next batch of one output partition. One goroutine owns it.
//
// It encodes the wire format itself, straight from the fetched record's memory: a kgo.Record a message would cost an
// allocation, a header slice, and the client's per-record bookkeeping, which is most of what a relay does.
type builder struct {
	prefix     []byte // of the source header's value: "topic/partition/"
	compressor kgo.Compressor
	// transactional marks the batches as parts of a transaction; immutable.
	transactional bool

	raw      []byte // encoded records, not compressed
	tail     []byte // the source header up to its digits, for tailFor of them
	tailFor  int
	records  int
	first    int64 // source offsets
	last     int64
	firstTS  int64
	maxTS    int64
	scratch  bytes.Buffer // of the compressor
	digits   [20]byte
	freelist []*batch
}

// empty says whether nothing is waiting to be sealed.
func (b *builder) empty() bool { return b.records == 0 }

// full says whether a record of that encoded size would take the open batch, before compression, over limit.
func (b *builder) full(size, limit int) bool {
	return b.records > 0 && batchHeader+len(b.raw)+size > limit
}

// sizeBound returns an upper bound of what append adds for r and e, in bytes.
func (b *builder) sizeBound(r *kgo.Record, e *evidence) int {
	const varint = binary.MaxVarintLen32
	n := 2*varint + 1 + binary.MaxVarintLen64 + 3*varint + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += 2*varint + len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	if e != nil {
		n += len(e.raw)
	}
	return n + 2*varint + len(sourceHeader) + len(b.prefix) + len(b.digits)
}

// append adds r: key, value, headers and timestamp as they are, then the evidence if there is any, and the source header last.
func (b *builder) append(r *kgo.Record, e *evidence) {
	ts := timestamp(r)
	if b.records == 0 {
		b.first, b.firstTS, b.maxTS = r.Offset, ts, ts
	}
	b.maxTS = max(b.maxTS, ts)
	b.last = r.Offset
	source := strconv.AppendInt(b.digits[:0], r.Offset, 10)
	if len(source) != b.tailFor {
		b.makeTail(len(source))
	}

	size := 1 + varintLen(ts-b.firstTS) + varintLen(int64(b.records)) + bytesLen(r.Key) + bytesLen(r.Value)
	headers := len(r.Headers) + 1
	if e != nil {
		headers += e.headers
		size += len(e.raw)
	}
	size += varintLen(int64(headers))
	for i := range r.Headers {
		key := len(r.Headers[i].Key)
		size += varintLen(int64(key)) + key + bytesLen(r.Headers[i].Value)
	}
	size += len(b.tail) + len(source)

	raw := appendVarint(b.raw, int64(size))
	raw = append(raw, 0) // attributes: none are defined
	raw = appendVarint(raw, ts-b.firstTS)
	raw = appendVarint(raw, int64(b.records))
	raw = appendBytes(raw, r.Key)
	raw = appendBytes(raw, r.Value)
	raw = appendVarint(raw, int64(headers))
	for i := range r.Headers {
		h := &r.Headers[i]
		raw = appendVarint(raw, int64(len(h.Key)))
		raw = append(raw, h.Key...)
		raw = appendBytes(raw, h.Value)
	}
	if e != nil {
		raw = append(raw, e.raw...)
	}
	raw = append(raw, b.tail...)
	b.raw = append(raw, source...)
	b.records++
}

// makeTail encodes what all records with as many digits in their offset end with, but for the digits.
func (b *builder) makeTail(digits int) {
	tail := appendVarint(b.tail[:0], int64(len(sourceHeader)))
	tail = append(tail, sourceHeader...)
	tail = appendVarint(tail, int64(len(b.prefix)+digits))
	b.tail, b.tailFor = append(tail, b.prefix...), digits
}

// seal closes the open batch, numbered for the idempotent producer, and empties the builder. The batch is compressed
// where that makes it smaller.
func (b *builder) seal(producerID int64, epoch int16, sequence int32) *batch {
	sealed := b.recycled()
	sealed.records, sealed.first, sealed.last = b.records, b.first, b.last

	payload, codec := b.raw, kgo.CodecNone
	if b.compressor != nil {
		b.scratch.Reset()
		packed, used := b.compressor.Compress(&b.scratch, b.raw)
		if packed != nil && len(packed) < len(b.raw) {
			payload, codec = packed, used
		}
	}
	be := binary.BigEndian
	wire := sealed.wire[:0]
	wire = be.AppendUint64(wire, 0) // base offset: the broker's to say
	wire = be.AppendUint32(wire, uint32(batchHeader-12+len(payload)))
	wire = be.AppendUint32(wire, 0xffffffff) // leader epoch: the broker's to say
	wire = append(wire, 2)                   // magic
	wire = be.AppendUint32(wire, 0)          // CRC, below
	attributes := uint16(codec)
	if b.transactional {
		attributes |= transactionalBit
	}
	wire = be.AppendUint16(wire, attributes)
	wire = be.AppendUint32(wire, uint32(b.records-1))
	wire = be.AppendUint64(wire, uint64(b.firstTS))
	wire = be.AppendUint64(wire, uint64(b.maxTS))
	wire = be.AppendUint64(wire, uint64(producerID))
	wire = be.AppendUint16(wire, uint16(epoch))
	wire = be.AppendUint32(wire, uint32(sequence))
	wire = be.AppendUint32(wire, uint32(b.records))
	wire = append(wire, payload...)
	be.PutUint32(wire[batchCRCAt-4:], crc32.Checksum(wire[batchCRCAt:], castagnoli))
	sealed.wire = wire

	b.raw, b.records = b.raw[:0], 0
	return sealed
}

func (b *builder) recycled() *batch {
	if n := len(b.freelist); n > 0 {
		reused := b.freelist[n-1]
		b.freelist = b.freelist[:n-1]
		return reused
	}
	return &batch{}
}

// timestamp returns the record's, in milliseconds; -1 where it has none (formats before v1, and what a clock cannot mean).
func timestamp(r *kgo.Record) int64 { return max(r.Timestamp.UnixMilli(), -1) }

func bytesLen(p []byte) int {
	if p == nil {
		return 1 // -1 as a varint
	}
	return varintLen(int64(len(p))) + len(p)
}

func appendBytes(dst, p []byte) []byte {
	if p == nil {
		return appendVarint(dst, -1)
	}
	dst = appendVarint(dst, int64(len(p)))
	return append(dst, p...)
}

// appendVarint is binary.AppendVarint with the usual case inlined: one byte or two.
func appendVarint(dst []byte, v int64) []byte {
	switch u := uint64(v)<<1 ^ uint64(v>>63); {
	case u < 1<<7:
		return append(dst, byte(u))
	case u < 1<<14:
		return append(dst, byte(u)|0x80, byte(u>>7))
	}
	return binary.AppendVarint(dst, v)
}

// varintLen returns how many bytes the zigzag varint of v takes: one for every 7 bits.
func varintLen(v int64) int {
	return (bits.Len64((uint64(v)<<1^uint64(v>>63))|1) + 6) / 7
}
