package index

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sort"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"
)

// runSource makes sorted runs of a bucket that have no key in common and cost
// nothing to make: one random run, turned around the circle of hashes.
type runSource struct{ base []Entry }

func newRunSource(n int) *runSource { return &runSource{randomEntries(1, n, 0)} }

// run is the i-th run; its offsets follow those of the run before.
func (s *runSource) run(i int) iter.Seq[Entry] {
	turn := uint64(i) * 0x9e3779b97f4a7c15
	first := sort.Search(len(s.base), func(j int) bool { return s.base[j].Hi+turn < turn })
	offset := 1e9 + int64(i)*int64(len(s.base))
	return func(yield func(Entry) bool) {
		for _, part := range [][]Entry{s.base[first:], s.base[:first]} {
			for _, e := range part {
				if !yield(Entry{e.Hi + turn, e.Lo, e.Offset + offset}) {
					return
				}
			}
		}
	}
}

// entry is the j-th entry of the i-th run, in no order.
func (s *runSource) entry(i, j int) Entry {
	e := s.base[j]
	return Entry{e.Hi + uint64(i)*0x9e3779b97f4a7c15, e.Lo, e.Offset + 1e9 + int64(i)*int64(len(s.base))}
}

// processorTime of this process, all threads, user and system.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkLife is the whole way of a key into the index: sealed runs of 1 Mi
// keys, one after the other, into two buckets, and all compactions until they
// rest. Per new key: ns of processor time and of the clock, bytes written to
// files, bytes on disk; and the cost of a lookup in a bucket whose runs are
// stacked, and in one that is merged.
//
//	go test -run=^$ -bench='Life/keys=20M' -benchtime=1x ./internal/index
func BenchmarkLife(b *testing.B) {
	for _, millions := range []int{20, 100} {
		b.Run(fmt.Sprintf("keys=%dM", millions), func(b *testing.B) {
			for range b.N {
				life(b, millions, nil)
			}
		})
	}
}

func life(b *testing.B, runs int, tune func(*pebble.Options)) {
	const n = 1 << 20
	src := newRunSource(n)
	x, err := Open(b.TempDir(), Options{CacheBytes: 64 << 20, tune: tune})
	require.NoError(b, err)
	defer func() { require.NoError(b, x.Close()) }()
	start, cpu := time.Now(), processorTime()
	deepest := 0
	for bucket := range uint64(2) {
		for i := range runs {
			require.NoError(b, x.WaitL0(ctxb, 0))
			require.NoError(b, x.Ingest(ctxb, []Run{{Partition: 1, Bucket: bucket, Entries: src.run(i)}}, nil))
			deepest = max(deepest, x.Metrics().L0Sublevels)
		}
	}
	newest, deep := lookups(b, x, src, 1, runs), x.Metrics().L0Sublevels
	for range 2 { // the second bucket ends, and its last late mark has come
		require.NoError(b, x.Ingest(ctxb, []Run{run(1, 2, Entry{1, 1, 1})}, nil))
	}
	rest(b, x)
	cpu, wall := processorTime()-cpu, time.Since(start)
	keys := float64(2 * runs * n)
	m := x.db.Metrics()
	b.ReportMetric(float64(cpu.Nanoseconds())/keys, "cpu-ns/key")
	b.ReportMetric(float64(wall.Nanoseconds())/keys, "ns/key")
	total := m.Total()
	b.ReportMetric(float64(total.TableBytesCompacted+total.TableBytesIngested)/keys, "written-bytes/key")
	b.ReportMetric(float64(total.TablesSize)/keys, "disk-bytes/key")
	b.ReportMetric(float64(deepest), "sublevels")
	b.ReportMetric(float64(m.Compact.Count), "compactions")
	b.ReportMetric(lookups(b, x, src, 0, runs), "ns/get-old")
	b.ReportMetric(newest, "ns/get-stacked")
	b.ReportMetric(float64(deep), "stacked")
	b.ReportMetric(0, "ns/op")
}

// lookups returns the ns of a Get of a key of the bucket.
func lookups(b *testing.B, x *Index, src *runSource, bucket uint64, runs int) float64 {
	const n = 50_000
	r, err := x.Reader()
	require.NoError(b, err)
	defer r.Close()
	rng := rand.New(rand.NewPCG(3, 3))
	start := time.Now()
	for range n {
		e := src.entry(rng.IntN(runs), rng.IntN(len(src.base)))
		offset, ok, err := r.Get(1, bucket, e.Hi, e.Lo)
		if err != nil || !ok || offset != e.Offset {
			b.Fatal(offset, ok, err)
		}
	}
	return float64(time.Since(start).Nanoseconds()) / n
}

// rest waits until there are no compactions for a while, and none to come.
func rest(tb testing.TB, x *Index) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(ctxb, 10*time.Minute)
	defer cancel()
	for quiet := 0; quiet < 3; time.Sleep(20 * time.Millisecond) {
		require.NoError(tb, ctx.Err())
		_, _, due := x.settler.next()
		if x.Metrics().CompactionsActive > 0 || due != nil {
			quiet = 0
		} else {
			quiet++
		}
	}
}

// TestRunSource: the benchmark's runs are sorted and have no key in common.
func TestRunSource(t *testing.T) {
	src := newRunSource(1000)
	seen := map[[2]uint64]bool{}
	for i := range 20 {
		es := slices.Collect(src.run(i))
		require.Len(t, es, 1000)
		require.True(t, slices.IsSortedFunc(es, compareEntries))
		for _, e := range es {
			require.False(t, seen[[2]uint64{e.Hi, e.Lo}])
			seen[[2]uint64{e.Hi, e.Lo}] = true
		}
		require.True(t, seen[[2]uint64{src.entry(i, 7).Hi, src.entry(i, 7).Lo}])
	}
}
