package bloom

import (
	"encoding/binary"
	"runtime"
	"slices"
)

// A plane by itself. The layer of bytes holds eight buckets in the eight bits of each slot; a bucket that has ended gets no keys any more, so its bits
// are final while the others change. Extract takes them out, a bit a slot, and Inject puts them back into a layer with as many blocks.

// PlaneShape is what a plane's bits need to be put back.
type PlaneShape struct {
	Blocks   int    // of the layer; a block has PlaneBlockBytes of a plane
	Capacity uint64 // keys of a plane that the layer is made for
	Keys     uint64 // adds to the plane
}

// PlaneBlockBytes is what a block has of one plane.
const PlaneBlockBytes = blockSlots / 8

// Planar is a filter whose planes can be taken out and put back: the sliced kind. Whoever owns the filter calls these.
type Planar interface {
	Filter

	// Whole gives the shape of a plane of which all keys lie in the layer that takes the adds. Not ok: they lie in several, or
	// the plane is being cleared or gathered, or is empty.
	Whole(plane int) (shape PlaneShape, ok bool)

	// Extract copies the plane's bits of the blocks from that one on, as many as dst has room for, and returns how many blocks that were.
	Extract(plane, from int, dst []byte) int

	// Restore begins to put a plane back, into a layer of that shape: a new one, behind the one that takes the adds, where there is none. Its keys count from now on.
	Restore(plane int, shape PlaneShape)

	// Inject adds to the plane what Extract gave of a plane of that shape, for which Restore was called.
	Inject(plane int, shape PlaneShape, from int, bits []byte)
}

// NewShaped returns an empty sliced filter whose layer has that shape.
func NewShaped(o Options, shape PlaneShape) Planar {
	return &sliced{opts: o.withDefaults(), layers: []layer{shape.layer()}}
}

func (s PlaneShape) layer() layer {
	bs, mem := newBlocks(s.Blocks)
	return layer{blocks: bs, mem: mem, capacity: s.Capacity}
}

func (f *sliced) Whole(plane int) (PlaneShape, bool) {
	l := f.active()
	if l.adds[plane] == 0 || f.Count(plane) != l.adds[plane] || (f.narrowed | f.clearing).Has(plane) {
		return PlaneShape{}, false
	}
	if g := f.gathering; g != nil && g.plane == plane {
		return PlaneShape{}, false
	}
	return PlaneShape{Blocks: len(l.blocks), Capacity: l.capacity, Keys: l.adds[plane]}, true
}

// packBits times eight bytes that are 0 or 1 has byte i as bit 56+i.
const packBits = 0x0102040810204080

func (f *sliced) Extract(plane, from int, dst []byte) int {
	bs := f.active().blocks[from:]
	n := min(len(bs), len(dst)/PlaneBlockBytes)
	for i := range n {
		b, out := &bs[i], dst[i*PlaneBlockBytes:][:PlaneBlockBytes]
		for j := range out {
			x := binary.LittleEndian.Uint64(b[8*j:]) >> plane & everySlot
			out[j] = byte(x * packBits >> 56)
		}
	}
	runtime.KeepAlive(f)
	return n
}

// spread has bit i of the index as byte i.
var spread = func() (t [256]uint64) {
	for v := range t {
		for i := range 8 {
			t[v] |= uint64(v>>i&1) << (8 * i)
		}
	}
	return t
}()

func (f *sliced) Restore(plane int, shape PlaneShape) {
	l := f.shaped(shape)
	if l == nil {
		f.gatherAbandon()
		f.layers = slices.Insert(f.layers, 0, shape.layer())
		l = &f.layers[0]
	}
	l.adds[plane] = min(l.adds[plane]+shape.Keys, l.capacity)
}

// shaped is the newest layer of that shape, nil when there is none.
func (f *sliced) shaped(shape PlaneShape) *layer {
	for i := len(f.layers) - 1; i >= 0; i-- {
		if l := &f.layers[i]; len(l.blocks) == shape.Blocks && l.capacity == shape.Capacity {
			return l
		}
	}
	return nil
}

func (f *sliced) Inject(plane int, shape PlaneShape, from int, bits []byte) {
	bs := f.shaped(shape).blocks[from:]
	for i := range len(bits) / PlaneBlockBytes {
		b, in := &bs[i], bits[i*PlaneBlockBytes:][:PlaneBlockBytes]
		for j, v := range in {
			slots := b[8*j : 8*j+8]
			binary.LittleEndian.PutUint64(slots, binary.LittleEndian.Uint64(slots)|spread[v]<<plane)
		}
	}
	runtime.KeepAlive(f)
}
