package index

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkDelay is what sealing and merging at full load do to a goroutine that
// has 20 us of work every 200 us, as a Check has: how late the work is done. One
// bucket of 16 runs is merged all the time, while the next is sealed.
//
//	go test -run=^$ -bench=BenchmarkDelay -benchtime=1x ./internal/index
func BenchmarkDelay(b *testing.B) {
	for range b.N {
		src := newRunSource(1 << 19)
		x, err := Open(b.TempDir(), Options{CacheBytes: 64 << 20})
		require.NoError(b, err)
		stop, stopped := make(chan struct{}), make(chan []time.Duration)
		go func() { stopped <- delays(stop) }()
		for bucket := range uint64(4) {
			for i := range 16 {
				require.NoError(b, x.WaitL0(ctxb, 0))
				require.NoError(b, x.Ingest(ctxb, []Run{{Partition: 1, Bucket: bucket, Entries: src.run(i)}}, nil))
			}
		}
		close(stop)
		late := <-stopped
		require.NoError(b, x.Close())
		slices.Sort(late)
		for _, q := range []struct {
			name string
			at   float64
		}{{"p50-us", 0.5}, {"p99-us", 0.99}, {"p99.9-us", 0.999}, {"p99.99-us", 0.9999}} {
			b.ReportMetric(float64(late[int(q.at*float64(len(late)))].Nanoseconds())/1000, q.name)
		}
		b.ReportMetric(float64(len(late)), "samples")
		b.ReportMetric(0, "ns/op")
	}
}

func delays(stop chan struct{}) (late []time.Duration) {
	late = make([]time.Duration, 0, 1<<18)
	for {
		select {
		case <-stop:
			return late
		default:
		}
		at := time.Now()
		time.Sleep(200 * time.Microsecond)
		for work := time.Now(); time.Since(work) < 20*time.Microsecond; {
		}
		late = append(late, time.Since(at)-220*time.Microsecond)
	}
}
