package relays

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Load fills the input topic: records with a key of their own, copies spread over the past of their partition.
func (b *Bench) Load(ctx context.Context) error {
	rng := rand.New(rand.NewPCG(1, 2)) // the same input in every comparison
	originals := make([]int, b.Partitions)
	var failed error
	var once sync.Once
	now := time.Now()
	for i := range b.Records {
		p := i % b.Partitions
		n := originals[p]
		if n > 0 && rng.Float64() < b.Copies {
			n = rng.IntN(n)
		} else {
			originals[p]++
			b.Want++
		}
		b.cl.Produce(ctx, &kgo.Record{
			Topic: b.Topic, Partition: int32(p), Timestamp: now,
			Key: fmt.Appendf(nil, "order-%d-%d", p, n), Value: Value(p, n, b.Bytes),
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

// Value looks like what people send: half of it is the same in each record, half can't be guessed.
func Value(partition, n, size int) []byte {
	rng := rand.New(rand.NewPCG(uint64(partition), uint64(n)))
	v := fmt.Appendf(nil, `{"order":%d,"partition":%d,"state":"created","items":"`, n, partition)
	for len(v) < size-2 {
		v = fmt.Appendf(v, "%016x", rng.Uint64())
	}
	return append(v[:size-2], `"}`...)
}
