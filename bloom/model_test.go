package bloom

import (
	"bytes"
	"maps"
	"slices"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// mix is the finalizer of splitmix64 (Steele, Lea, Flood 2014): a good hash for tests, with nothing to import.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// hashOf is the hash of test key i; keys of different sets never meet.
func hashOf(set, i uint64) Hash {
	return Hash{Hi: mix(set<<48 ^ 2*i), Lo: mix(set<<48 ^ (2*i + 1))}
}

// kinds are the makers of both filters.
var kinds = []struct {
	name string
	make func(Options) Filter
}{{KindSliced, NewSliced}, {KindRing, NewRing}}

func forKinds(t *testing.T, fn func(t *testing.T, make func(Options) Filter)) {
	for _, k := range kinds {
		t.Run("kind="+k.name, func(t *testing.T) { fn(t, k.make) })
	}
}

// requireSound checks what must hold of the insides between any two calls.
func requireSound(t require.TestingT, f Filter) {
	switch f := f.(type) {
	case *sliced:
		requireSoundSliced(t, f)
	case *ring:
		for p := range f.planes {
			for i, l := range f.planes[p] {
				require.LessOrEqual(t, l.adds, l.capacity)
				require.LessOrEqual(t, l.probes, f.probes)
				require.Equal(t, uint(len(l.words))*64, l.set.Cap())
				require.Same(t, &l.words[0], &l.set.BitSet().Words()[0], "the library has its own copy of the bits")
				require.True(t, l.adds > 0 || i == len(f.planes[p])-1, "an empty layer that takes no adds")
			}
		}
	}
}

func requireSoundSliced(t require.TestingT, f *sliced) {
	require.NotEmpty(t, f.layers)
	for _, l := range f.layers[len(f.layers):cap(f.layers)] {
		require.Nil(t, l.blocks, "memory of a dropped layer is kept")
	}
	for i := range f.layers {
		l := &f.layers[i]
		require.Zero(t, uintptr(unsafe.Pointer(&l.blocks[0]))%lineBytes)
		require.True(t, l.planes()&^l.spare != 0 || i == len(f.layers)-1, "an empty layer that is not active")
		var have Mask
		for b := range l.blocks {
			in := l.blocks[b].planes()
			have |= in
			for p := range Planes {
				if b < l.cleared[p] && in.Has(p) { // no require: it is slow, and this is most of the test
					require.Fail(t, "below the cursor", "plane %d in block %d", p, b)
				}
			}
		}
		if g := f.gathering; g != nil && g.into == &l.blocks[0] {
			have &^= 1 << g.plane
		}
		require.Zero(t, have&^l.planes(), "bits of a plane without adds")
		require.Zero(t, l.spare&^l.planes())
		for p := range Planes {
			require.LessOrEqual(t, l.adds[p], l.capacity)
			require.True(t, l.cleared[p] == 0 || f.clearing.Has(p), "a cursor of a plane that is not being cleared")
		}
	}
	require.Zero(t, f.active().spare, "the active layer is where the others' spare planes are")
	var narrowed Mask
	for i := range f.narrow {
		narrowed |= 1 << f.narrow[i].plane
	}
	require.Equal(t, narrowed, f.narrowed)
	for i := range f.narrow {
		l := &f.narrow[i]
		require.Zero(t, uintptr(unsafe.Pointer(&l.blocks[0]))%unsafe.Sizeof(l.blocks[0]))
		require.LessOrEqual(t, l.adds, l.capacity)
	}
}

// modelled is a filter and what it must hold.
type modelled struct {
	f     Filter
	keys  [Planes]map[uint64]bool // the keys that Test must report
	adds  [Planes]uint64          // what Count must say
	loose [Planes]bool            // a clearing began: Count may say less
	about [Planes]uint64          // gatherings that were given up: Count may say one more for each

	gathering []uint64 // the keys that are still to be passed
	plane     int      // that is gathered, while gathering is not nil
}

func newModelled(f Filter) *modelled {
	m := &modelled{f: f}
	for p := range m.keys {
		m.keys[p] = map[uint64]bool{}
	}
	return m
}

func (m *modelled) add(key uint64, plane int) {
	m.f.Add(hashOf(1, key), plane)
	m.keys[plane][key] = true
	m.adds[plane]++
	if m.gathering != nil && m.plane == plane {
		m.end(false)
	}
}

// begin begins a gathering, and step goes on with it.
func (m *modelled) begin(plane int) {
	m.end(false)
	if m.f.GatherBegin(plane) {
		m.gathering, m.plane = slices.AppendSeq([]uint64{}, maps.Keys(m.keys[plane])), plane
		slices.Sort(m.gathering) // or a failure is not found again
	}
}

func (m *modelled) step(n int) {
	n = min(n, len(m.gathering))
	var hs []Hash
	for _, key := range m.gathering[:n] {
		hs = append(hs, hashOf(1, key))
	}
	if m.gathering == nil {
		return
	}
	if !m.f.GatherAdd(hs) {
		m.end(false)
		return
	}
	if m.gathering = m.gathering[n:]; len(m.gathering) == 0 {
		m.end(true)
	}
}

func (m *modelled) end(complete bool) {
	if m.gathering != nil {
		m.about[m.plane]++
	}
	m.gathering = nil
	m.f.GatherEnd(complete)
}

// clear takes one step. The keys go out of the model with the first: from then on the filter may forget any of them.
func (m *modelled) clear(t require.TestingT, plane, maxBytes int) {
	m.keys[plane] = map[uint64]bool{}
	m.loose[plane] = true
	if m.gathering != nil && m.plane == plane {
		m.end(false)
	}
	if !m.f.ClearSome(plane, maxBytes) {
		return
	}
	m.adds[plane], m.loose[plane], m.about[plane] = 0, false, 0
	if s, ok := m.f.(*sliced); ok {
		require.False(t, s.clearing.Has(plane))
	}
	for key := range uint64(500) {
		if m.f.Test(hashOf(1, key)).Has(plane) {
			require.Fail(t, "a cleared plane is not empty", "plane %d has key %d", plane, key)
		}
	}
}

func (m *modelled) adopt(t require.TestingT, o *modelled) {
	require.NoError(t, m.f.Adopt(o.f))
	m.end(false) // the filter has given it up
	for p := range Planes {
		for key := range o.keys[p] {
			m.keys[p][key] = true
		}
		m.adds[p] += o.adds[p]
		m.loose[p] = m.loose[p] || o.loose[p]
		m.about[p] += o.about[p]
	}
}

func (m *modelled) check(t require.TestingT) {
	requireSound(t, m.f)
	if s, ok := m.f.(*sliced); ok && s.gathering == nil && m.gathering != nil {
		m.end(false) // another layer is active
	}
	for p := range Planes {
		for key := range m.keys[p] {
			if !m.f.Test(hashOf(1, key)).Has(p) {
				require.Fail(t, "false negative", "plane %d lost key %d", p, key)
			}
		}
		if m.loose[p] || m.about[p] > 0 {
			require.LessOrEqual(t, m.f.Count(p), m.adds[p]+m.about[p])
			require.GreaterOrEqual(t, m.f.Count(p), uint64(len(m.keys[p])))
		} else {
			require.Equal(t, m.adds[p], m.f.Count(p))
		}
	}
}

// reload saves the filter and loads it again.
func reload(t require.TestingT, f Filter, tag []byte) Filter {
	var file bytes.Buffer
	require.NoError(t, Save(&file, f, tag))
	got, gotTag, err := Load(bytes.NewReader(file.Bytes()), int64(file.Len()))
	require.NoError(t, err)
	require.Equal(t, string(tag), string(gotTag))
	require.Equal(t, f.Kind(), got.Kind())
	require.Equal(t, f.Bytes(), got.Bytes())
	return got
}

// TestModel runs random histories against a map for each plane: nothing is ever lost, whatever comes between, and a
// cleared plane is empty.
func TestModel(t *testing.T) {
	forKinds(t, func(t *testing.T, make func(Options) Filter) {
		rapid.Check(t, func(t *rapid.T) {
			options := func() Options {
				return Options{
					BitsPerKey: rapid.SampledFrom([]int{0, 8, 13, 32}).Draw(t, "bits"),
					MinKeys:    rapid.SampledFrom([]uint64{0, 1, 40}).Draw(t, "min"),
				}
			}
			plane := rapid.IntRange(0, Planes-1)
			m := newModelled(make(options()))
			fill := func(m *modelled) {
				p, from := plane.Draw(t, "plane"), rapid.Uint64Range(0, 400).Draw(t, "from")
				for key := range rapid.Uint64Range(1, 100).Draw(t, "n") {
					m.add(from+key, p)
				}
			}
			t.Repeat(map[string]func(*rapid.T){
				"": func(t *rapid.T) { m.check(t) },
				"add": func(t *rapid.T) {
					fill(m)
				},
				"open": func(t *rapid.T) {
					m.f.Open(plane.Draw(t, "plane"), rapid.SampledFrom([]uint64{0, 1, 30, 100, 700, 5000}).Draw(t, "hint"))
				},
				"clear": func(t *rapid.T) {
					m.clear(t, plane.Draw(t, "plane"), rapid.SampledFrom([]int{-1, 0, 300, 4096, 1 << 30}).Draw(t, "bytes"))
				},
				"adopt": func(t *rapid.T) {
					o := newModelled(make(options()))
					for range rapid.IntRange(0, 3).Draw(t, "fills") {
						fill(o)
					}
					if rapid.Bool().Draw(t, "clearing") {
						o.clear(t, plane.Draw(t, "plane"), 1)
					}
					m.adopt(t, o)
				},
				"chain": func(t *rapid.T) {
					p, keys := plane.Draw(t, "plane"), rapid.Uint64Range(0, 3000).Draw(t, "keys")
					if apply := m.f.Chain(p, keys); apply != nil {
						apply()
					}
					s, ok := m.f.(*sliced)
					require.True(t, m.f.Room(p) >= keys || ok && s.clearing.Has(p))
				},
				"gather": func(t *rapid.T) {
					m.begin(plane.Draw(t, "plane"))
				},
				"gather some": func(t *rapid.T) {
					m.step(rapid.SampledFrom([]int{0, 10, 1000}).Draw(t, "n"))
				},
				"reload": func(t *rapid.T) {
					m.end(false)
					m.f = reload(t, m.f, rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "tag"))
				},
			})
		})
	})
}
