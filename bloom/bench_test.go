package bloom

import (
	"bytes"
	"fmt"
	"io"
	"testing"
)

// Axes: kind; keys in each of the 8 planes (16 bits a key: 128k keys are 2 MB, 2M are 32 MB); batch, 0 for Test one by one.
// Run: go test ./bloom -run xxx -bench . -count 10 | benchstat -col /kind -

var benchSink uint64

var benchKeys = []struct {
	name string
	n    uint64
}{{"4k", 4 << 10}, {"128k", 128 << 10}, {"2M", 2 << 20}}

// benchFilters keeps one filled filter a kind and size for all benchmarks of a run: to fill 16 M keys takes seconds.
var benchFilters = map[string]Filter{}

func benchFilter(b *testing.B, kind string, make func(Options) Filter, keys uint64) Filter {
	id := fmt.Sprint(kind, keys)
	f, ok := benchFilters[id]
	if !ok {
		f = make(Options{})
		var hs [256]Hash
		for p := range Planes {
			f.Open(p, keys*6/7+1) // sized with a sixth more: the planes end full
			for i := uint64(0); i < keys; i += uint64(len(hs)) {
				for j := range hs {
					hs[j] = hashOf(uint64(p+1), i+uint64(j))
				}
				for _, h := range hs {
					f.Add(h, p)
				}
			}
		}
		benchFilters[id] = f
	}
	b.ResetTimer()
	return f
}

func forBench(b *testing.B, fn func(b *testing.B, f Filter, keys uint64)) {
	for _, k := range kinds {
		for _, keys := range benchKeys {
			b.Run(fmt.Sprintf("kind=%s/keys=%s", k.name, keys.name), func(b *testing.B) {
				if testing.Short() && keys.n > 1<<20 {
					b.Skip("takes seconds to fill")
				}
				fn(b, benchFilter(b, k.name, k.make, keys.n), keys.n)
			})
		}
	}
}

// benchTest asks for random keys of one set; each op is one key, its hash made beside (about 3 ns).
func benchTest(b *testing.B, f Filter, set, n uint64, batch int) {
	hs := make([]Hash, max(batch, 64))
	masks := make([]Mask, len(hs))
	var sink uint64
	for i := 0; i < b.N; i += len(hs) {
		for j := range hs {
			hs[j] = hashOf(set, mix(uint64(i+j))%n)
		}
		if batch > 0 {
			f.TestAll(hs, masks)
			sink += uint64(masks[0])
			continue
		}
		for j := range hs {
			sink += uint64(f.Test(hs[j]))
		}
	}
	benchSink += sink
}

// BenchmarkTest: a key that is in no plane, the common case, and one that is in one.
func BenchmarkTest(b *testing.B) {
	forBench(b, func(b *testing.B, f Filter, keys uint64) {
		for _, batch := range []int{0, 64, 256} {
			b.Run(fmt.Sprintf("key=absent/batch=%d", batch), func(b *testing.B) { benchTest(b, f, 99, 1<<40, batch) })
		}
		b.Run("key=present/batch=64", func(b *testing.B) { benchTest(b, f, 3, keys, 64) })
	})
}

// BenchmarkAdd adds keys the plane has already, so that nothing grows, whatever b.N is; the work is the same.
func BenchmarkAdd(b *testing.B) {
	forBench(b, func(b *testing.B, f Filter, keys uint64) {
		f = reload(b, f, nil)
		switch f := f.(type) { // make room for the counts
		case *sliced:
			f.active().adds[3], f.active().capacity = 1, 1<<60
		case *ring:
			f.newest(3).adds, f.newest(3).capacity = 1, 1<<60
		}
		var hs [64]Hash
		b.ResetTimer()
		for i := 0; i < b.N; i += len(hs) {
			for j := range hs {
				hs[j] = hashOf(4, mix(uint64(i+j))%keys)
			}
			for j := range hs {
				f.Add(hs[j], 3)
			}
		}
	})
}

// BenchmarkClear clears a plane of a sliced filter, 64 KiB a step; MB/s are of slots.
func BenchmarkClear(b *testing.B) {
	for _, keys := range benchKeys {
		b.Run("kind=sliced/keys="+keys.name, func(b *testing.B) {
			f := NewSliced(Options{}).(*sliced)
			f.Open(0, keys.n*4/5)
			l := f.active()
			b.SetBytes(f.Bytes())
			for b.Loop() {
				l.adds[0], l.adds[1] = 1, 1
				for !f.ClearSome(0, 64<<10) {
				}
			}
		})
	}
}

// BenchmarkFile: MB/s of a file in memory.
func BenchmarkFile(b *testing.B) {
	for _, k := range kinds {
		f := k.make(Options{})
		f.Open(0, 1<<20)
		file := saved(b, f, "")
		b.Run("op=save/kind="+k.name, func(b *testing.B) {
			b.SetBytes(int64(len(file)))
			for b.Loop() {
				if err := Save(io.Discard, f, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("op=load/kind="+k.name, func(b *testing.B) {
			b.SetBytes(int64(len(file)))
			for b.Loop() {
				if _, _, err := Load(bytes.NewReader(file), int64(len(file))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
