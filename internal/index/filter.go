package index

import (
	"encoding/binary"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// runFilter is the filter of a sealed run that lies above others of its bucket.
//
// The filter in front of the index has said "maybe, in this bucket", and is
// wrong for one new key in a hundred. Without this one, each such key would read a
// block of every run that has not been merged: dozens, and ten microseconds
// each when they are cold. And deep stacks of runs are what makes merging cheap
// (see mergeDepth). Tables in L6 have none: they are asked one at a time.
//
// A blocked Bloom filter (Putze, Sanders, Singler, WEA 2007): lines of 64 bytes, a
// key sets probes bits of one. The hash is the key's own:
//
//	line  = high 32 bits of hi x lines >> 32
//	probe = the low 9 bits of p, p + q, p + 2q, ..: p the high 32 bits of lo x
//	        0x9e3779b97f4a7c15 mod 2^64, q = p >> 16 | 1
//
// (The multiplication, because the filter in front takes the bytes of lo as they
// are: what it lets through by mistake must not look alike here.)
//
// 8 bits a key and 5 probes let 3 of 100 keys through that are not there.
type runFilter struct{}

const (
	runFilterName   = "noecho.run.1"
	filterLine      = 64 // bytes
	filterBits      = 8  // bits a key
	filterProbes    = 5
	keysPerLine     = filterLine * 8 / filterBits
	filterKeysGuess = 1 << 16
)

var _ pebble.FilterPolicy = runFilter{}

// Name is in the properties of each table that has the filter.
func (runFilter) Name() string { return runFilterName }

// NewWriter returns a writer for one table.
func (runFilter) NewWriter(pebble.FilterType) pebble.FilterWriter {
	return filterWriters.Get().(*filterWriter)
}

// MayContain is false only when key was not added.
func (runFilter) MayContain(_ pebble.FilterType, filter, key []byte) bool {
	lines := len(filter) / filterLine
	if lines == 0 {
		return true
	}
	h := filterHash(key)
	line := filter[h.line(lines):]
	at, step := h.probes()
	for range filterProbes {
		if line[at>>3&63]&(1<<(at&7)) == 0 {
			return false
		}
		at += step
	}
	return true
}

// filterHash64 is what the filter knows of a key: 32 bits for the line, and 32
// for the bits in it.
type filterHash64 uint64

func filterHash(key []byte) filterHash64 {
	if len(key) == keyLen {
		hi, lo := binary.BigEndian.Uint64(key[prefixLen:]), binary.BigEndian.Uint64(key[prefixLen+8:])
		return filterHash64(hi>>32<<32 | lo*0x9e3779b97f4a7c15>>32)
	}
	h := uint64(0xcbf29ce484222325) // FNV-1a; not for speed: nobody asks the filter for these
	for _, b := range key {
		h = (h ^ uint64(b)) * 0x100000001b3
	}
	return filterHash64(h)
}

// line is the offset of the key's line.
func (h filterHash64) line(lines int) int {
	return int(uint64(h)>>32*uint64(lines)>>32) * filterLine
}

func (h filterHash64) probes() (at, step uint32) {
	return uint32(h), uint32(h)>>16 | 1
}

// filterWriter gathers the hashes of a table; how many lines there are is known
// only at its end.
type filterWriter struct{ hashes []filterHash64 }

// Writers hold 8 MB for a run of a million keys: they are used again.
var filterWriters = sync.Pool{New: func() any {
	return &filterWriter{hashes: make([]filterHash64, 0, filterKeysGuess)}
}}

// AddKey takes note of a key.
func (w *filterWriter) AddKey(key []byte) { w.hashes = append(w.hashes, filterHash(key)) }

// Finish appends the filter of the keys added. Pebble calls it once, and drops
// the writer.
func (w *filterWriter) Finish(dst []byte) []byte {
	lines := (len(w.hashes) + keysPerLine - 1) / keysPerLine
	from := len(dst)
	dst = append(dst, make([]byte, lines*filterLine)...)
	filter := dst[from:]
	// Keys ascend, and so do their lines: this goes through memory once.
	for _, h := range w.hashes {
		line := filter[h.line(lines):][:filterLine]
		at, step := h.probes()
		for range filterProbes {
			line[at>>3&63] |= 1 << (at & 7)
			at += step
		}
	}
	w.hashes = w.hashes[:0]
	filterWriters.Put(w)
	return dst
}
