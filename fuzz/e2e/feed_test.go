package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// feed is the producer: it writes a plan to the input topic at a steady rate, whoever is dead meanwhile.
type feed struct {
	plan  *plan // owned by run until done is closed
	done  chan struct{}
	err   error        // read after done
	limit atomic.Int64 // records it may write so far; raised by whoever watches the relay
}

// startFeed produces the plan's next records at rate a second, in partitions drawn at random.
func startFeed(ctx context.Context, b *broker, topic string, p *plan, seed uint64, records, rate int) *feed {
	f := &feed{plan: p, done: make(chan struct{})}
	f.limit.Store(int64(records))
	go func() {
		defer close(f.done)
		f.err = f.run(ctx, b, topic, rand.New(rand.NewPCG(seed, partitions)), records, rate)
	}()
	return f
}

func (f *feed) run(ctx context.Context, b *broker, topic string, rng *rand.Rand, records, rate int) error {
	cl, err := b.client(kgo.ProducerLinger(2 * time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	var failed atomic.Pointer[error]
	start := time.Now()
	for i := range records {
		p := rng.IntN(partitions)
		want := f.plan.parts[p].offset
		cl.Produce(ctx, f.plan.take(p, topic), func(r *kgo.Record, err error) {
			if err == nil && r.Offset != want {
				err = fmt.Errorf("partition %d: planned for offset %d, stored at %d", r.Partition, want, r.Offset)
			}
			if err != nil {
				failed.CompareAndSwap(nil, &err)
			}
		})
		if err := failed.Load(); err != nil {
			return *err
		}
		if i%64 == 0 {
			time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / time.Duration(rate))))
		}
		for int64(i) >= f.limit.Load() && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
	}
	if err := cl.Flush(ctx); err != nil {
		return err
	}
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (f *feed) finished() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}
