package index

import (
	"encoding/binary"
	"math"
	"math/bits"
)

const (
	partitionLen = 4
	prefixLen    = partitionLen + 8 // partition | bucket: the unit of expiry
	keyLen       = prefixLen + 16   // prefix | hash
	maxValueLen  = 8

	// metaPartition is the partition id under which metas live. Ids of
	// partitions start at 1, so metas sort before every mark.
	metaPartition = 0
)

// appendPrefix appends the 12 bytes shared by all marks of one bucket.
func appendPrefix(dst []byte, partition uint32, bucket uint64) []byte {
	dst = binary.BigEndian.AppendUint32(dst, partition)
	return binary.BigEndian.AppendUint64(dst, bucket)
}

// putKey writes the key of a mark.
func putKey(dst *[keyLen]byte, partition uint32, bucket, hi, lo uint64) {
	binary.BigEndian.PutUint32(dst[0:], partition)
	binary.BigEndian.PutUint64(dst[4:], bucket)
	binary.BigEndian.PutUint64(dst[12:], hi)
	binary.BigEndian.PutUint64(dst[20:], lo)
}

// decodeKey is the inverse of putKey; ok is false for anything putKey does not
// write for a partition.
func decodeKey(key []byte) (partition uint32, bucket, hi, lo uint64, ok bool) {
	if len(key) != keyLen {
		return 0, 0, 0, 0, false
	}
	partition = binary.BigEndian.Uint32(key)
	return partition, binary.BigEndian.Uint64(key[4:]), binary.BigEndian.Uint64(key[12:]),
		binary.BigEndian.Uint64(key[20:]), partition != metaPartition && partition < trailBit
}

// appendMetaKey appends the stored form of a meta's key.
func appendMetaKey(dst, key []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, metaPartition)
	return append(dst, key...)
}

// appendPartitionEnd appends the smallest string above every key of partition.
func appendPartitionEnd(dst []byte, partition uint32) []byte {
	if partition < math.MaxUint32 {
		return binary.BigEndian.AppendUint32(dst, partition+1)
	}
	// No next id: one byte longer than the id and above every bucket.
	for range keyLen + 1 {
		dst = append(dst, 0xff)
	}
	return dst
}

// appendBucketEnd appends the smallest prefix above every key of the bucket.
func appendBucketEnd(dst []byte, partition uint32, bucket uint64) []byte {
	if bucket < math.MaxUint64 {
		return appendPrefix(dst, partition, bucket+1)
	}
	return appendPartitionEnd(dst, partition)
}

// appendOffset appends offset as minimal big-endian bytes: no leading zero
// byte, so 0 is the empty string. Offsets of a topic grow slowly against the
// eight bytes of an int64: 1e9 takes four, and the four saved are a sixth of
// what a key costs on disk.
func appendOffset(dst []byte, offset int64) []byte {
	n := (bits.Len64(uint64(offset)) + 7) / 8
	for i := n - 1; i >= 0; i-- {
		dst = append(dst, byte(uint64(offset)>>(8*i)))
	}
	return dst
}

// decodeOffset is the inverse of appendOffset; ok is false for anything that
// appendOffset does not write for a non-negative offset.
func decodeOffset(value []byte) (offset int64, ok bool) {
	if len(value) > maxValueLen || len(value) > 0 && value[0] == 0 {
		return 0, false
	}
	var v uint64
	for _, b := range value {
		v = v<<8 | uint64(b)
	}
	return int64(v), v <= math.MaxInt64
}
