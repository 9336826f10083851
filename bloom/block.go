package bloom

import "encoding/binary"

// blockSlots is the size of a block. All probes of a key lie in one block, so a key costs 4 neighbouring lines of one page
// instead of 8 lines in 8 pages.
//
// Why not 128 slots, 2 lines? The fewer slots, the more the load differs from block to block, and the full ones pay: with 8 full planes at
// 16 bits a key 1.61 % false positives against 0.97 %. Beyond the caches 128 saves 5 to 17 ns a key; the 0.64 points are
// seeks in the index of 3 to 8 us, which is 19 to 51 ns a key, and far more once the index no longer fits into memory.
// Why not 512? 0.70 %, for 4 lines more: the gain is smaller than the cost. And 256 makes an index a byte: no masks, no
// bounds checks.
const blockSlots = 256

// probes a key. At 16 bits a key in blocks of 256, 8 is within 1 % of the best (9 is). From 8 to 24 bits a key it is within a third of the best; so it is no option, and the loop is unrolled: a loop over a
// count in a variable takes 4 ns more, of 9.
//
// The indices may coincide, where one probe in each eighth of the block could not. By the model that form is worse, 1.05 %: its eighths
// fill unevenly.
const probes = 8

// nearSlots is the half of a block, two neighbouring lines, that takes the first 4 probes of a key; the other 4 are in the far half. A key
// that is in no plane mostly shows it in the near half: with 7 full planes at 16 bits a key 18 % go on, at 20 bits 10 %. So a
// lookup touches 2 lines and not 4, and the far lines of those that go on are loaded for all of them at once
// (TestAll). The price is in the rate, 0.98 % where 8 free probes have 0.97 %.
const nearSlots = blockSlots / 2

// block is 256 slots; bit p of a slot belongs to plane p.
type block [blockSlots]byte

// half is the near or the far slots of a block.
type half [nearSlots]byte

func (b *block) near() *half { return (*half)(b[:nearSlots]) }
func (b *block) far() *half  { return (*half)(b[nearSlots:]) }

// test returns the planes that have the 4 slots that the low 28 bits of lo name.
func (h *half) test(lo uint64) byte {
	return h[lo%nearSlots] & h[lo>>7%nearSlots] & h[lo>>14%nearSlots] & h[lo>>21%nearSlots]
}

// add sets the bit in them.
func (h *half) add(lo uint64, bit byte) {
	h[lo%nearSlots] |= bit
	h[lo>>7%nearSlots] |= bit
	h[lo>>14%nearSlots] |= bit
	h[lo>>21%nearSlots] |= bit
}

// farBits is where in lo the far half's indices begin; it has 28 bits for each half and 8 left over.
const farBits = 28

// test returns the planes that have all slots of lo.
func (b *block) test(lo uint64) byte { return b.near().test(lo) & b.far().test(lo>>farBits) }

// add sets the bit in all slots of lo.
func (b *block) add(lo uint64, bit byte) {
	b.near().add(lo, bit)
	b.far().add(lo>>farBits, bit)
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
