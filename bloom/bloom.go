package bloom

import "math/bits"

// Planes is the number of planes of a filter: the bits of the byte that is one slot of the sliced kind.
const Planes = 8

// Mask is a set of planes; bit p set means plane p may hold the hash.
type Mask uint8

// Has reports whether the mask holds plane.
func (m Mask) Has(plane int) bool { return m>>uint(plane)&1 != 0 }

// Hash is a 128-bit hash of a key, made and seeded by the caller. Both halves must be uniform and independent.
type Hash struct{ Hi, Lo uint64 }

// Kinds of filters, as [Filter.Kind] names them.
const (
	KindSliced = "sliced"
	KindRing   = "ring"
)

// Filter is a set of hashes in [Planes] planes. One goroutine owns it. Only this package implements it: Save and
// Adopt need the insides. A plane outside [0, Planes) is a bug of the caller and panics.
type Filter interface {
	// Kind is KindSliced or KindRing.
	Kind() string

	// Test returns the planes that may hold h; every plane h was added to since it was cleared is among them. No allocation.
	Test(h Hash) Mask

	// TestAll is Test for each of hs, into dst, which is as long. A batch is what makes it fast: the loads of all keys are
	// independent of each other, so the processor waits for many at once instead of for one after the other. No allocation.
	TestAll(hs []Hash, dst []Mask)

	// Add puts h into plane. It never fails; it allocates only when it chains a larger layer. An Add to a plane whose clearing
	// is under way cancels the clearing: the key is safe, and the next ClearSome starts again, for all keys of the plane.
	Add(h Hash, plane int)

	// Open says that about hint more keys are expected in plane, which starts a new bucket or has outgrown its layer (0: unknown,
	// nothing is sized). When the layer that takes the adds is too small for the hint, or half as large again as a new one
	// would be, a fitting one takes over.
	Open(plane int, hint uint64)

	// Plan is the slow part of Open: it takes the memory, and may run beside Test and TestAll, though beside nothing that changes the
	// filter. The function it returns does the rest at once; nil: there is nothing to do.
	Plan(plane int, hint uint64) (apply func())

	// ClearSome clears plane, at most about maxBytes of memory a call (at least one block), and reports whether it is done.
	// Until then Test may still report the plane, and Count(plane) is between 0 and what it was; adds to other
	// planes between the calls are safe. Once done, Count(plane) is 0 and Test reports the plane for no hash.
	ClearSome(plane, maxBytes int) (done bool)

	// Chain is Plan for a plane that gets keys more than Open was told: it takes room for that many which is of this plane alone, and
	// small. nil: there is room.
	Chain(plane int, keys uint64) (apply func())

	// Room is the number of Adds to plane that certainly take no memory.
	Room(plane int) uint64

	// Count is the number of Adds to plane since it was cleared; a hash added twice counts twice. Where a gathering or a clearing of the plane
	// was given up, it is about that.
	Count(plane int) uint64

	// GatherBegin begins to bring together what a plane has in several places, so that lookups go to one and the memory of the others is
	// free. false: there is nothing to gather, or no room where the keys would go. The caller then passes all keys that were added to
	// the plane, in any order, to GatherAdd, and ends with GatherEnd(true); any other end is GatherEnd(false). GatherAdd is false when the
	// gathering is over before its end, because the filter has changed in between: begin again. Adds to the plane that find no
	// room in the layer that is gathered into end it, too.
	GatherBegin(plane int) bool
	GatherAdd(hs []Hash) bool
	GatherEnd(complete bool)

	// Bytes is the memory held, in bytes, without small change (headers, slices).
	Bytes() int64

	// Adopt takes over the layers of other: afterwards Test answers for both and counts add up. other must not be used any more.
	// A filter of another kind is a *KindError, and nothing has changed. Adopting itself changes nothing.
	Adopt(other Filter) error

	// encode writes what follows the tag in a file.
	encode(e *encoder)
	// shape gives what stands in front of it.
	shape() (kind uint8, o Options, layers int)
}

// Options size a filter. The zero value is good.
type Options struct {
	// BitsPerKey is the memory for one key of one plane, in bits, when a layer is full: slots (sliced) or bits (ring).
	// 0 means 16; what is outside 8..32 is moved to the nearer end. At 16 a key that is in no plane is
	// reported in some of 8 full planes with a probability of 1.0 % (sliced) or 0.4 % (ring). Why not less: each false
	// positive is a seek in the index, 3 us and more, and 12 bits have four times as many. Why not more: 24 bits
	// save 25 ns of seeks a key, and cost half as much memory again.
	BitsPerKey int

	// MinKeys is the number of keys of a plane that the first layer and any later one holds at least. 0 means 256, which is 4 KiB
	// for the sliced kind: an engine with 1000 quiet partitions pays 4 MB. At most 2^20:
	// larger layers are Open's to ask for.
	MinKeys uint64
}

const (
	defaultBits    = 16
	minBits        = 8
	maxBits        = 32
	defaultMinKeys = 256
	maxMinKeys     = 1 << 20

	growth   = 4   // a layer chained to full ones makes room for this many times their keys
	slackPct = 150 // a layer that is larger than this, in percent of a new one, is replaced at Open

	// maxLayerBits bounds one layer, whatever a hint says: 2^36 bits or slots (64 GiB of slots), or 2^29 where int has 32 bits.
	maxLayerBits = 1 << (29 + 7*(^uint(0)>>63))
	maxLayerKeys = maxLayerBits / maxBits
)

func (o Options) withDefaults() Options {
	if o.BitsPerKey == 0 {
		o.BitsPerKey = defaultBits
	}
	if o.MinKeys == 0 {
		o.MinKeys = defaultMinKeys
	}
	o.BitsPerKey = min(max(o.BitsPerKey, minBits), maxBits)
	o.MinKeys = min(o.MinKeys, maxMinKeys)
	return o
}

// sized is the capacity a new layer gets for hint keys: a sixth more, because the next bucket is rarely smaller than the last
// one by luck, and an overflow costs a line more in every lookup until it is gathered.
func (o Options) sized(hint uint64) uint64 {
	hint = min(hint, maxLayerKeys) // also keeps the sum below from overflowing
	return min(max(hint+hint/6, o.MinKeys), maxLayerKeys)
}

// fits reports whether a layer with room for that many more keys of a plane, of that many at all, will do for hint keys.
// It asks for a twelfth more than the hint, where a new layer gets a sixth more: with one and the same factor a load that
// rises by 1 % a bucket would chain a layer every bucket, and Test would go through eight of nearly the same size.
func (o Options) fits(hint, room, capacity uint64) bool {
	hint = min(hint, maxLayerKeys)
	need := min(hint+hint/12, maxLayerKeys)
	return room >= need && capacity <= o.sized(hint)/100*slackPct+slackPct
}

// scale maps a uniform x to [0, n) without a division, by its high bits (Lemire, "Fast Random Integer Generation in an
// Interval", 2019). The bias is below n/2^64.
func scale(x uint64, n int) uint64 {
	hi, _ := bits.Mul64(x, uint64(n))
	return hi
}
