package hugepage

import (
	"runtime"
	"sync/atomic"
	"unsafe"
)

const (
	pageBytes = 2 << 20 // of a huge page on amd64, and on arm64 with pages of 4 KiB

	// minBytes: below, the second-level translation buffers (2048 entries and more) reach with small pages, too, and
	// the alignment would cost up to a page.
	minBytes = 8 << 20

	lineBytes = 64
)

// Memory owns a stretch of memory. Its bytes are there for as long as it is reachable, and not longer.
type Memory struct{ bytes []byte }

// mapped is what lies outside of the heap now, in bytes, alignment and all.
var mapped atomic.Int64

// New returns n zero bytes that start on a cache line.
func New(n int) *Memory {
	if n < minBytes {
		return &Memory{onHeap(n)}
	}
	whole, err := mmap(n + pageBytes)
	if err != nil {
		return &Memory{onHeap(n)}
	}
	at := misaligned(whole, pageBytes)
	m := &Memory{whole[at : at+n : at+n]}
	advise(m.bytes)
	mapped.Add(int64(len(whole)))
	runtime.AddCleanup(m, release, whole)
	return m
}

func release(whole []byte) {
	munmap(whole)
	mapped.Add(-int64(len(whole)))
}

// Bytes are the memory. See the package's contract for how long.
func (m *Memory) Bytes() []byte { return m.bytes }

// onHeap returns n bytes that start on a cache line. The runtime's size classes for multiples of 256
// bytes lie on cache lines as it is, which no rule promises: so we look, and take more only where we must.
func onHeap(n int) []byte {
	raw := make([]byte, n)
	if misaligned(raw, lineBytes) == 0 {
		return raw
	}
	raw = make([]byte, n+lineBytes)
	at := misaligned(raw, lineBytes)
	return raw[at : at+n : at+n]
}

// misaligned is the number of bytes to skip so that b starts at a multiple of align, a power of two.
func misaligned(b []byte, align int) int {
	return int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) % uintptr(align))
}
