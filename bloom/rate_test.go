package bloom

import (
	"cmp"
	"fmt"
	"math"
	mathbits "math/bits"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// slicedRate is the rate of one full plane by the model: the number of keys of a block is Poisson, and half of the probes
// find the bit of a random slot in each half.
func slicedRate(bitsPerKey int) float64 {
	load, rate := float64(blockSlots)/float64(bitsPerKey), 0.0
	for j := 0.0; j < 10*load+50; j++ {
		lg, _ := math.Lgamma(j + 1)
		fill := 1 - math.Pow(1-1.0/nearSlots, probes/2*j)
		rate += math.Exp(j*math.Log(load)-load-lg) * math.Pow(fill, probes)
	}
	return rate
}

// nearRate is the share of absent keys that a near half alone does not rule out, with n planes at so many bits a key.
func nearRate(bitsPerKey float64, planes int) float64 {
	load, rate := blockSlots/bitsPerKey, 0.0
	for j := 0.0; j < 10*load+50; j++ {
		lg, _ := math.Lgamma(j + 1)
		fill := 1 - math.Pow(1-1.0/nearSlots, probes/2*j)
		rate += math.Exp(j*math.Log(load)-load-lg) * math.Pow(fill, probes/2)
	}
	return 1 - math.Pow(1-rate, float64(planes))
}

// ringRate is the textbook's.
func ringRate(bitsPerKey int) float64 {
	k := float64(ringProbes(bitsPerKey))
	return math.Pow(1-math.Exp(-k/float64(bitsPerKey)), k)
}

// TestRate fills all planes to capacity and holds the share of absent keys reported in any plane, and the bits
// reported, against the model. Seeds are fixed, so it does not flicker; the margin is four standard deviations and 5 %.
func TestRate(t *testing.T) {
	const keys, asked = 20_000, 300_000
	model := map[string]func(int) float64{KindSliced: slicedRate, KindRing: ringRate}
	for _, bits := range []int{8, 16, 24} {
		t.Run(fmt.Sprintf("bits=%d", bits), func(t *testing.T) {
			forKinds(t, func(t *testing.T, make func(Options) Filter) {
				f := make(Options{BitsPerKey: bits, MinKeys: keys})
				for p := range Planes {
					fillPlane(f, uint64(p+1), p, keys)
				}
				any, planes := 0, 0
				for i := range uint64(asked) {
					m := f.Test(hashOf(99, i))
					any += min(int(m), 1)
					planes += mathbits.OnesCount8(uint8(m))
				}
				one := model[f.Kind()](bits)
				want := 1 - math.Pow(1-one, Planes)
				t.Logf("%.3f %% of absent keys, the model says %.3f %%", 100*float64(any)/asked, 100*want)
				margin := func(n float64) float64 { return 4*math.Sqrt(n) + 0.05*n }
				require.InDelta(t, want*asked, any, margin(want*asked))
				require.InDelta(t, one*Planes*asked, planes, margin(one*Planes*asked))
			})
		})
	}
}

// The figures that bloom.go and block.go argue with.
func TestRatesInTheDocs(t *testing.T) {
	all := func(one float64) float64 { return 100 * (1 - math.Pow(1-one, Planes)) }
	require.InDelta(t, 0.98, all(slicedRate(16)), 0.005)
	require.InDelta(t, 18, 100*nearRate(16, 7), 0.5)
	require.InDelta(t, 10, 100*nearRate(16*1.25, 7), 0.5)
	require.InDelta(t, 0.12, all(slicedRate(24)), 0.005)
	require.InDelta(t, 4.0, all(slicedRate(12)), 0.05)
	require.InDelta(t, 0.37, all(ringRate(16)), 0.005)
}

// TestRateOfTables: a caller adds tables, each in the order of its hashes, and asks for room before each. No table is split over two
// layers: its lowest hashes alone, in what room there is, would fill the lowest blocks there, and every key of these would be reported.
func TestRateOfTables(t *testing.T) {
	f := NewSliced(Options{BitsPerKey: 13})
	for table := range uint64(40) {
		hs := make([]Hash, 1000)
		for i := range hs {
			hs[i] = hashOf(1, 1000*table+uint64(i))
		}
		slices.SortFunc(hs, func(a, b Hash) int { return cmp.Compare(a.Hi, b.Hi) })
		if f.Room(0) < uint64(len(hs)) {
			if apply := f.Chain(0, max(1000, 3*f.Count(0))); apply != nil {
				apply()
			}
		}
		for _, h := range hs {
			f.Add(h, 0)
		}
	}
	const asked = 100_000
	found := 0
	for i := range uint64(asked) {
		found += min(int(f.Test(hashOf(99, i))), 1)
	}
	t.Logf("%.2f %% of absent keys in %d narrow layers", 100*float64(found)/asked, len(narrows(f)))
	require.Less(t, float64(found), float64(len(narrows(f)))*slicedRate(13)*asked*1.1)
}
