package engine

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// TestOptionsNameEveryViolation: all at once, so that nobody mends them one start after the other.
func TestOptionsNameEveryViolation(t *testing.T) {
	_, err := Open("data", Options{
		FS: vfs.NewMem(), Window: 7 * time.Microsecond, Buckets: maxBuckets + 1, MaxKeys: -1, MaxBytes: 5, OnFull: 7, Hash: "md5",
		Seed: []byte("short"), Filter: "cuckoo", FilterBits: 40, MemoryBytes: 1, TableKeys: -1, CacheBytes: -1,
		SegmentBytes: 1, WALBytes: -1,
	})
	var bad *OptionsError
	require.ErrorAs(t, err, &bad)
	for _, field := range []string{
		"Buckets must", "Window (", "MaxKeys", "MaxBytes must", "OnFull", "Hash", "Seed", "Filter must", "FilterBits",
		"MemoryBytes", "TableKeys", "CacheBytes", "SegmentBytes must be 4 KiB", "WALBytes must be at least",
	} {
		require.ErrorContains(t, err, field)
	}
}

// TestOptionsOneByOne: each violation alone is refused, and its neighbour inside the range is not.
func TestOptionsOneByOne(t *testing.T) {
	good := Options{Window: time.Hour}
	cases := []struct {
		name string
		set  func(*Options)
		ok   bool
	}{
		{"default", func(*Options) {}, true},
		{"no window", func(o *Options) { o.Window = 0 }, false},
		{"negative window", func(o *Options) { o.Window = -time.Hour }, false},
		{"a bucket of one millisecond", func(o *Options) { o.Window, o.Buckets = 5*time.Millisecond, 5 }, true},
		{"a bucket of less", func(o *Options) { o.Window, o.Buckets = 5*time.Millisecond, 6 }, false},
		{"not divided", func(o *Options) { o.Buckets = 7 }, false},
		{"most buckets", func(o *Options) { o.Window, o.Buckets = maxBuckets*time.Second, maxBuckets }, true},
		{"negative buckets", func(o *Options) { o.Buckets = -1 }, false},
		{"small store", func(o *Options) { o.MaxBytes = 1 << 20 }, true},
		{"log as large as the store", func(o *Options) { o.MaxBytes, o.SegmentBytes = 64<<20, 64<<20 }, false},
		{"no limit of clocks", func(o *Options) { o.MaxClockLead = -1 }, true},
		{"no seed, but one is given", func(o *Options) { o.Seed = []byte{} }, false},
		{"fail", func(o *Options) { o.OnFull = Fail }, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := good
			c.set(&o)
			o = o.withDefaults()
			err := o.validate()
			require.Equal(t, c.ok, err == nil, "%v", err)
		})
	}
}

// TestOptionsDefaults: what the documentation promises.
func TestOptionsDefaults(t *testing.T) {
	o := Options{Window: time.Hour}.withDefaults()
	require.Equal(t, 6, o.Buckets)
	require.Equal(t, time.Hour, o.MaxClockLead)
	require.Equal(t, HashXXH3, o.Hash)
	require.Equal(t, FilterSliced, o.Filter)
	require.Equal(t, 13, o.FilterBits)
	require.Equal(t, int64(256<<20), o.MemoryBytes)
	require.Equal(t, int64(128<<20), o.CacheBytes)
	require.Equal(t, int64(64<<20), o.SegmentBytes)
	require.Equal(t, int64(256<<20), o.WALBytes)
	require.NotNil(t, o.FS)
	require.NotNil(t, o.Logger)
	require.NotNil(t, o.Now)
	small := Options{Window: time.Hour, MaxBytes: 32 << 20}.withDefaults()
	require.Equal(t, int64(1<<20), small.SegmentBytes, "a small store has a small log")
}

// TestTableSize: tables share the budget, and MaxKeys must not be overshot by what is not sealed.
func TestTableSize(t *testing.T) {
	limit := func(o Options, partitions int) int {
		o.Window = time.Hour
		e := &Engine{opt: o.withDefaults()}
		e.sizeTables(partitions)
		return e.tableLimit()
	}
	require.Equal(t, 1<<20, limit(Options{}, 1))
	require.Less(t, limit(Options{}, 10), 200_000)
	require.Equal(t, 4<<10, limit(Options{}, 5000))
	require.Equal(t, 77, limit(Options{TableKeys: 77}, 5000))
	require.Equal(t, 25, limit(Options{MaxKeys: 1000}, 5))
	require.Equal(t, 1, limit(Options{MaxKeys: 1}, 5))
}
