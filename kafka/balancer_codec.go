package kafka

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"noecho/engine"
)

// What a member tells the leader of its state, as the user data of its subscription (numbers are uvarints):
//
//	version (1 byte) | n * (partition minus the one before and 1, low, to minus low)
//
// in the order of partitions. The first partition is as it is. There is no count: the data ends where it ends.
const (
	warmVersion = 1
	// maxWarmBytes bounds it. The coordinator writes the subscriptions of all members into one record, which the broker's
	// message.max.bytes bounds, 1 MB by default: with all the partitions of a large topic in each member's data, a
	// large group could not be stored, and nobody could join. 4 KiB have room for some 300 partitions.
	maxWarmBytes = 4 << 10
)

// coverage is the range [low, to) of offsets whose marks a member has. low >= 0, to > low.
type coverage struct{ low, to int64 }

// encodeWarm appends the coverage of the topic's partitions. Where there is no room for all, those that know least are left
// out: they would be missed least.
func encodeWarm(dst []byte, topic string, all []engine.Coverage) []byte {
	cs := make([]engine.Coverage, 0, len(all))
	for _, c := range all {
		if c.Topic == topic && c.Partition >= 0 && c.Low >= 0 && c.To > c.Low {
			cs = append(cs, c)
		}
	}
	slices.SortFunc(cs, func(a, b engine.Coverage) int {
		return cmp.Or(cmp.Compare(b.To-b.Low, a.To-a.Low), cmp.Compare(a.Partition, b.Partition))
	})
	// Each as it would be behind partition -1: no shorter than behind any other, so the bound holds.
	size := 1
	for i, c := range cs {
		if size += len(appendCoverage(nil, -1, c)); size > maxWarmBytes {
			cs = cs[:i]
			break
		}
	}
	slices.SortFunc(cs, func(a, b engine.Coverage) int { return cmp.Compare(a.Partition, b.Partition) })
	dst = append(dst, warmVersion)
	last := int32(-1)
	for _, c := range cs {
		dst = appendCoverage(dst, last, c)
		last = c.Partition
	}
	return dst
}

func appendCoverage(dst []byte, last int32, c engine.Coverage) []byte {
	dst = binary.AppendUvarint(dst, uint64(c.Partition-last-1))
	dst = binary.AppendUvarint(dst, uint64(c.Low))
	return binary.AppendUvarint(dst, uint64(c.To-c.Low))
}

// decodeWarm reads what a member told. It may be of another version, or of another program that took our protocol's
// name: what cannot be read, to the last byte, counts as nothing told. ok says whether it was read.
func decodeWarm(data []byte) (warm map[int32]coverage, ok bool) {
	if len(data) == 0 || len(data) > maxWarmBytes || data[0] != warmVersion {
		return nil, false
	}
	data = data[1:]
	warm = make(map[int32]coverage)
	for next := uint64(0); len(data) > 0; {
		var v [3]uint64
		for i := range v {
			n := 0
			if v[i], n = binary.Uvarint(data); n <= 0 {
				return nil, false
			}
			data = data[n:]
		}
		skip, low, width := v[0], v[1], v[2]
		if skip > math.MaxInt32 || next+skip > math.MaxInt32 || low > math.MaxInt64 || width == 0 || width > math.MaxInt64-low {
			return nil, false
		}
		warm[int32(next+skip)] = coverage{low: int64(low), to: int64(low + width)}
		next += skip + 1
	}
	return warm, true
}
