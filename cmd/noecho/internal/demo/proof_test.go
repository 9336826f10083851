package demo

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// topic makes partitions of ids: "a b c | d e".
func topic(text string) [][]string {
	var parts [][]string
	for _, p := range strings.Split(text, "|") {
		parts = append(parts, strings.Fields(p))
	}
	return parts
}

func TestProve(t *testing.T) {
	f := func(in, out string, want Proof) {
		t.Helper()
		require.Equal(t, want, prove(topic(in), topic(out)))
		require.Equal(t, want.Example == "" && want.Orders > 0, want.Holds())
	}
	f("a b a | c c", "a b | c", Proof{Orders: 3, In: 5, Out: 3})
	f("a b c", "a c", Proof{Orders: 3, In: 3, Out: 2, Lost: 1, Example: "lost b"})
	f("a b", "a b a", Proof{Orders: 2, In: 2, Out: 3, Repeated: 1, Example: "repeated a"})
	f("a b", "a b x", Proof{Orders: 2, In: 2, Out: 3, Unknown: 1, Example: "unknown x"})
	f("a b c a", "a c b", Proof{Orders: 3, In: 4, Out: 3, Disordered: 2, Example: "out of order"})
	f("a | b", "b | a", Proof{Orders: 2, In: 2, Out: 2, Disordered: 2, Example: "out of order"})
	f("a | b", "a b", Proof{Orders: 2, In: 2, Out: 2, Disordered: 2, Example: "out of order"})
	f("", "", Proof{})
}

// The proof is only worth something if it fails on every kind of damage to a right output.
func TestProofFailsOnEveryDamage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOfN(rapid.SampledFrom(strings.Fields("a b c d e f g h")), 2, 30).Draw(t, "in")
		right := firsts(in, func(string) bool { return true })
		require.True(t, prove([][]string{in}, [][]string{right}).Holds())

		damaged := append([]string{}, right...)
		i := rapid.IntRange(0, len(right)-1).Draw(t, "at")
		switch rapid.SampledFrom([]string{"lose", "repeat", "invent", "swap"}).Draw(t, "damage") {
		case "lose":
			damaged = append(damaged[:i], damaged[i+1:]...)
		case "repeat":
			damaged = append(damaged, damaged[i])
		case "invent":
			damaged[i] = "x"
		case "swap":
			if len(right) == 1 {
				t.Skip("nothing to swap")
			}
			j := (i + 1) % len(right)
			damaged[i], damaged[j] = damaged[j], damaged[i]
		}
		p := prove([][]string{in}, [][]string{damaged})
		require.False(t, p.Holds(), "%+v", p)
		require.NotEmpty(t, p.Example)
	})
}
