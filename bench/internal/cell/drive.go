package cell

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"noecho/bench/internal/measure"
	"noecho/bench/internal/peer"
	"noecho/bench/internal/workload"
)

// Slices is how many points the curve of a run has.
const Slices = 100

// Fill makes the next records of a source.
type Fill func(s *workload.Source, b *workload.Batch, n int)

// Drive is one phase of a run: every partition is fed by Fill until its share of Records is done or the time is up.
type Drive struct {
	Kind     peer.Kind
	Workload workload.Workload
	Workers  []peer.Worker // one a partition
	Sources  []*workload.Source
	Fill     Fill
	Records  int64         // of all partitions together
	For      time.Duration // 0: until the records are done
	Tell     func(done int64, elapsed time.Duration)
}

// Phase is what a drive shows.
type Phase struct {
	Records    int64
	Duplicates int64
	Elapsed    time.Duration
	Latencies  *measure.Latencies
	Slices     []measure.Slice
}

// pending is a batch in flight.
type pending struct {
	begin               time.Time
	records, duplicates int
}

// lane is a partition under way.
type lane struct {
	*Drive
	partition  int
	share      int64
	until      time.Time
	done       *atomic.Int64
	duplicates int64 // of the goroutine that waits
	latencies  *measure.Latencies
}

// Run drives all partitions.
func (d *Drive) Run(ctx context.Context) (Phase, error) {
	var done atomic.Int64
	partitions := int64(len(d.Workers))
	lanes := make([]*lane, partitions)
	for i := range lanes {
		share := d.Records / partitions
		if int64(i) < d.Records%partitions {
			share++
		}
		lanes[i] = &lane{Drive: d, partition: i, share: share, done: &done, latencies: measure.NewLatencies()}
	}
	series := measure.Sample(&done, d.Tell)
	begin := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range lanes {
		if d.For > 0 {
			l.until = begin.Add(d.For)
		}
		g.Go(func() error { return l.run(ctx) })
	}
	err := g.Wait()
	p := Phase{Records: done.Load(), Elapsed: time.Since(begin), Latencies: measure.NewLatencies(), Slices: series.Stop(Slices)}
	for _, l := range lanes {
		p.Duplicates += l.duplicates
		p.Latencies.Merge(l.latencies)
	}
	return p, err
}

func (l *lane) run(ctx context.Context) error {
	depth := l.Kind.Depth(l.Workload.Batch * len(l.Workers))
	if depth == 1 {
		return l.feed(ctx, l.settle)
	}
	queue := make(chan pending, depth-1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(queue)
		return l.feed(ctx, func(p pending) error {
			select {
			case queue <- p:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	g.Go(func() error {
		for p := range queue {
			if err := l.settle(p); err != nil {
				return err
			}
		}
		return nil
	})
	return g.Wait()
}

// feed makes batches, starts them and hands them on.
func (l *lane) feed(ctx context.Context, hand func(pending) error) error {
	s, w, b := l.Sources[l.partition], l.Workers[l.partition], l.Workload.NewBatch(l.Workload.Batch)
	for left := l.share; left > 0 && ctx.Err() == nil; {
		if !l.until.IsZero() && time.Now().After(l.until) {
			return nil // before the fill: a source knows what it has made, so all of that must be started
		}
		l.Fill(s, b, int(min(left, int64(l.Workload.Batch))))
		n := len(b.Records)
		if n == 0 {
			return nil
		}
		begin := time.Now()
		if err := w.Start(b.Records); err != nil {
			return err
		}
		left -= int64(n)
		if err := hand(pending{begin, n, b.Duplicates}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// settle waits for the oldest batch.
func (l *lane) settle(p pending) error {
	got, err := l.Workers[l.partition].Wait()
	if err != nil {
		return err
	}
	l.latencies.Add(time.Since(p.begin))
	if got != p.duplicates {
		return &MismatchError{Peer: l.Kind.Name, Workload: l.Workload.Name, Partition: l.partition, Want: p.duplicates, Got: got}
	}
	l.duplicates += int64(got)
	l.done.Add(int64(p.records))
	return nil
}
