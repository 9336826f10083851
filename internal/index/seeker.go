package index

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unsafe"

	"github.com/cockroachdb/pebble/v2/sstable/colblk"
)

// keySeeker finds keys in a block of keySchema. It lives in memory that Pebble
// allots with each cached block, outside the collector's sight: it points to
// nothing but that block. Immutable once made, shared by all iterators.
type keySeeker struct {
	rows   int
	packed bool // else the keys are in raw, and the fields between are zero
	width  uint8
	prefix [prefixLen]byte
	base   uint64
	last   uint64 // hi - base of the last row
	mask   uint64 // the low width bytes
	// perHash x (hi - base) is about the row: hashes are uniform.
	perHash float64
	data    []byte // rows x width bytes: hi - base; rows x 8 bytes: lo
	raw     colblk.RawBytes
}

var _ colblk.KeySeeker = (*keySeeker)(nil)

// It must fit into what Pebble allots.
var _ uint = colblk.KeySeekerMetadataSize - uint(unsafe.Sizeof(keySeeker{}))

func keySeekerOf(m *colblk.KeySeekerMetadata) colblk.KeySeeker {
	return (*keySeeker)(unsafe.Pointer(m))
}

// initKeySeeker makes the seeker of a block that comes into the cache. Its
// panics are errors of corruption to the reader; every index into the block
// that the methods use is within the slices checked here.
func initKeySeeker(m *colblk.KeySeekerMetadata, d *colblk.DataBlockDecoder) {
	b := d.BlockDecoder()
	s := (*keySeeker)(unsafe.Pointer(m))
	*s = colblk.DecodeColumn(b, colPacked, b.Rows(), packedType, decodePacked)
	if !s.packed {
		s.raw = b.RawBytes(colRaw)
	}
}

// decodePacked is the inverse of keyWriter.Finish for column 0.
func decodePacked(buf []byte, offset uint32, rows int) (keySeeker, uint32) {
	s := keySeeker{rows: rows}
	if rows == 0 {
		return s, offset
	}
	s.width = buf[offset]
	if s.width == packedNone {
		return s, offset + 1
	}
	if s.width > 8 {
		panic(fmt.Sprintf("a hash of %d bytes in the keys of a block", s.width))
	}
	end := offset + packedHead + uint32(rows*(int(s.width)+8))
	s.packed = true
	s.prefix = [prefixLen]byte(buf[offset+1:])
	s.base = binary.LittleEndian.Uint64(buf[offset+1+prefixLen:])
	s.mask = uint64(1)<<(8*s.width) - 1 // a shift by 64 gives 0: all ones
	s.data = buf[offset+packedHead : end : end]
	s.last = s.hi(rows - 1)
	if s.last > 0 {
		s.perHash = float64(rows-1) / float64(s.last)
	}
	return s, end
}

// hi is the hash's hi of a row, less the base. Reads eight bytes whatever the width:
// the lows lie behind.
func (s *keySeeker) hi(row int) uint64 {
	return binary.LittleEndian.Uint64(s.data[row*int(s.width):]) & s.mask
}

func (s *keySeeker) lo(row int) uint64 {
	return binary.LittleEndian.Uint64(s.data[s.rows*int(s.width)+row*8:])
}

// below says whether a row's hash is below (hi, lo), hi less the base.
func (s *keySeeker) below(row int, hi, lo uint64) bool {
	h := s.hi(row)
	return h < hi || h == hi && s.lo(row) < lo
}

// IsLowerBound says whether no key of the block is below key. Synthetic suffixes
// need a comparer that splits keys; ours doesn't.
func (s *keySeeker) IsLowerBound(key, _ []byte) bool {
	row, _ := s.SeekGE(key, 0, 0)
	return row == 0
}

// SeekGE returns the first row at or above key, and whether it is key.
func (s *keySeeker) SeekGE(key []byte, _ int, _ int8) (row int, equal bool) {
	if !s.packed {
		return s.seekRaw(key)
	}
	if len(key) != keyLen || [prefixLen]byte(key) != s.prefix {
		return s.seekOther(key)
	}
	hi, lo := binary.BigEndian.Uint64(key[prefixLen:]), binary.BigEndian.Uint64(key[prefixLen+8:])
	row = s.search(hi, lo)
	return row, row < s.rows && s.hi(row) == hi-s.base && s.lo(row) == lo
}

// search returns the first row whose hash is at or above (hi, lo). It guesses
// the row, which is wrong by a few (the root of the number of rows), doubles its
// steps until it has the place between two rows, and halves from there: for
// hashes that are not uniform it takes twice the steps of a binary search.
func (s *keySeeker) search(hi, lo uint64) int {
	if hi < s.base {
		return 0
	}
	hi -= s.base
	if hi > s.last {
		return s.rows
	}
	// Rows below l are below, the row u is not (or there is none).
	l, u := 0, s.rows
	at := min(int(float64(hi)*s.perHash), s.rows-1)
	if s.below(at, hi, lo) {
		l = at + 1
		for step := 1; l+step < u; step *= 2 {
			if !s.below(l+step, hi, lo) {
				u = l + step
				break
			}
			l += step + 1
		}
	} else {
		u = at
		for step := 1; u-step >= 0; step *= 2 {
			if s.below(u-step, hi, lo) {
				l = u - step + 1
				break
			}
			u -= step
		}
	}
	for l < u {
		m := int(uint(l+u) >> 1)
		if s.below(m, hi, lo) {
			l = m + 1
		} else {
			u = m
		}
	}
	return l
}

// seekOther seeks a key that is no mark of the block's bucket: a bound, or a
// mark of another.
func (s *keySeeker) seekOther(key []byte) (row int, equal bool) {
	n := min(len(key), prefixLen)
	switch bytes.Compare(key[:n], s.prefix[:n]) {
	case -1:
		return 0, false
	case 1:
		return s.rows, false
	}
	// It shares the prefix, as far as it goes. A shorter key sorts like one that
	// is filled up with zeros (and differs from it), a longer one just above its
	// first 28 bytes.
	var full [keyLen]byte
	copy(full[:], key)
	if n < prefixLen {
		return 0, false
	}
	hi, lo := binary.BigEndian.Uint64(full[prefixLen:]), binary.BigEndian.Uint64(full[prefixLen+8:])
	row = s.search(hi, lo)
	if len(key) > keyLen {
		for row < s.rows && s.base+s.hi(row) == hi && s.lo(row) == lo {
			row++
		}
	}
	return row, false
}

func (s *keySeeker) seekRaw(key []byte) (row int, equal bool) {
	l, u := 0, s.rows
	for l < u {
		m := int(uint(l+u) >> 1)
		if bytes.Compare(s.raw.At(m), key) < 0 {
			l = m + 1
		} else {
			u = m
		}
	}
	return l, l < s.rows && bytes.Equal(s.raw.At(l), key)
}

// MaterializeUserKey writes the key of a row into the iterator's buffer, which
// holds the longest key of the block. Synthetic prefixes are for tables that
// stores share; we have none.
func (s *keySeeker) MaterializeUserKey(it *colblk.PrefixBytesIter, prevRow, row int) []byte {
	if !s.packed {
		key := s.raw.At(row)
		return it.Buf[:copy(it.Buf[:len(key)], key)]
	}
	buf := it.Buf[:keyLen]
	if prevRow < 0 {
		copy(buf, s.prefix[:])
	}
	binary.BigEndian.PutUint64(buf[prefixLen:], s.base+s.hi(row))
	binary.BigEndian.PutUint64(buf[prefixLen+8:], s.lo(row))
	return buf
}

// MaterializeUserKeyWithSyntheticSuffix is MaterializeUserKey and suffix.
func (s *keySeeker) MaterializeUserKeyWithSyntheticSuffix(
	it *colblk.PrefixBytesIter, suffix []byte, prevRow, row int,
) []byte {
	key := s.MaterializeUserKey(it, prevRow, row)
	n := len(key)
	key = key[:n+len(suffix)]
	copy(key[n:], suffix)
	return key
}
