package measure

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestPercentilesAgainstSorting: the histogram says what sorting all values says, to three digits.
func TestPercentilesAgainstSorting(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	a, b := NewLatencies(), NewLatencies()
	var all []float64
	for i := range 200_000 {
		d := math.Floor(math.Exp(rng.Float64()*16) + 1) // 1 ns to 9 ms
		all = append(all, d)
		[]*Latencies{a, b}[i%2].Add(time.Duration(d))
	}
	a.Merge(b)
	require.EqualValues(t, len(all), a.Count())
	slices.Sort(all)
	ps := a.Percentiles()
	require.Len(t, ps, len(Points))
	for _, p := range ps {
		want := all[min(len(all)-1, max(0, int(math.Ceil(p.P/100*float64(len(all))))-1))]
		require.InEpsilon(t, want, float64(p.Ns), 0.002, "p%v", p.P)
	}
	require.Equal(t, time.Duration(ps[4].Ns), At(ps, 99))
	require.Zero(t, At(ps, 98))
}

func TestLatenciesAtTheEdges(t *testing.T) {
	l := NewLatencies()
	require.Nil(t, l.Percentiles())
	l.Add(-1)
	l.Add(time.Hour)
	ps := l.Percentiles()
	require.EqualValues(t, 1, ps[0].Ns)
	require.InEpsilon(t, time.Minute, At(ps, 100), 0.002)
	require.Zero(t, testing.AllocsPerRun(100, func() { l.Add(time.Millisecond) }))
}

func TestStats(t *testing.T) {
	require.True(t, math.IsNaN(Median(nil)))
	values := []float64{9, 1, 5}
	require.EqualValues(t, 5, Median(values))
	require.Equal(t, []float64{9, 1, 5}, values)
	require.EqualValues(t, 3, Median([]float64{4, 2}))
	require.Zero(t, Spread([]float64{4}))
	require.InDelta(t, 1.6, Spread(values), 1e-9)
	require.EqualValues(t, 2, MedianOf([]string{"a", "bb", "ccc"}, func(s string) float64 { return float64(len(s)) }))
}

// TestCut: a run at 100 records a millisecond that halves its speed in the middle.
func TestCut(t *testing.T) {
	var samples []sample
	for i := range 101 {
		at := time.Duration(i) * time.Millisecond
		done := int64(i * 100)
		if i > 50 {
			done = 5000 + int64(i-50)*50
		}
		samples = append(samples, sample{at, done})
	}
	s := cut(samples, 3)
	require.Len(t, s, 3)
	require.InEpsilon(t, 100_000, s[0].Rate, 0.001)
	require.InEpsilon(t, 100_000, s[1].Rate, 0.001)
	require.InEpsilon(t, 50_000, s[2].Rate, 0.001)
	require.EqualValues(t, 7500, s[2].Records)
	require.Nil(t, cut([]sample{{0, 5}, {time.Second, 5}}, 3))
}

func TestSeries(t *testing.T) {
	var done atomic.Int64
	told := make(chan int64, 100)
	s := Sample(&done, func(n int64, _ time.Duration) { told <- n })
	for range 30 {
		done.Add(10)
		time.Sleep(10 * time.Millisecond)
	}
	out := s.Stop(4)
	require.NotEmpty(t, out)
	require.EqualValues(t, 300, out[len(out)-1].Records)
	require.NotEmpty(t, told)
}
