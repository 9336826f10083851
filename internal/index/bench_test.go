package index

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// randomEntries returns n sorted entries with random hashes and offsets near base.
func randomEntries(seed uint64, n int, base int64) []Entry {
	rng := rand.New(rand.NewPCG(seed, 1))
	es := make([]Entry, n)
	for i := range es {
		es[i] = Entry{Hi: rng.Uint64(), Lo: rng.Uint64(), Offset: base + rng.Int64N(int64(n))}
	}
	slices.SortFunc(es, compareEntries)
	return es
}

func compareEntries(a, b Entry) int {
	switch {
	case a.Hi < b.Hi || a.Hi == b.Hi && a.Lo < b.Lo:
		return -1
	case a == b || a.Hi == b.Hi && a.Lo == b.Lo:
		return 0
	default:
		return 1
	}
}

// BenchmarkIngest: ns/key of one Ingest of a sorted run, on the real file
// system, fsync included; bytes/key on disk after a full compaction.
//
//	go test -run=^$ -bench=BenchmarkIngest -benchtime=5x ./internal/index
func BenchmarkIngest(b *testing.B) {
	for _, block := range []int{4 << 10, 8 << 10, 16 << 10, 32 << 10} {
		b.Run(fmt.Sprintf("keys=1M/block=%d", block), func(b *testing.B) {
			const n = 1 << 20
			es := randomEntries(1, n, 1e9)
			x, err := Open(b.TempDir(), Options{tune: func(p *pebble.Options) {
				p.DisableAutomaticCompactions = true
				for i := range p.Levels {
					p.Levels[i].BlockSize = block
				}
			}})
			require.NoError(b, err)
			defer x.Close()
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				err := x.Ingest(ctxb, []Run{{Partition: 1, Bucket: uint64(i), Entries: slices.Values(es)}}, nil)
				require.NoError(b, err)
			}
			b.StopTimer()
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/key")
			compactAll(b, x)
			bytes, err := x.DiskBytes(1, 0, 1<<40)
			require.NoError(b, err)
			b.ReportMetric(float64(bytes)/float64(b.N)/n, "bytes/key")
		})
	}
}

// BenchmarkGet: one lookup of an existing mark through a Reader.
//
//	go test -run=^$ -bench=BenchmarkGet -benchtime=200000x ./internal/index
func BenchmarkGet(b *testing.B) {
	const n, runs = 1 << 20, 4
	for _, shape := range []string{"compacted", "runs=2", "runs=4"} {
		for _, cache := range []int64{32 << 20, 256 << 20} {
			b.Run(fmt.Sprintf("keys=4M/%s/cache=%dMiB", shape, cache>>20), func(b *testing.B) {
				x, err := Open(b.TempDir(), Options{CacheBytes: cache, tune: func(p *pebble.Options) {
					p.DisableAutomaticCompactions = true
				}})
				require.NoError(b, err)
				defer x.Close()
				var all []Entry
				for i := range runs {
					es := randomEntries(uint64(i), n, 1e9)
					all = append(all, es...)
					require.NoError(b, x.Ingest(ctxb, []Run{{Partition: 1, Bucket: 1, Entries: slices.Values(es)}}, nil))
					if shape == "compacted" && i == runs-1 || shape == "runs=2" && i == runs-3 {
						compactAll(b, x)
					}
				}
				r, err := x.Reader()
				require.NoError(b, err)
				defer r.Close()
				rng := rand.New(rand.NewPCG(9, 9))
				b.Logf("%+v", x.Metrics())
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					e := all[rng.IntN(len(all))]
					off, ok, err := r.Get(1, 1, e.Hi, e.Lo)
					if err != nil || !ok || off != e.Offset {
						b.Fatal(off, ok, err)
					}
				}
			})
		}
	}
}

// BenchmarkReaderOpenClose: what a batch pays before its first lookup.
func BenchmarkReaderOpenClose(b *testing.B) {
	x, err := Open("d", Options{FS: vfs.NewMem()})
	require.NoError(b, err)
	defer x.Close()
	es := randomEntries(1, 1000, 1e9)
	require.NoError(b, x.Ingest(ctxb, []Run{{Partition: 1, Bucket: 1, Entries: slices.Values(es)}}, nil))
	var r Reader
	b.ReportAllocs()
	for range b.N {
		if err := x.ResetReader(&r); err != nil {
			b.Fatal(err)
		}
		r.Close()
	}
}

// BenchmarkStack: lookups over 17 runs of 1 Mi keys that are not merged: of keys
// that are there, and of keys that are not (what a false positive of the filter
// in front costs), with the blocks these read.
//
//	go test -run=^$ -bench=BenchmarkStack -benchtime=1x ./internal/index
func BenchmarkStack(b *testing.B) {
	const runs, n = 17, 50_000
	src := newRunSource(1 << 20)
	x, err := Open(b.TempDir(), Options{CacheBytes: 64 << 20})
	require.NoError(b, err)
	defer x.Close()
	for i := range runs {
		require.NoError(b, x.Ingest(ctxb, []Run{{Partition: 1, Bucket: 1, Entries: src.run(i)}}, nil))
	}
	absent := randomEntries(99, n, 1)
	for range b.N {
		lookups(b, x, src, 1, runs) // fills the cache
		b.ReportMetric(lookups(b, x, src, 1, runs), "ns/present")
		r, err := x.Reader()
		require.NoError(b, err)
		before, start := x.db.Metrics().Filter, time.Now()
		for _, e := range absent {
			if _, ok, err := r.Get(1, 1, e.Lo, e.Hi); ok || err != nil {
				b.Fatal(ok, err)
			}
		}
		b.ReportMetric(float64(time.Since(start).Nanoseconds())/n, "ns/absent")
		b.ReportMetric(float64(x.db.Metrics().Filter.Misses-before.Misses)/n, "blocks/absent")
		require.NoError(b, r.Close())
	}
	b.ReportMetric(0, "ns/op")
}
