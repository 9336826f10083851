package bloom

import (
	"math"
	"slices"

	bitsbloom "github.com/bits-and-blooms/bloom/v3"
)

// ring is the classic: its own Bloom filters for each plane, of bits-and-blooms/bloom/v3.
type ring struct {
	opts Options

	// planes: the last layer of a plane takes its adds, and only that one may be empty.
	planes [Planes][]ringLayer

	// probes is the largest of any layer: Test derives that many places once, for all.
	probes int
}

// ringLayer is one filter of one plane.
type ringLayer struct {
	words    []uint64 // the bits of set: the library shares them, we need them to touch and to save
	set      *bitsbloom.BloomFilter
	probes   int
	capacity uint64
	adds     uint64 // <= capacity
}

// ringMaxProbes is the best number of probes at maxBits bits a key.
const ringMaxProbes = 22

// NewRing returns an empty ring of bits-and-blooms filters, one chain a plane. Memory is taken with the first Open or Add
// of a plane and given back by ClearSome.
func NewRing(o Options) Filter {
	o = o.withDefaults()
	return &ring{opts: o, probes: ringProbes(o.BitsPerKey)}
}

// ringProbes is the number of probes with the fewest false positives: bits a key x ln 2 (Bloom, CACM 1970).
func ringProbes(bitsPerKey int) int { return int(math.Round(float64(bitsPerKey) * math.Ln2)) }

// newRingLayer makes a layer for at least that many keys; 1 <= keys <= maxLayerKeys.
func newRingLayer(keys uint64, bitsPerKey int) ringLayer {
	words := make([]uint64, (keys*uint64(bitsPerKey)+63)/64)
	return ringLayerOf(words, ringProbes(bitsPerKey), uint64(len(words))*64/uint64(bitsPerKey), 0)
}

func ringLayerOf(words []uint64, probes int, capacity, adds uint64) ringLayer {
	set := bitsbloom.FromWithM(words, uint(len(words))*64, uint(probes))
	return ringLayer{words: words, set: set, probes: probes, capacity: capacity, adds: adds}
}

// places fills dst with the places of h, which the layers take modulo their size: enhanced double hashing (Dillinger
// and Manolios, "Bloom Filters in Probabilistic Verification", FMCAD 2004). Plain double hashing, Hi + i Lo, runs in a
// short cycle whenever Lo and the size have a large common divisor; the growing step leaves it.
func places(h Hash, dst []uint64) {
	a, b := h.Hi, h.Lo
	for i := range dst {
		dst[i] = a
		a += b
		b += uint64(i) + 1
	}
}

func (l *ringLayer) test(at []uint64) bool { return l.set.TestLocations(at[:l.probes]) }

func (l *ringLayer) add(at []uint64) {
	bits, m := l.set.BitSet(), uint64(l.set.Cap())
	for _, x := range at[:l.probes] {
		bits.Set(uint(x % m))
	}
	l.adds++
}

func (f *ring) Kind() string { return KindRing }

func (f *ring) Test(h Hash) Mask {
	var buf [ringMaxProbes]uint64
	at := buf[:f.probes]
	places(h, at)
	var m Mask
	for p := range f.planes {
		for i := range f.planes[p] {
			if f.planes[p][i].test(at) {
				m |= 1 << p
				break
			}
		}
	}
	return m
}

// TestAll has no tricks: a Test misses in every plane and its branches are predicted well, so the processor runs ahead into
// the next plane by itself. To load the first places of all keys beforehand cost as much as it saved.
func (f *ring) TestAll(hs []Hash, dst []Mask) {
	for i := range hs {
		dst[i] = f.Test(hs[i])
	}
}

func (f *ring) Add(h Hash, plane int) {
	var buf [ringMaxProbes]uint64
	at := buf[:f.probes]
	places(h, at)
	l := f.newest(plane)
	if l == nil || l.adds >= l.capacity {
		l = f.grow(plane)
	}
	l.add(at)
}

// newest is the layer that takes the adds of plane, nil when there is none.
func (f *ring) newest(plane int) *ringLayer {
	ls := f.planes[plane]
	if len(ls) == 0 {
		return nil
	}
	return &ls[len(ls)-1]
}

func (f *ring) grow(plane int) *ringLayer {
	keys := f.opts.MinKeys
	if l := f.newest(plane); l != nil {
		keys = min(l.capacity*growth, maxLayerKeys)
	}
	return f.chain(plane, keys)
}

func (f *ring) chain(plane int, keys uint64) *ringLayer {
	f.planes[plane] = append(f.planes[plane], newRingLayer(keys, f.opts.BitsPerKey))
	return f.newest(plane)
}

// Open gives the plane a filter for the hint at once: nothing is shared between planes, so there is no layer to keep.
func (f *ring) Open(plane int, hint uint64) {
	if apply := f.Plan(plane, hint); apply != nil {
		apply()
	}
}

func (f *ring) Plan(plane int, hint uint64) (apply func()) {
	l := f.newest(plane)
	if hint == 0 || l != nil && f.opts.fits(hint, l.capacity-l.adds, l.capacity) {
		return nil
	}
	return f.replaceEmpty(plane, newRingLayer(f.opts.sized(hint), f.opts.BitsPerKey))
}

func (f *ring) Chain(plane int, keys uint64) (apply func()) {
	if f.Room(plane) >= keys {
		return nil
	}
	return f.replaceEmpty(plane, newRingLayer(f.opts.sized(keys), f.opts.BitsPerKey))
}

// replaceEmpty makes fresh the newest layer of plane, in place of one that holds nothing.
func (f *ring) replaceEmpty(plane int, fresh ringLayer) (apply func()) {
	return func() {
		if l := f.newest(plane); l != nil && l.adds == 0 {
			f.planes[plane] = f.planes[plane][:len(f.planes[plane])-1]
		}
		f.planes[plane] = append(f.planes[plane], fresh)
	}
}

// GatherBegin is always false: a chain of a plane's own filters goes with the plane.
func (f *ring) GatherBegin(int) bool { return false }

// GatherAdd is never asked for anything.
func (f *ring) GatherAdd([]Hash) bool { return false }

// GatherEnd ends nothing.
func (f *ring) GatherEnd(bool) {}

// ClearSome lets go of the plane's filters, which touches none of their memory: it is always done, and the collector has the work.
func (f *ring) ClearSome(plane, _ int) (done bool) {
	f.planes[plane] = nil
	return true
}

func (f *ring) Room(plane int) uint64 {
	l := f.newest(plane)
	if l == nil {
		return 0
	}
	return l.capacity - l.adds
}

func (f *ring) Count(plane int) uint64 {
	var n uint64
	for i := range f.planes[plane] {
		n += f.planes[plane][i].adds
	}
	return n
}

func (f *ring) Bytes() int64 {
	var n int64
	for p := range f.planes {
		for i := range f.planes[p] {
			n += int64(len(f.planes[p][i].words)) * 8
		}
	}
	return n
}

// Adopt: in each plane the layer with the most room goes on taking the adds, and layers without a key go.
func (f *ring) Adopt(other Filter) error {
	o, ok := other.(*ring)
	if !ok {
		return &KindError{Have: other.Kind(), Want: KindRing}
	}
	if o == f {
		return nil
	}
	for p := range f.planes {
		ls := append(o.planes[p], f.planes[p]...)
		if len(ls) == 0 {
			continue
		}
		roomiest := 0
		for i := range ls {
			if ls[i].capacity-ls[i].adds >= ls[roomiest].capacity-ls[roomiest].adds {
				roomiest = i
			}
		}
		newest := ls[roomiest]
		ls = slices.Delete(ls, roomiest, roomiest+1)
		ls = slices.DeleteFunc(ls, func(l ringLayer) bool { return l.adds == 0 })
		f.planes[p] = append(ls, newest)
	}
	f.probes = max(f.probes, o.probes)
	o.planes = [Planes][]ringLayer{}
	return nil
}
