package bloom

import (
	"runtime"

	"noecho/internal/hugepage"
)

// A slot of a layer is a byte: one bit for each of eight planes. That is dense where all planes are about equally full, and a
// waste where one plane alone is: of a layer that only takes what a bucket has more than was foreseen, seven eighths are
// zeros for ever. And the first bucket of a partition is nothing but that: nobody knows how large it will be, so it outgrows one
// layer after the other. With layers of bytes alone its keys take 30 bytes each, and with a thousand million of them the memory of the
// machine.
//
// So what was not foreseen goes into narrow layers: of one plane, a bit a slot, an eighth of the memory. Block and slots of a key are chosen
// as in a layer of bytes, so the rate of false positives is that of one plane, and nothing else has to be known of them. All probes are
// in one line, but each narrow layer is a line more for every lookup: they are moved into the layer of bytes when their
// bucket has ended (gather.go).

// slim is a block of 256 slots of one plane: a bit each, lowest first.
type slim [blockSlots / 8]byte

func (b *slim) bit(slot uint64) byte { return b[slot/8] >> (slot % 8) & 1 }

// test is 1 where the block has all slots that lo names, as those of block.test, else 0.
func (b *slim) test(lo uint64) byte {
	const far = nearSlots
	return b.bit(lo%nearSlots) & b.bit(lo>>7%nearSlots) & b.bit(lo>>14%nearSlots) & b.bit(lo>>21%nearSlots) &
		b.bit(far|lo>>28%nearSlots) & b.bit(far|lo>>35%nearSlots) & b.bit(far|lo>>42%nearSlots) & b.bit(far|lo>>49%nearSlots)
}

// add sets the bits of the slots that lo names.
func (b *slim) add(lo uint64) {
	for range probes / 2 {
		near, far := lo%nearSlots, nearSlots|lo>>farBits%nearSlots
		b[near/8] |= 1 << (near % 8)
		b[far/8] |= 1 << (far % 8)
		lo >>= 7
	}
}

// narrow is a layer of one plane.
type narrow struct {
	plane    int
	blocks   []slim
	mem      *hugepage.Memory // in which blocks lie
	capacity uint64
	adds     uint64 // <= capacity

	touched byte // as that of a layer
}

func newNarrow(plane int, keys uint64, bitsPerKey int) narrow {
	n := (keys*uint64(bitsPerKey) + blockSlots - 1) / blockSlots
	bs, mem := newSlims(int(n))
	return narrow{plane: plane, blocks: bs, mem: mem, capacity: n * blockSlots / uint64(bitsPerKey)}
}

func (l *narrow) block(h Hash) *slim { return &l.blocks[scale(h.Hi, len(l.blocks))] }

func (l *narrow) test(h Hash) Mask { return Mask(l.block(h).test(h.Lo) << l.plane) }

// testAll loads the lines of all blocks before it looks at any, as layer.testAll does.
func (l *narrow) testAll(hs []Hash, dst []Mask) {
	sum := byte(0)
	for i := range hs {
		sum += l.block(hs[i])[0]
	}
	l.touched += sum
	for i := range hs {
		dst[i] |= l.test(hs[i])
	}
}

// newest is the narrow layer that takes the adds of plane, nil when there is none.
func (f *sliced) newest(plane int) *narrow {
	if !f.narrowed.Has(plane) {
		return nil
	}
	for i := len(f.narrow) - 1; i >= 0; i-- {
		if f.narrow[i].plane == plane {
			return &f.narrow[i]
		}
	}
	return nil
}

// addNarrow is Add where the layer of bytes has no room for plane, where the plane has a narrow layer, or where it is being cleared.
//
// A narrow layer takes the adds before the layer of bytes gets what it still has room for. A caller adds many keys in the order of their
// hashes, and thus of the blocks: the first of them, put where a little room is left, would lie in the lowest blocks, and fill these.
func (f *sliced) addNarrow(h Hash, plane int) {
	f.cancelClear(plane)
	if g := f.gathering; g != nil && g.plane == plane {
		f.gatherAbandon() // its end would let go of the key's layer
	}
	l := f.newest(plane)
	if l == nil || l.adds >= l.capacity {
		if f.active().room(plane) == 0 {
			f.reuse(plane, f.active().capacity)
		}
		if w := f.active(); w.room(plane) > 0 {
			w.adds[plane]++
			w.block(h).add(h.Lo, 1<<plane)
			runtime.KeepAlive(f)
			return
		}
		keys := max(f.Count(plane), f.opts.MinKeys)
		f.chain(newNarrow(plane, min((growth-1)*keys, maxLayerKeys), f.opts.BitsPerKey))
		l = f.newest(plane)
	}
	l.adds++
	l.block(h).add(h.Lo)
	runtime.KeepAlive(f)
}

// chain takes in a narrow layer.
func (f *sliced) chain(l narrow) {
	f.narrow = append(f.narrow, l)
	f.narrowed |= 1 << l.plane
}

// reuse makes a layer active that has room for so many keys of plane, if there is one: after a quiet time (Open chained a smaller layer),
// or an adoption, a large one may be there already.
func (f *sliced) reuse(plane int, keys uint64) {
	if i := f.find(plane, func(l *layer) bool { return l.room(plane) >= keys }); i >= 0 {
		f.activate(i)
		f.prune(0)
		f.gatherAbandon()
	}
}

// Chain takes a narrow layer for so many keys more of plane, for which there is no room.
func (f *sliced) Chain(plane int, keys uint64) (apply func()) {
	if f.Room(plane) >= keys {
		return nil
	}
	if !f.narrowed.Has(plane) && f.find(plane, func(l *layer) bool { return l.room(plane) >= keys }) >= 0 {
		return func() { f.reuse(plane, keys) }
	}
	l := newNarrow(plane, f.opts.sized(keys), f.opts.BitsPerKey)
	return func() { f.chain(l) }
}
