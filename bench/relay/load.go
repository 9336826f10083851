package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// load fills the input topic: records with a key of their own, copies spread over the past of their partition.
func (b *bench) load(ctx context.Context) error {
	rng := rand.New(rand.NewPCG(1, 2)) // the same input in every comparison
	originals := make([]int, b.partitions)
	var failed error
	var once sync.Once
	now := time.Now()
	for i := range b.records {
		p := i % b.partitions
		n := originals[p]
		if n > 0 && rng.Float64() < b.copies {
			n = rng.IntN(n)
		} else {
			originals[p]++
			b.want++
		}
		b.cl.Produce(ctx, &kgo.Record{
			Topic: b.input, Partition: int32(p), Timestamp: now,
			Key: fmt.Appendf(nil, "order-%d-%d", p, n), Value: value(p, n, b.bytes),
		}, func(_ *kgo.Record, err error) {
			if err != nil {
				once.Do(func() { failed = err })
			}
		})
	}
	if err := b.cl.Flush(ctx); err != nil {
		return err
	}
	return failed
}

// value looks like what people send: half of it is the same in each record, half can't be guessed.
func value(partition, n, size int) []byte {
	rng := rand.New(rand.NewPCG(uint64(partition), uint64(n)))
	v := fmt.Appendf(nil, `{"order":%d,"partition":%d,"state":"created","items":"`, n, partition)
	for len(v) < size-2 {
		v = fmt.Appendf(v, "%016x", rng.Uint64())
	}
	return append(v[:size-2], `"}`...)
}
