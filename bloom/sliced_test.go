package bloom

import (
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func fillPlane(f Filter, set uint64, plane int, n uint64) {
	for i := range n {
		f.Add(hashOf(set, i), plane)
	}
}

func requirePlane(t *testing.T, f Filter, set uint64, plane int, n uint64) {
	t.Helper()
	for i := range n {
		if !f.Test(hashOf(set, i)).Has(plane) {
			require.Fail(t, "false negative", "plane %d lost key %d", plane, i)
		}
	}
}

// A block's eight slots are 7 bits of Lo each, four a half: the layout of every saved file hangs on it.
func TestBlockSlots(t *testing.T) {
	var b block
	const lo = 0 | 1<<7 | 2<<14 | 0x7f<<21 | 0<<28 | 0x7d<<35 | 0x7e<<42 | 0x7f<<49
	b.add(lo, 1<<3)
	for i := range b {
		want := byte(0)
		switch i {
		case 0, 1, 2, 0x7f, 0x80, 0xfd, 0xfe, 0xff:
			want = 1 << 3
		}
		require.Equal(t, want, b[i], "slot %d", i)
	}
	require.Equal(t, byte(1<<3), b.test(lo))
	require.Zero(t, b.test(lo^4<<7), "another slot of the near half")
	require.Zero(t, b.test(lo^4<<42), "another slot of the far half")
	require.Equal(t, byte(1<<3), b.test(lo|1<<63), "bits left over")
	require.Equal(t, Mask(1<<3), b.planes())

	for i := range Planes { // in whichever byte of a word it is
		var c block
		c[8*31+i] = 1 << i
		require.Equal(t, Mask(1)<<i, c.planes())
	}

	b.add(42, 1<<7)
	b.keep(^Mask(1 << 3))
	require.Equal(t, Mask(1<<7), b.planes())
	require.Equal(t, byte(1<<7), b.test(42))
}

func TestNewBlocksAreAligned(t *testing.T) {
	for n := 1; n < 300; n += 7 {
		bs, mem := newBlocks(n)
		require.Len(t, bs, n)
		require.Zero(t, uintptr(unsafe.Pointer(&bs[0]))%lineBytes, "%d blocks", n)
		require.Len(t, blockBytes(bs), n*blockSlots)
		runtime.KeepAlive(mem)
	}
}

func TestScaleStaysInRange(t *testing.T) {
	for _, n := range []int{1, 2, 3, 1000, 1 << 28} {
		require.Zero(t, scale(0, n))
		require.Equal(t, uint64(n-1), scale(^uint64(0), n))
	}
}

func TestOptionsAreBounded(t *testing.T) {
	require.Equal(t, Options{BitsPerKey: 16, MinKeys: 256}, Options{}.withDefaults())
	require.Equal(t, Options{BitsPerKey: 8, MinKeys: 1}, Options{BitsPerKey: -5, MinKeys: 1}.withDefaults())
	require.Equal(t, Options{BitsPerKey: 32, MinKeys: maxMinKeys}, Options{BitsPerKey: 99, MinKeys: 1 << 63}.withDefaults())
	// A hint from nowhere must not overflow into a small layer.
	o := Options{}.withDefaults()
	require.Equal(t, uint64(maxLayerKeys), o.sized(1<<64-1))
	require.False(t, o.fits(1<<64-1, 1000, 1000))
	require.True(t, o.fits(1<<64-1, maxLayerKeys, maxLayerKeys))
	const wraps = 0xcccccccccccccccd // a quarter more is 2^64 and a bit
	require.Equal(t, uint64(maxLayerKeys), o.sized(wraps))
	require.False(t, o.fits(wraps, 1000, 1000))
}

func TestStartsSmall(t *testing.T) {
	require.Equal(t, int64(4096), NewSliced(Options{}).Bytes())
	require.Zero(t, NewRing(Options{}).Bytes())
}

// capacities are those of the layers, oldest first.
func capacities(f Filter) []uint64 {
	var c []uint64
	for _, l := range f.(*sliced).layers {
		c = append(c, l.capacity)
	}
	return c
}

// narrows are the capacities of the narrow layers, oldest first.
func narrows(f Filter) []uint64 {
	var c []uint64
	for i := range f.(*sliced).narrow {
		c = append(c, f.(*sliced).narrow[i].capacity)
	}
	return c
}

// A plane's first life: narrow layers chain, each with room for three times what is there. Its second: Open sizes one layer, and the
// chain is gone as soon as the plane is clear.
func TestSlicedLife(t *testing.T) {
	f := NewSliced(Options{})
	f.Open(0, 0)
	fillPlane(f, 1, 0, 10_000)
	require.Equal(t, []uint64{256}, capacities(f))
	require.Equal(t, []uint64{3 * 256, 3 * 1024, 3 * 4096}, narrows(f))
	require.Equal(t, int64(4096+(3*256+3*1024+3*4096)*2), f.Bytes(), "16 bits a key")
	requirePlane(t, f, 1, 0, 10_000)

	f.Open(1, 20_000)
	require.Equal(t, []uint64{256, 23_344}, capacities(f))
	fillPlane(f, 2, 1, 20_000)
	require.Equal(t, uint64(20_000), f.Count(1))

	require.True(t, f.ClearSome(0, 1<<20))
	require.Equal(t, []uint64{23_344}, capacities(f), "layers without a key stay")
	require.Empty(t, narrows(f))
	require.Zero(t, f.Count(0))
	requirePlane(t, f, 2, 1, 20_000)
	requireSound(t, f)

	// A steady load keeps its layer, up to a twelfth below the capacity.
	for p := 2; p < Planes; p++ {
		f.Open(p, 21_500)
		fillPlane(f, uint64(p+1), p, 20_000)
	}
	require.Equal(t, []uint64{23_344}, capacities(f))
	f.ClearSome(2, 1<<20)
	f.Open(2, 22_000)
	require.Equal(t, []uint64{23_344, 25_680}, capacities(f), "too near to the brim")
}

// What a bucket has more than was foreseen goes into a narrow layer, and a gathering brings it into one place.
func TestGather(t *testing.T) {
	f := NewSliced(Options{})
	require.False(t, f.GatherBegin(0), "nothing is there")
	require.False(t, f.GatherAdd(nil))
	fillPlane(f, 1, 0, 10_000)
	require.False(t, f.GatherBegin(0), "it does not fit into the active layer")

	f.Open(1, 20_000)
	fillPlane(f, 2, 1, 30_000)
	require.Len(t, narrows(f), 4)
	all := make([]Hash, 10_000)
	for i := range all {
		all[i] = hashOf(1, uint64(i))
	}
	gather := func() {
		require.True(t, f.GatherBegin(0))
		require.True(t, f.GatherAdd(all[:5000]))
		requireSound(t, f)
		requirePlane(t, f, 1, 0, 10_000)
		require.True(t, f.GatherAdd(all[5000:]))
	}

	gather()
	f.GatherEnd(false)
	require.Len(t, narrows(f), 4, "given up")
	require.InDelta(t, 10_000, f.Count(0), 1)
	requireSound(t, f)

	gather()
	f.Add(hashOf(1, 10_001), 0) // which ends it: its end would lose the key
	f.GatherEnd(true)
	require.True(t, f.Test(hashOf(1, 10_001)).Has(0))
	require.Len(t, narrows(f), 4)
	all = append(all, hashOf(1, 10_001))
	gather()
	f.GatherEnd(true)
	require.Equal(t, []uint64{23_344}, capacities(f), "the first layer had nothing else")
	require.Len(t, narrows(f), 1, "the other plane's")
	requirePlane(t, f, 1, 0, 10_000)
	requirePlane(t, f, 2, 1, 30_000)
	requireSound(t, f)
	require.False(t, f.GatherBegin(0), "it is in one place")

	// A larger layer takes over: what is in the smaller one is spare as it is gathered, and with the last plane it goes.
	f.Open(2, 40_000)
	require.Equal(t, []uint64{23_344, 46_672}, capacities(f))
	gather()
	f.GatherEnd(true)
	require.InDelta(t, 10_001, f.Count(0), 1)
	require.Equal(t, []uint64{23_344, 46_672}, capacities(f))
	f.Open(3, 20_000)
	require.Equal(t, []uint64{23_344, 46_672}, capacities(f)[:2], "a layer with spare planes is never active again")
	f = reload(t, f, nil)
	requirePlane(t, f, 1, 0, 10_000)
	requirePlane(t, f, 2, 1, 30_000)
	requireSound(t, f)
}

// Whatever makes another layer the active one ends a gathering; so does the clearing of its plane.
func TestGatherIsOverWhenTheFilterChanges(t *testing.T) {
	for name, change := range map[string]func(*testing.T, Filter){
		"open":  func(t *testing.T, f Filter) { f.Open(2, 100_000) },
		"adopt": func(t *testing.T, f Filter) { require.NoError(t, f.Adopt(NewSliced(Options{}))) },
		"clear": func(t *testing.T, f Filter) { f.ClearSome(0, 1) },
		"add":   func(t *testing.T, f Filter) { fillPlane(f, 3, 0, 100_000) },
	} {
		t.Run(name, func(t *testing.T) {
			f := NewSliced(Options{})
			fillPlane(f, 1, 0, 10_000)
			f.Open(1, 20_000)
			require.True(t, f.GatherBegin(0))
			require.True(t, f.GatherAdd([]Hash{hashOf(1, 0)}))
			change(t, f)
			require.False(t, f.GatherAdd([]Hash{hashOf(1, 1)}))
			f.GatherEnd(true)
			if name != "clear" {
				requirePlane(t, f, 1, 0, 10_000)
			}
			requireSound(t, f)
		})
	}
}

func TestSlicedShrinksAndComesBack(t *testing.T) {
	f := NewSliced(Options{})
	f.Open(0, 100_000)
	require.Equal(t, []uint64{116_672}, capacities(f), "the first layer, empty, stays")
	fillPlane(f, 1, 0, 100)

	f.Open(1, 70_000)
	require.Len(t, capacities(f), 1, "not half as large again: no new layer")
	f.Open(1, 12_000)
	require.Equal(t, []uint64{116_672, 14_000}, capacities(f))
	fillPlane(f, 2, 1, 14_000)

	// Louder than the hint said: the large layer is still there and takes over, nothing is allocated.
	f.Add(hashOf(2, 14_000), 1)
	require.Equal(t, []uint64{14_000, 116_672}, capacities(f))
	require.Empty(t, narrows(f))
	requirePlane(t, f, 1, 0, 100)
	requirePlane(t, f, 2, 1, 14_001)

	// Open finds an old layer too.
	f.Open(2, 12_000)
	require.Equal(t, []uint64{116_672, 14_000}, capacities(f))
	requireSound(t, f)
}

// Clearing in steps: bounded work, other planes untouched by it and free to be added to, all the time.
func TestSlicedClearsInSteps(t *testing.T) {
	f := NewSliced(Options{MinKeys: 1000})
	const n = 3000
	for i := range uint64(n) { // by turns, so that both layers have both planes
		f.Add(hashOf(1, i), 2)
		f.Add(hashOf(2, i), 5)
	}
	blocks := int64(len(f.(*sliced).layers[0].blocks)) // the narrow layers go at once
	steps, added := int64(0), uint64(0)
	for !f.ClearSome(2, 4*blockSlots) {
		steps++
		f.Add(hashOf(3, added), 6)
		added++
		requirePlane(t, f, 2, 5, n)
		requirePlane(t, f, 3, 6, added)
		requireSound(t, f)
	}
	require.InDelta(t, blocks/4, steps, 2, "a step is four blocks")
	require.Zero(t, f.Count(2))
	require.Equal(t, uint64(n), f.Count(5))
	for i := range uint64(n) {
		require.False(t, f.Test(hashOf(1, i)).Has(2))
	}
}

// An Add to a plane whose clearing is under way must not be wiped by the next step, wherever its block is.
func TestSlicedAddCancelsClear(t *testing.T) {
	const n = 1000
	f := NewSliced(Options{MinKeys: n})
	fillPlane(f, 1, 2, n/2)
	fillPlane(f, 1, 3, 1) // or the plane would be the only one
	require.False(t, f.ClearSome(2, 30*blockSlots))
	for i := range uint64(n / 2) {
		f.Add(hashOf(2, i), 2)
	}
	requirePlane(t, f, 2, 2, n/2)
	require.Equal(t, uint64(n), f.Count(2))
	for !f.ClearSome(2, blockSlots) {
		requireSound(t, f)
	}
	require.Zero(t, f.Count(2))
	for i := range uint64(n / 2) {
		require.False(t, f.Test(hashOf(2, i)).Has(2))
	}
}

func TestSlicedAdoptKeepsTheLargerLayerForAdds(t *testing.T) {
	f, rebuilt := NewSliced(Options{}), NewSliced(Options{})
	fillPlane(f, 1, 0, 10)
	rebuilt.Open(0, 10_000)
	fillPlane(rebuilt, 2, 0, 500)
	require.NoError(t, f.Adopt(rebuilt))
	require.Equal(t, []uint64{256, 11_680}, capacities(f))
	require.Equal(t, uint64(510), f.Count(0))

	small := NewSliced(Options{})
	fillPlane(small, 3, 7, 5)
	require.NoError(t, f.Adopt(small))
	require.Equal(t, []uint64{256, 256, 11_680}, capacities(f))
	require.NoError(t, f.Adopt(NewSliced(Options{})))
	require.Len(t, capacities(f), 3, "an empty layer was adopted")
	requirePlane(t, f, 1, 0, 10)
	requirePlane(t, f, 2, 0, 500)
	requirePlane(t, f, 3, 7, 5)
}

func TestAdopt(t *testing.T) {
	f, g := NewSliced(Options{}), NewRing(Options{})
	fillPlane(f, 1, 0, 5)
	fillPlane(g, 1, 0, 5)
	var kind *KindError
	require.ErrorAs(t, f.Adopt(g), &kind)
	require.Equal(t, KindError{Have: KindRing, Want: KindSliced}, *kind)
	require.ErrorAs(t, g.Adopt(f), &kind)
	require.Equal(t, KindError{Have: KindSliced, Want: KindRing}, *kind)
	require.ErrorContains(t, kind, `kind "ring" can't adopt one of kind "sliced"`)

	for _, f := range []Filter{f, g} {
		require.NoError(t, f.Adopt(f))
		require.Equal(t, uint64(5), f.Count(0))
		requirePlane(t, f, 1, 0, 5)
	}
}

// A ring's planes are sized each for itself, and cost nothing once cleared.
func TestRingLife(t *testing.T) {
	f := NewRing(Options{})
	f.Open(0, 10_000)
	require.Equal(t, int64(11_668*16/8), f.Bytes())
	fillPlane(f, 1, 0, 11_668)
	require.Equal(t, int64(11_668*16/8), f.Bytes())
	f.Add(hashOf(1, 11_668), 0)
	require.Equal(t, int64(5*11_668*16/8), f.Bytes(), "chained by four")
	requirePlane(t, f, 1, 0, 11_669)

	f.Open(1, 10_000)
	f.Open(1, 100)
	require.Equal(t, int64((5*11_668+256)*16/8), f.Bytes(), "an empty plane is sized anew")
	require.True(t, f.ClearSome(0, 1))
	require.Equal(t, int64(256*16/8), f.Bytes())
	requireSound(t, f)
}

// What is added after an adoption goes where room is, whichever filter it came from.
func TestRingAdoptKeepsTheRoomiestLayerForAdds(t *testing.T) {
	for _, swap := range []bool{false, true} {
		f, g := NewRing(Options{}), NewRing(Options{BitsPerKey: 30})
		fillPlane(f, 1, 4, 256)
		g.Open(4, 10_000)
		fillPlane(g, 2, 4, 1)
		if swap {
			f, g = g, f
		}
		require.NoError(t, f.Adopt(g))
		bytes := f.Bytes()
		fillPlane(f, 3, 4, 10_000)
		require.Equal(t, bytes, f.Bytes())
		requirePlane(t, f, 1, 4, 256)
		requirePlane(t, f, 2, 4, 1)
		requirePlane(t, f, 3, 4, 10_000)
		requireSound(t, f)
	}
}

// TestAll says what Test says, whatever the length of the batch and the number of layers.
func TestTestAll(t *testing.T) {
	forKinds(t, func(t *testing.T, make func(Options) Filter) {
		f := make(Options{})
		for p := range Planes {
			fillPlane(f, uint64(p), p, 100<<p) // more and more: layers are chained
		}
		var hs []Hash
		for i := range uint64(800) {
			hs = append(hs, hashOf(i%Planes, i/Planes), hashOf(99, i))
		}
		for _, n := range []int{0, 1, 2, 63, 255, 256, 257, 512, 1000, len(hs)} {
			dst := slices.Repeat([]Mask{0xff}, n)
			f.TestAll(hs[:n], dst)
			for i, m := range dst {
				require.Equal(t, f.Test(hs[i]), m)
				if i%2 == 0 {
					require.True(t, m.Has(i/2%Planes), "a false negative")
				}
			}
		}
	})
}

// Room is what fits before an Add takes memory.
func TestRoom(t *testing.T) {
	forKinds(t, func(t *testing.T, make func(Options) Filter) {
		f := make(Options{})
		f.Open(2, 5000)
		room, bytes := f.Room(2), f.Bytes()
		require.GreaterOrEqual(t, room, uint64(5000))
		fillPlane(f, 1, 2, room)
		require.Equal(t, bytes, f.Bytes())
		require.Zero(t, f.Room(2))
		f.Add(hashOf(1, room), 2)
		require.Greater(t, f.Bytes(), bytes)
		require.NotZero(t, f.Room(2))
	})
}

// TestGatherAcrossActiveLayers: what was added to the plane while another layer was active stays, also where the first one is active
// again when the gathering goes on.
func TestGatherAcrossActiveLayers(t *testing.T) {
	f := NewSliced(Options{}).(*sliced)
	old := make([]Hash, 2000)
	for i := range old {
		old[i] = hashOf(1, uint64(i))
		f.Add(old[i], 0)
	}
	f.Open(1, 4000)
	fillPlane(f, 2, 1, 10)
	first := &f.active().blocks[0]
	require.True(t, f.GatherBegin(0))
	require.True(t, f.GatherAdd(old[:1000]))
	f.Open(2, 100_000)
	fillPlane(f, 3, 0, 100)
	f.Open(3, 4000)
	require.Same(t, first, &f.active().blocks[0])
	f.GatherEnd(f.GatherAdd(old[1000:]))
	requirePlane(t, f, 1, 0, 2000)
	requirePlane(t, f, 3, 0, 100)
}
