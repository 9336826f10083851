package bloom

import (
	"unsafe"

	"noecho/internal/hugepage"
)

// lineBytes is the cache line a block must start on: otherwise its 4 lines are 5.
const lineBytes = 64

// newBlocks returns n zero blocks that start on a cache line, in huge pages when they are many. They are there for as long as
// mem is reachable.
func newBlocks(n int) (bs []block, mem *hugepage.Memory) {
	mem = hugepage.New(n * blockSlots)
	return unsafe.Slice((*block)(unsafe.Pointer(unsafe.SliceData(mem.Bytes()))), n), mem
}

// newSlims returns n zero blocks of one plane, two to a line, like newBlocks.
func newSlims(n int) (bs []slim, mem *hugepage.Memory) {
	mem = hugepage.New(n * len(slim{}))
	return unsafe.Slice((*slim)(unsafe.Pointer(unsafe.SliceData(mem.Bytes()))), n), mem
}

// slimBytes shows blocks as bytes; same memory, same life.
func slimBytes(bs []slim) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(bs))), len(bs)*len(slim{}))
}

// blockBytes shows blocks as bytes; same memory, same life.
func blockBytes(bs []block) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(bs))), len(bs)*blockSlots)
}
