package engine

import (
	"encoding/binary"
	"fmt"
)

// Keys of the index's metadata.
//
//	'l' id (4, BE)   id of the log that a partition's offsets are of, 16 bytes; only where the caller has said it
//	'n'              next partition id (4 bytes, big endian)
//	'p' id (4, BE)   state of a partition: see appendMeta
//	'd' id (4, BE)   partition is being dropped: its state is gone, its marks may not be; no value
var nextIDKey = []byte{'n'}

func partitionKey(id uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{'p'}, id)
}

func logIDKey(id uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{'l'}, id)
}

func droppedKey(id uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{'d'}, id)
}

// metaVersion is the first byte of a partition's state.
const metaVersion = 1

// appendMeta encodes the partition's state as of all frames below seq. Numbers are varints (zigzag where they may be -1):
//
//	version | len topic | partition | seq | gen | start+1 or 0 if empty | to | committed | stream time | floor
//	| n buckets | n * (number, first offset, keys)
//
// Called with mu held.
func (s *shard) appendMeta(dst []byte) []byte {
	dst = append(dst, metaVersion)
	dst = binary.AppendUvarint(dst, uint64(len(s.topic)))
	dst = append(dst, s.topic...)
	dst = binary.AppendVarint(dst, int64(s.partition))
	dst = binary.AppendUvarint(dst, s.seq)
	dst = binary.AppendUvarint(dst, s.gen)
	start := int64(0)
	if !s.empty {
		start = s.start + 1
	}
	for _, v := range [...]int64{start, s.to, s.committed, s.streamTime, s.floor} {
		dst = binary.AppendVarint(dst, v)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.buckets)))
	for i := range s.buckets {
		b := &s.buckets[i]
		dst = binary.AppendVarint(dst, b.num)
		dst = binary.AppendVarint(dst, b.first)
		dst = binary.AppendUvarint(dst, b.keys)
	}
	return dst
}

// metaReader reads varints until the first failure.
type metaReader struct {
	b   []byte
	bad bool
}

func (r *metaReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *metaReader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *metaReader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

// decodeMeta fills a shard from its encoded state and checks the invariants, because the bytes come from a disk.
func (s *shard) decodeMeta(value []byte) error {
	where := fmt.Sprintf("state of partition id %d", s.id)
	if len(value) == 0 || value[0] != metaVersion {
		return &StateError{Where: where, Reason: "unknown version"}
	}
	r := metaReader{b: value[1:]}
	s.topic = string(r.bytes(r.uvarint()))
	partition := r.varint()
	s.partition = int32(partition)
	s.seq, s.gen = r.uvarint(), r.uvarint()
	start := r.varint()
	s.empty, s.start = start == 0, max(start-1, 0)
	s.to, s.committed, s.streamTime, s.floor = r.varint(), r.varint(), r.varint(), r.varint()
	n := r.uvarint()
	if r.bad || int64(s.partition) != partition || start < 0 || n > uint64(len(r.b)) {
		return &StateError{Where: where, Reason: "truncated"}
	}
	s.buckets = make([]bucket, 0, n)
	for range n {
		s.buckets = append(s.buckets, bucket{num: r.varint(), first: r.varint(), keys: r.uvarint(), cold: true, stored: true})
	}
	if r.bad || len(r.b) != 0 {
		return &StateError{Where: where, Reason: "truncated, or bytes left over"}
	}
	if reason := s.impossible(); reason != "" {
		return &StateError{Where: where, Reason: reason}
	}
	return nil
}

// impossible says which invariant of the rule's state does not hold; "" when all do.
func (s *shard) impossible() string {
	switch {
	case s.start < 0 || s.to < s.start || (s.empty && s.to != 0):
		return fmt.Sprintf("coverage from %d to %d", s.start, s.to)
	case s.committed < -1 || s.streamTime < 0 || s.floor < 0:
		return fmt.Sprintf("committed %d, stream time %d, floor %d", s.committed, s.streamTime, s.floor)
	case !s.empty && len(s.buckets) == 0:
		return "records taken in, and no bucket"
	}
	for i := range s.buckets {
		b := &s.buckets[i]
		if b.num < 0 || b.first < 0 {
			return fmt.Sprintf("bucket %d from offset %d on", b.num, b.first)
		}
		if i > 0 && (b.num <= s.buckets[i-1].num || b.first < s.buckets[i-1].first) {
			return "buckets out of order"
		}
	}
	return ""
}
