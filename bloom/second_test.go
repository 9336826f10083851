package bloom

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSecond: no key is missed, in a set that grows and in one whose size was foreseen, and its errors are not the filter's.
func TestSecond(t *testing.T) {
	const n = 200_000
	rng := rand.New(rand.NewPCG(4, 4))
	hash := func() Hash { return Hash{Hi: rng.Uint64(), Lo: rng.Uint64()} }
	for name, step := range map[string]uint64{"grows": 1000, "foreseen": n} {
		t.Run(name, func(t *testing.T) {
			var s Second
			require.False(t, s.Test(hash()))
			require.Zero(t, s.Room())
			f := NewSliced(Options{BitsPerKey: 13, MinKeys: n})
			keys := make([]Hash, n)
			for i := range keys {
				keys[i] = hash()
				if s.Room() == 0 {
					s.Grow(step)()
				}
				s.Add(keys[i])
				f.Add(keys[i], 0)
			}
			require.EqualValues(t, n, s.Count())
			require.LessOrEqual(t, len(s.layers), 6)
			require.Less(t, s.Bytes(), int64(3*n))
			for _, k := range keys {
				require.True(t, s.Test(k))
			}
			first, both, second := 0, 0, 0
			const asked = 2_000_000
			for range asked {
				h := hash()
				x, y := f.Test(h) != 0, s.Test(h)
				if x {
					first++
				}
				if y {
					second++
				}
				if x && y {
					both++
				}
			}
			rate := float64(second) / asked
			require.Less(t, rate, 0.16)
			if step == n {
				require.Less(t, rate, 0.04)
			}
			require.Greater(t, first, 1000, "or the comparison says nothing")
			require.Less(t, float64(both), 2*rate*float64(first), "they err on the same keys")
		})
	}
}

// TestSecondAllocatesNothing but when it grows.
func TestSecondAllocatesNothing(t *testing.T) {
	var s Second
	s.Grow(1 << 16)()
	h := Hash{Hi: 1, Lo: 2}
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		h.Hi += 0x9e3779b97f4a7c15
		h.Lo ^= h.Hi
		s.Add(h)
		if !s.Test(h) {
			t.Fatal("missed")
		}
	}))
}
