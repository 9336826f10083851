package hugepage

import "unsafe"

const (
	pageBytes = 2 << 20 // of a huge page on amd64, and on arm64 with pages of 4 KiB

	// minBytes: below, the second-level translation buffers (2048 entries and more) reach with small pages, too, and
	// the alignment would cost up to a page.
	minBytes = 8 << 20

	lineBytes = 64
)

// Bytes returns n zero bytes that start on a cache line.
func Bytes(n int) []byte {
	if n < minBytes {
		return aligned(n, lineBytes)
	}
	b := aligned(n, pageBytes)
	advise(b)
	return b
}

// aligned returns n bytes that start at a multiple of align, a power of two. The runtime's size classes for multiples of 256
// bytes lie on cache lines as it is, which no rule promises: so we look, and take more only where we must.
func aligned(n, align int) []byte {
	raw := make([]byte, n)
	if misaligned(raw, align) == 0 {
		return raw
	}
	raw = make([]byte, n+align)
	at := misaligned(raw, align)
	return raw[at : at+n : at+n]
}

// misaligned is the number of bytes to skip so that b starts at a multiple of align.
func misaligned(b []byte, align int) int {
	return int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) % uintptr(align))
}
