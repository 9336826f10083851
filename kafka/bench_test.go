package kafka

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/engine"
)

// BenchmarkRelay copies a topic to another: relay=noecho with 20 % copies in it, against relay=bare, what anyone would
// write with the client alone: consume, produce to the same partition, commit each second; no dedup. One op is one record.
//
// KAFKA_BROKERS=host:port takes a real broker in place of the one in the process. -benchtime 2000000x is the issue's
// figure; with few records the start of the group is most of what is measured.
func BenchmarkRelay(b *testing.B) {
	for _, partitions := range []int32{4} {
		for _, size := range []int{100, 1000} {
			for _, relay := range []string{"bare", "noecho"} {
				b.Run(fmt.Sprintf("partitions=%d/valueSize=%d/relay=%s", partitions, size, relay), func(b *testing.B) {
					f := newField(b, partitions, size)
					if relay == "bare" {
						f.bare(b)
					} else {
						f.noecho(b)
					}
				})
			}
		}
	}
}

// field is a broker with an input of b.N records and an empty output.
type field struct {
	seeds   kgo.Opt
	in, out string
	n       int64 // records in the input
	parts   int32
}

func newField(b *testing.B, parts int32, size int) *field {
	f := &field{parts: parts, n: int64(b.N)}
	run := rand.Uint32()
	f.in, f.out = fmt.Sprintf("bench-in-%08x", run), fmt.Sprintf("bench-out-%08x", run)
	addrs := strings.Split(os.Getenv("KAFKA_BROKERS"), ",")
	if addrs[0] == "" {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
		require.NoError(b, err)
		b.Cleanup(cluster.Close)
		addrs = cluster.ListenAddrs()
	}
	f.seeds = kgo.SeedBrokers(addrs...)
	cl, err := kgo.NewClient(f.seeds, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(10*time.Millisecond))
	require.NoError(b, err)
	defer cl.Close()
	adm := kadm.NewClient(cl)
	for _, topic := range []string{f.in, f.out} {
		_, err := adm.CreateTopic(context.Background(), parts, 1, nil, topic)
		require.NoError(b, err)
	}
	b.Cleanup(func() {
		cl, err := kgo.NewClient(f.seeds)
		require.NoError(b, err)
		defer cl.Close()
		_, err = kadm.NewClient(cl).DeleteTopics(context.Background(), f.in, f.out)
		require.NoError(b, err)
	})
	rng := rand.New(rand.NewPCG(1, uint64(size)))
	var failed atomic.Pointer[error]
	filler := make([]byte, size) // half noise, half not, as real payloads are
	for i := range size / 2 {
		filler[i] = byte(rng.Uint32())
	}
	for i := range b.N {
		id := uint64(i)
		if i > 0 && rng.IntN(5) == 0 {
			id = uint64(rng.IntN(i)) // a copy, of anything before that was in this partition
			id -= id % uint64(parts)
			id += uint64(i) % uint64(parts)
		}
		value := append([]byte(nil), filler...)
		binary.BigEndian.PutUint64(value, id*0x9e3779b97f4a7c15)
		cl.Produce(context.Background(), &kgo.Record{Topic: f.in, Partition: int32(i) % parts, Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(&err)
			}
		})
	}
	require.NoError(b, cl.Flush(context.Background()))
	require.Nil(b, failed.Load())
	return f
}

// noecho measures the relay from before its client is made to the last commit.
func (f *field) noecho(b *testing.B) {
	e, err := engine.Open(b.TempDir(), engine.Options{Window: 24 * time.Hour})
	require.NoError(b, err)
	defer e.Close()
	value, err := ParseKey("value")
	require.NoError(b, err)
	r, err := NewRelay(RelayConfig{Engine: e, Client: []kgo.Opt{f.seeds}, Input: f.in, Output: f.out, Group: f.in, Key: value})
	require.NoError(b, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	b.ReportAllocs()
	used := processorTime()
	b.ResetTimer()
	go func() { done <- r.Run(ctx) }()
	for {
		s := r.Stats()
		left := f.n
		for _, p := range s.Partitions {
			left -= p.Next
		}
		if left == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	stop()
	require.NoError(b, <-done)
	b.StopTimer()
	f.report(b, used)
	b.ReportMetric(float64(r.Stats().Pauses), "pauses")
	totals := r.Stats().Totals
	require.EqualValues(b, f.n, totals.Unique+totals.Redelivery+totals.Duplicate)
	b.ReportMetric(float64(totals.Duplicate)/float64(f.n), "dropped/op")
}

// bare measures the same with the client alone.
func (f *field) bare(b *testing.B) {
	b.ReportAllocs()
	used := processorTime()
	b.ResetTimer()
	cl, err := kgo.NewClient(f.seeds, kgo.ConsumerGroup(f.in), kgo.ConsumeTopics(f.in), kgo.DisableAutoCommit(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(100_000))
	require.NoError(b, err)
	defer cl.CloseAllowingRebalance()
	ctx := context.Background()
	var failed atomic.Pointer[error]
	last, read := time.Now(), int64(0)
	promise := func(_ *kgo.Record, err error) {
		if err != nil {
			failed.Store(&err)
		}
	}
	for read < f.n {
		fetches := cl.PollFetches(ctx)
		fetches.EachRecord(func(r *kgo.Record) {
			cl.Produce(ctx, &kgo.Record{Topic: f.out, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: r.Timestamp}, promise)
			read++
		})
		if time.Since(last) > time.Second {
			require.NoError(b, cl.Flush(ctx))
			require.NoError(b, cl.CommitUncommittedOffsets(ctx))
			last = time.Now()
		}
	}
	require.NoError(b, cl.Flush(ctx))
	require.NoError(b, cl.CommitUncommittedOffsets(ctx))
	b.StopTimer()
	require.Nil(b, failed.Load())
	f.report(b, used)
}

func (f *field) report(b *testing.B, used time.Duration) {
	b.ReportMetric(float64(f.n)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(processorTime()-used)/float64(f.n), "cpu-ns/op")
}
