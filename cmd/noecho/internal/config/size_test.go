package config

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestParseSize(t *testing.T) {
	good := func(text string, want int64) {
		t.Helper()
		got, err := ParseSize(text)
		require.NoError(t, err, text)
		require.Equal(t, Size(want), got, text)
	}
	good("0", 0)
	good("0Gi", 0)
	good("1048576", 1<<20)
	good("9Gi", 9<<30)
	good("9GiB", 9<<30)
	good("9gib", 9<<30)
	good(" 9 Gi ", 9<<30)
	good("1GB", 1e9)
	good("1G", 1e9)
	good("1kB", 1000)
	good("1k", 1000)
	good("1Ki", 1024)
	good("64MiB", 64<<20)
	good("1.5Gi", 3<<29)
	good("0.5", 1) // rounded to the nearest byte, half away from zero
	good("9.66e+09", 9_660_000_000)
	good("1e9", 1e9)
	good("1E9", 1e9)
	good("1e3Ki", 1000<<10)
	good("2TB", 2e12)
	good("3Pi", 3<<50)
	good("17b", 17)
	good("9223372036854775807", math.MaxInt64)
	good("8191Pi", 8191<<50)

	bad := func(text string) {
		t.Helper()
		_, err := ParseSize(text)
		require.ErrorContains(t, err, "is not a size; write bytes", text)
		require.ErrorContains(t, err, text)
	}
	for _, text := range []string{"", " ", "Gi", "-1", "-1Gi", "1EiB", "1Zi", "1 2", "1GiGi", "nan", "NaN", "inf", "+Inf", "Infinity",
		"0x10", "0x1p3", "1_000", "1,5Gi", "9223372036854775808", "8192Pi", "1e19", "1e400", "-0.6", "ten", "1bb", "9Gi/s"} {
		bad(text)
	}
}

func TestSizeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		unit := rapid.SampledFrom([]int64{1, 1e3, 1 << 10, 1e6, 1 << 20, 1e9, 1 << 30, 1e12, 1 << 40}).Draw(t, "unit")
		want := Size(rapid.Int64Range(0, math.MaxInt64/unit).Draw(t, "n") * unit)
		got, err := ParseSize(want.String())
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func FuzzParseSize(f *testing.F) {
	for _, seed := range []string{"9Gi", "1GB", "9.66e+09", "-1", "1e400", "0x1p3", "1_0", "8192Pi", "0.0000001Ki"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		size, err := ParseSize(text)
		if err != nil {
			require.Zero(t, size)
			return
		}
		require.GreaterOrEqual(t, size, Size(0))
		again, err := ParseSize(size.String())
		require.NoError(t, err)
		require.Equal(t, size, again)
	})
}
