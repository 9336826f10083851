package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// script says what the input holds, record by record, and judges what is made of it.
type script interface {
	size() int                // partitions
	head(partition int) int64 // offset of the partition's next record
	take(partition int, topic string) *kgo.Record
	judge(input string) judge // of what was taken; input is the topic's name
}

// judge judges an output topic.
type judge interface {
	add(r *kgo.Record)
	verdict() error // nil: the output is what it must be
	String() string
}

// feed is the producer: it writes the next records of a plan to the input topic at a steady rate, whoever is dead meanwhile.
type feed struct {
	plan    script // owned by run until done is closed
	seed    uint64 // of the choice of partitions
	records int
	rate    int          // records a second
	limit   atomic.Int64 // records it may write so far; raised by whoever watches the relay

	done chan struct{}
	err  error // read after done
}

func (f *feed) start(ctx context.Context, b *broker, topic string) {
	f.done = make(chan struct{})
	go func() {
		defer close(f.done)
		f.err = f.run(ctx, b, topic)
	}()
}

func (f *feed) run(ctx context.Context, b *broker, topic string) error {
	cl, err := b.client(kgo.ProducerLinger(2 * time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	var failed atomic.Pointer[error]
	rng := rand.New(rand.NewPCG(f.seed, uint64(f.plan.size())))
	start := time.Now()
	for i := range f.records {
		p := rng.IntN(f.plan.size())
		want := f.plan.head(p)
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
			time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / time.Duration(f.rate))))
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
