package measure

import (
	"math"
	"slices"
)

// Median of the values; NaN for none. They are not changed.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	v := slices.Sorted(slices.Values(values))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// Spread is how far the values are apart: (largest - smallest) / median; 0 for fewer than two.
func Spread(values []float64) float64 {
	if len(values) < 2 {
		return 0
	}
	return (slices.Max(values) - slices.Min(values)) / Median(values)
}

// MedianOf takes the median of what f gives for each.
func MedianOf[T any](all []T, f func(T) float64) float64 {
	values := make([]float64, len(all))
	for i := range all {
		values[i] = f(all[i])
	}
	return Median(values)
}
