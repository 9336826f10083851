package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes, never negative.
type Size int64

// units in the order Size.String prefers them. Kubernetes' rule: Ki is 1024, k is 1000. An optional B changes nothing.
// No exa: "1E" and "1e" would be one letter away from an exponent.
var units = []struct {
	name  string
	bytes int64
}{
	{"Pi", 1 << 50}, {"Ti", 1 << 40}, {"Gi", 1 << 30}, {"Mi", 1 << 20}, {"Ki", 1 << 10},
	{"PB", 1e15}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3},
}

// ParseSize reads a size in any form people write: plain bytes (1048576), binary (9Gi, 64MiB), decimal (1GB, 500k),
// fractions (1.5Gi), and the floating-point form that Helm makes of large numbers (9.66e+09). Letters' case is ignored.
// Whole numbers are exact; fractions are rounded to the nearest byte.
func ParseSize(text string) (Size, error) {
	s := strings.TrimSpace(text)
	digits := strings.TrimRight(s, "abcdfghijklmnopqrstuvwxyzABCDFGHIJKLMNOPQRSTUVWXYZ") // not e, E: see units
	unit, ok := unitOf(s[len(digits):])
	digits = strings.TrimSpace(digits)
	if !ok || digits == "" || strings.ContainsAny(digits, "xX_pPiInN") {
		return 0, sizeError(text)
	}
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
		if n < 0 || n > math.MaxInt64/unit {
			return 0, sizeError(text)
		}
		return Size(n * unit), nil
	}
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return 0, sizeError(text)
	}
	// Written so that NaN fails too. 2^63 itself does not fit an int64, and float64(math.MaxInt64) is 2^63.
	if f = math.Round(f * float64(unit)); !(f >= 0 && f < math.MaxInt64) {
		return 0, sizeError(text)
	}
	return Size(f), nil
}

// unitOf returns the bytes of one unit; "" and "b" are one byte.
func unitOf(name string) (int64, bool) {
	short := strings.TrimSuffix(strings.ToLower(name), "b")
	if short == "" {
		return 1, true
	}
	for _, u := range units {
		if short == strings.TrimSuffix(strings.ToLower(u.name), "b") {
			return u.bytes, true
		}
	}
	return 0, false
}

func sizeError(text string) error {
	return fmt.Errorf("%q is not a size; write bytes, or a number with Ki, Mi, Gi, Ti (1024) or kB, MB, GB, TB (1000), like 9Gi", text)
}

// String prints the size in the largest unit that divides it, so that ParseSize gives the same size back.
func (s Size) String() string {
	for _, u := range units {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}
