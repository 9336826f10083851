package bloom

import (
	"runtime"
	"slices"

	"noecho/internal/hugepage"
)

// sliced is the bit-sliced blocked filter.
//
// Blocks may lie outside of the heap, where no pointer to them keeps them: their layer does, and so the filter does. Every
// method that looks into blocks keeps the filter alive until it has looked (runtime.KeepAlive), for a caller may drop it on
// the way, as one does who asks it for the last time.
type sliced struct {
	// opts is for the layers to come; a layer that was loaded or adopted may have been made with others.
	opts Options

	// layers: Test asks all, adds go to the last ("active"); there is always one.
	// Invariant: a layer that is not active holds a key that is in no other one.
	layers []layer

	// narrow layers take what the active one has no room for. Of a plane's, the last takes the adds.
	narrow []narrow

	// narrowed are the planes that have a narrow layer.
	narrowed Mask

	// gathering is the one under way, or nil.
	gathering *gathering

	// clearing holds the planes whose clearing has begun and is not done.
	clearing Mask
}

// layer is one array of blocks.
type layer struct {
	blocks   []block
	mem      *hugepage.Memory // in which blocks lie
	capacity uint64           // keys of one plane; planes do not share: each has its own bit of every slot

	// adds[p] <= capacity; where it is 0 no slot has bit p, so that clearing may skip the layer.
	adds [Planes]uint64

	// spare are planes whose keys are all in the active layer as well. They do not count, and when a layer has no others it goes.
	spare Mask

	// cleared[p]: the blocks below hold no bit p. Not 0 only while the filter's clearing holds p.
	cleared [Planes]int

	touched byte // a sum of what testAll has loaded; means nothing
}

// NewSliced returns an empty bit-sliced blocked filter.
func NewSliced(o Options) Filter {
	o = o.withDefaults()
	return &sliced{opts: o, layers: []layer{newLayer(o.MinKeys, o.BitsPerKey)}}
}

// newLayer makes a layer for at least that many keys of a plane; 1 <= keys <= maxLayerKeys.
func newLayer(keys uint64, bitsPerKey int) layer {
	slots := keys * uint64(bitsPerKey)
	n := (slots + blockSlots - 1) / blockSlots
	bs, mem := newBlocks(int(n))
	return layer{blocks: bs, mem: mem, capacity: n * blockSlots / uint64(bitsPerKey)}
}

// block is the one a hash lives in. It takes the high bits of Hi, the slots take Lo: independent, so the block a key is
// in says nothing about its slots. All layers use the same bits: keys that share a block of a large layer share one of a
// small layer, which changes no rate, since a layer's false positives depend on its own keys only.
func (l *layer) block(h Hash) *block { return &l.blocks[scale(h.Hi, len(l.blocks))] }

func (l *layer) room(plane int) uint64 { return l.capacity - l.adds[plane] }

// planes returns the planes with keys in this layer.
func (l *layer) planes() Mask {
	var m Mask
	for p, n := range l.adds {
		if n > 0 {
			m |= 1 << p
		}
	}
	return m
}

func (f *sliced) Kind() string { return KindSliced }

func (f *sliced) Test(h Hash) Mask {
	var m byte
	for i := range f.layers {
		m |= f.layers[i].block(h).test(h.Lo)
	}
	for i := range f.narrow {
		m |= byte(f.narrow[i].test(h))
	}
	runtime.KeepAlive(f)
	return Mask(m)
}

func (f *sliced) Add(h Hash, plane int) {
	l := f.active()
	bit := byte(1) << (uint(plane) % Planes)
	if l.adds[plane] >= l.capacity || byte(f.clearing|f.narrowed)&bit != 0 {
		f.addNarrow(h, plane)
		return
	}
	l.adds[plane]++
	l.block(h).add(h.Lo, bit)
	runtime.KeepAlive(f)
}

// testChunk is how many keys TestAll takes at a time: enough loads to overlap, and few enough that the lines of the near halves
// are still in the first-level cache when they are read (8 KiB).
const testChunk = 64

func (f *sliced) TestAll(hs []Hash, dst []Mask) {
	clear(dst[:len(hs)])
	for len(hs) > 0 {
		n := min(len(hs), testChunk)
		for i := range f.layers {
			if l := &f.layers[i]; l.planes() != 0 {
				l.testAll(hs[:n], dst[:n])
			}
		}
		for i := range f.narrow {
			f.narrow[i].testAll(hs[:n], dst[:n])
		}
		hs, dst = hs[n:], dst[n:]
	}
	runtime.KeepAlive(f)
}

// testAll loads the lines of all near halves before it looks at any: a loop of so few instructions that the processor has as
// many misses under way as it can. (Without that loop the test, which has no branches either, fills its window with
// instructions after some keys, and takes 1.6 times as long from memory.) The keys that go on are few, and their far
// halves are loaded in the same way; asked at once, each of them would be a miss that nobody foresaw.
func (l *layer) testAll(hs []Hash, dst []Mask) {
	var near [testChunk]byte
	var on [testChunk]uint8
	sum, n := byte(0), 0
	for i := range hs {
		h := l.block(hs[i]).near()
		sum += h[0] + h[lineBytes]
	}
	for i := range hs {
		m := l.block(hs[i]).near().test(hs[i].Lo)
		near[i] = m
		on[n] = uint8(i)
		n += int((uint32(m) + 0xff) >> 8) // 1 where m is not 0
	}
	for _, i := range on[:n] {
		h := l.block(hs[i]).far()
		sum += h[0] + h[lineBytes]
	}
	l.touched += sum // or the loads would be dead code
	for _, i := range on[:n] {
		h := &hs[i]
		dst[i] |= Mask(near[i] & l.block(*h).far().test(h.Lo>>farBits))
	}
}

func (f *sliced) active() *layer { return &f.layers[len(f.layers)-1] }

func (f *sliced) Open(plane int, hint uint64) {
	if apply := f.Plan(plane, hint); apply != nil {
		apply()
	}
}

func (f *sliced) Plan(plane int, hint uint64) (apply func()) {
	fits := func(l *layer) bool { return f.opts.fits(hint, l.room(plane), l.capacity) }
	if hint == 0 || fits(f.active()) {
		return nil
	}
	if i := f.find(plane, fits); i >= 0 {
		return func() {
			f.activate(i)
			f.prune(0)
			f.gatherAbandon()
		}
	}
	l := newLayer(f.opts.sized(hint), f.opts.BitsPerKey)
	return func() {
		f.layers = append(f.layers, l)
		f.prune(0)
		f.gatherAbandon()
	}
}

// find returns the index of the layer with the most room for plane among those that are ok, -1 when none is. One with spare planes is never
// active again: what it has of them is not all there is, and does not count.
func (f *sliced) find(plane int, ok func(*layer) bool) int {
	best := -1
	for i := range f.layers {
		l := &f.layers[i]
		if l.spare == 0 && ok(l) && (best < 0 || l.room(plane) > f.layers[best].room(plane)) {
			best = i
		}
	}
	return best
}

// activate makes layer i the one that takes the adds.
func (f *sliced) activate(i int) {
	l := f.layers[i]
	f.layers = append(slices.Delete(f.layers, i, i+1), l)
}

// prune drops the layers that hold keys of no other planes than those of dead, and spare ones, but for the active one.
func (f *sliced) prune(dead Mask) {
	last := len(f.layers) - 1
	keep := f.layers[:0]
	for i := range f.layers {
		if i == last || f.layers[i].planes()&^(dead|f.layers[i].spare) != 0 {
			keep = append(keep, f.layers[i])
		}
	}
	clear(f.layers[len(keep):]) // or their memory would stay reachable
	f.layers = keep
}

func (f *sliced) Room(plane int) uint64 {
	if f.clearing.Has(plane) {
		return 0
	}
	if l := f.newest(plane); l != nil && l.adds < l.capacity {
		return l.capacity - l.adds
	}
	return f.active().room(plane)
}

func (f *sliced) Count(plane int) uint64 {
	var n uint64
	for i := range f.layers {
		if !f.layers[i].spare.Has(plane) {
			n += f.layers[i].adds[plane]
		}
	}
	for i := range f.narrow {
		if f.narrow[i].plane == plane {
			n += f.narrow[i].adds
		}
	}
	return n
}

func (f *sliced) Bytes() int64 {
	var n int64
	for i := range f.layers {
		n += int64(len(f.layers[i].blocks)) * blockSlots
	}
	for i := range f.narrow {
		n += int64(len(f.narrow[i].blocks)) * int64(len(slim{}))
	}
	return n
}

// Adopt: the larger of the two active layers goes on as the active one. Either was sized for a bucket of this partition, by Open or by
// growth; with the smaller one the next adds would only chain what is there already. Progress of clearing comes along in
// the layers.
func (f *sliced) Adopt(other Filter) error {
	o, ok := other.(*sliced)
	if !ok {
		return &KindError{Have: other.Kind(), Want: KindSliced}
	}
	if o == f {
		return nil
	}
	f.gatherAbandon()
	o.gatherAbandon()
	if o.active().capacity > f.active().capacity {
		f.layers = append(f.layers, o.layers...)
	} else {
		f.layers = append(o.layers, f.layers...)
	}
	f.narrow = append(o.narrow, f.narrow...)
	f.narrowed |= o.narrowed
	f.clearing |= o.clearing
	o.layers, o.narrow, o.narrowed, o.clearing = nil, nil, 0, 0
	f.prune(0)
	return nil
}
