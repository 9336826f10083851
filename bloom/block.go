package bloom

import "encoding/binary"

// blockSlots is the size of a block. All probes of a key lie in one block, so a key costs 4 neighbouring lines of one page
// instead of 8 lines in 8 pages.
//
// Why not 128 slots, 2 lines? The fewer slots, the more the load differs from block to block, and the full ones pay: with 8 full planes at
// 16 bits a key 1.61 % false positives against 0.97 %. Beyond the caches 128 saves 5 to 17 ns a key; the 0.64 points are
// seeks in the index of 3 to 8 us, which is 19 to 51 ns a key, and far more once the index no longer fits into memory.
// Why not 512? 0.70 %, for 4 lines more: the gain is smaller than the cost. And 256 makes an index a byte: no masks, no
// bounds checks, and the 64 bits of Hash.Lo are just the 8 indices.
const blockSlots = 256

// probes a key. At 16 bits a key in blocks of 256, 8 is within 1 % of the best (9 is), and one more would need bits that Lo does
// not have. From 8 to 24 bits a key it is within a third of the best; so it is no option, and the loop is unrolled: a loop over a
// count in a variable takes 4 ns more, of 9.
//
// The 8 indices may coincide, where one probe in each eighth of the block could not. By the model that form is worse all the
// same, 1.05 %: its eighths fill unevenly.
const probes = 8

// block is 256 slots; bit p of a slot belongs to plane p.
type block [blockSlots]byte

// test returns the planes that have all slots of lo.
func (b *block) test(lo uint64) byte {
	return b[byte(lo)] & b[byte(lo>>8)] & b[byte(lo>>16)] & b[byte(lo>>24)] &
		b[byte(lo>>32)] & b[byte(lo>>40)] & b[byte(lo>>48)] & b[byte(lo>>56)]
}

// add sets the bit in all slots of lo.
func (b *block) add(lo uint64, bit byte) {
	b[byte(lo)] |= bit
	b[byte(lo>>8)] |= bit
	b[byte(lo>>16)] |= bit
	b[byte(lo>>24)] |= bit
	b[byte(lo>>32)] |= bit
	b[byte(lo>>40)] |= bit
	b[byte(lo>>48)] |= bit
	b[byte(lo>>56)] |= bit
}

// touch loads a byte of each line.
func (b *block) touch() uint64 {
	return uint64(b[0]) + uint64(b[lineBytes]) + uint64(b[2*lineBytes]) + uint64(b[3*lineBytes])
}

// everySlot times a slot's value is 8 slots with that value.
const everySlot = 0x0101010101010101

// keep leaves only the planes of mask in the block.
func (b *block) keep(mask Mask) {
	m := everySlot * uint64(mask)
	for i := 0; i <= blockSlots-8; i += 8 {
		binary.NativeEndian.PutUint64(b[i:], binary.NativeEndian.Uint64(b[i:])&m)
	}
}

// planes returns the planes that have a bit anywhere in the block.
func (b *block) planes() Mask {
	var m uint64
	for i := 0; i <= blockSlots-8; i += 8 {
		m |= binary.NativeEndian.Uint64(b[i:])
	}
	m |= m >> 32
	m |= m >> 16
	m |= m >> 8
	return Mask(m)
}
