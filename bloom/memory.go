package bloom

import "unsafe"

// lineBytes is the cache line a block must start on: otherwise its 4 lines are 5.
const lineBytes = 64

// newBlocks returns n zero blocks that start on a cache line. The runtime's size classes for multiples of 256 bytes
// are aligned as it is, which no rule promises: so we look, and take a line more only when we must. Always taking one would
// move the smallest layer from a class of 4096 bytes into one of 4864.
func newBlocks(n int) []block {
	raw := make([]byte, n*blockSlots)
	if misaligned(raw) != 0 {
		raw = make([]byte, n*blockSlots+lineBytes)
	}
	return blocksIn(raw, n)
}

// blocksIn returns the first n blocks of raw that start on a cache line. They point into raw and so keep it; the
// collector does not move it.
func blocksIn(raw []byte, n int) []block {
	raw = raw[misaligned(raw):]
	return unsafe.Slice((*block)(unsafe.Pointer(&raw[: n*blockSlots : len(raw)][0])), n)
}

// misaligned is the number of bytes to skip so that raw starts on a cache line.
func misaligned(raw []byte) int {
	return int(-uintptr(unsafe.Pointer(unsafe.SliceData(raw))) % lineBytes)
}

// blockBytes shows blocks as bytes; same memory, same life.
func blockBytes(bs []block) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(bs))), len(bs)*blockSlots)
}
