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
// 10 bits a key and 6 probes let 12 of 1000 keys through that are not there. Why not fewer: of a stack of 40 runs a lookup would read more
// than one block, which costs as much as asking all the filters. Why not more: those of the deepest stack must fit into the cache.
type runFilter struct {
	name   string
	bits   int // a key
	probes int
}

// The filter that is written, and what tables of older stores have.
var (
	newRunFilter = runFilter{"noecho.run.2", 10, 6}
	oldRunFilter = runFilter{"noecho.run.1", 8, 5}
)

const (
	filterLine      = 64 // bytes
	filterKeysGuess = 1 << 16
)

var _ pebble.FilterPolicy = runFilter{}

// Name is in the properties of each table that has the filter.
func (f runFilter) Name() string { return f.name }

// NewWriter returns a writer for one table.
func (f runFilter) NewWriter(pebble.FilterType) pebble.FilterWriter {
	w := filterWriters.Get().(*filterWriter)
	w.filter = f
	return w
}

// MayContain is false only when key was not added.
func (f runFilter) MayContain(_ pebble.FilterType, filter, key []byte) bool {
	lines := len(filter) / filterLine
	if lines == 0 {
		return true
	}
	h := filterHash(key)
	line := filter[h.line(lines):]
	at, step := h.probes()
	for range f.probes {
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
type filterWriter struct {
	filter runFilter
	hashes []filterHash64
}

// Writers hold 8 MB for a run of a million keys: they are used again.
var filterWriters = sync.Pool{New: func() any {
	return &filterWriter{hashes: make([]filterHash64, 0, filterKeysGuess)}
}}

// AddKey takes note of a key.
func (w *filterWriter) AddKey(key []byte) { w.hashes = append(w.hashes, filterHash(key)) }

// Finish appends the filter of the keys added. Pebble calls it once, and drops
// the writer.
func (w *filterWriter) Finish(dst []byte) []byte {
	keys := filterLine * 8 / w.filter.bits // of a line
	lines := (len(w.hashes) + keys - 1) / keys
	from := len(dst)
	dst = append(dst, make([]byte, lines*filterLine)...)
	filter := dst[from:]
	// Keys ascend, and so do their lines: this goes through memory once.
	for _, h := range w.hashes {
		line := filter[h.line(lines):][:filterLine]
		at, step := h.probes()
		for range w.filter.probes {
			line[at>>3&63] |= 1 << (at & 7)
			at += step
		}
	}
	w.hashes = w.hashes[:0]
	filterWriters.Put(w)
	return dst
}
