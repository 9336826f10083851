package bloom_test

import (
	"bytes"
	"fmt"

	"noecho/bloom"
)

// hash stands for a seeded 128-bit hash of a key, such as xxh3-128 or SipHash-2-4-128.
func hash(key uint64) bloom.Hash {
	mix := func(x uint64) uint64 {
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		return x ^ x>>31
	}
	return bloom.Hash{Hi: mix(2*key + 1), Lo: mix(2*key + 2)}
}

// Two buckets of time, one of which ends.
func Example() {
	f := bloom.NewSliced(bloom.Options{})

	// Plane 0 is the bucket of the last hour, plane 1 of this one.
	f.Open(0, 0)
	f.Add(hash(7), 0)
	f.Open(1, f.Count(0))
	f.Add(hash(7), 1)
	f.Add(hash(8), 1)

	// A batch: much faster than one by one, once the filter is larger than the caches.
	batch := []bloom.Hash{hash(7), hash(8), hash(9)}
	masks := make([]bloom.Mask, len(batch))
	f.TestAll(batch, masks)
	for _, m := range masks {
		fmt.Printf("may be in planes %08b\n", m)
	}

	// The old bucket is dead: clear its plane, a little with every batch.
	for !f.ClearSome(0, 64<<10) {
	}
	fmt.Printf("after clearing   %08b\n", f.Test(hash(7)))

	// A clean shutdown saves the filter, so that the next start does not rebuild it.
	var file bytes.Buffer
	if err := bloom.Save(&file, f, []byte("generation 12")); err != nil {
		fmt.Println(err)
	}
	g, tag, err := bloom.Load(&file, int64(file.Len()))
	if err != nil {
		fmt.Println(err) // a *bloom.CorruptError: rebuild from the index
		return
	}
	fmt.Printf("%s: %s, %d keys\n", tag, g.Kind(), g.Count(1))
	// Output:
	// may be in planes 00000011
	// may be in planes 00000010
	// may be in planes 00000000
	// after clearing   00000010
	// generation 12: sliced, 2 keys
}
