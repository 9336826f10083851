package bloom

import (
	"unsafe"

	"noecho/internal/hugepage"
)

// lineBytes is the cache line a block must start on: otherwise its 4 lines are 5.
const lineBytes = 64

// newBlocks returns n zero blocks that start on a cache line, in huge pages when they are many.
func newBlocks(n int) []block {
	raw := hugepage.Bytes(n * blockSlots)
	return unsafe.Slice((*block)(unsafe.Pointer(unsafe.SliceData(raw))), n)
}

// blockBytes shows blocks as bytes; same memory, same life.
func blockBytes(bs []block) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(bs))), len(bs)*blockSlots)
}
