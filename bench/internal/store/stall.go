package store

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"noecho/bench/internal/child"
	"noecho/bench/internal/measure"
	"noecho/bench/internal/peer"
	"noecho/bench/internal/workload"
	"noecho/engine"
)

// StallSpec says how long to look, and how many keys a bucket of time gets.
type StallSpec struct {
	Dir        string
	Seconds    float64
	BucketKeys int64
}

// StallResult is the distribution of the time that a Check of 64 new keys took, and what went on meanwhile.
type StallResult struct {
	Latency     []measure.Percentile `json:"latency"`
	Records     int64                `json:"records"`
	Rate        float64              `json:"rate"`
	Seals       uint64               `json:"seals"`
	Compactions int64                `json:"compactions"`
	Expired     int64                `json:"expired"` // buckets
}

const stallBatch = 64

// Stall feeds new keys as fast as they become durable, in batches of 64, with stream time running so fast that buckets die
// all the time. The clock is on Check alone. A load that was not there is an error.
func Stall(ctx context.Context, spec StallSpec, tell func(child.Progress)) (r StallResult, err error) {
	o := peer.Options()
	o.TableKeys = int(spec.BucketKeys / 4) // so that there is something to merge in each bucket
	p, err := peer.OpenNoecho(spec.Dir, o)
	if err != nil {
		return r, err
	}
	defer func() {
		if e := p.Close(); err == nil {
			err = e
		}
	}()
	part, err := p.Engine.Partition("bench", 0)
	if err != nil {
		return r, err
	}
	bucketMs := workload.Window.Milliseconds() / 6 // the default of six buckets
	s := &stall{part: part, bucketMs: bucketMs, bucketKeys: spec.BucketKeys, queue: make(chan engine.Ticket, 16_384/stallBatch),
		latencies: measure.NewLatencies()}
	// The window is filled first: nothing dies before.
	begin := time.Now()
	warm := 8 * spec.BucketKeys
	total := time.Duration(spec.Seconds * float64(time.Second))
	var clock time.Time
	var before engine.Metrics
	err = s.run(ctx, func(next int64) bool {
		switch {
		case next < warm:
			if next%(1<<20) == 0 {
				tell(child.Progress{Note: "filling the window"})
			}
			return true
		case clock.IsZero():
			before = p.Engine.Metrics()
			clock = time.Now()
			s.latencies = measure.NewLatencies()
			s.from = next
		case next%(1<<18) == 0:
			tell(child.Progress{Done: min(1, time.Since(clock).Seconds()/spec.Seconds), Note: fmt.Sprintf("Check under load, %.2f M/s",
				float64(next)/time.Since(begin).Seconds()/1e6)})
		}
		return time.Since(clock) < total
	})
	if err != nil {
		return r, err
	}
	after := p.Engine.Metrics()
	r.Latency = s.latencies.Percentiles()
	r.Records = s.next - s.from
	r.Rate = float64(r.Records) / time.Since(clock).Seconds()
	r.Seals = after.Seals - before.Seals
	r.Compactions = after.Index.Compactions - before.Index.Compactions
	r.Expired = after.Partitions[0].Buckets[0].Number - before.Partitions[0].Buckets[0].Number
	switch {
	case r.Seals == 0:
		err = &IdleError{"sealing"}
	case r.Compactions == 0:
		err = &IdleError{"compaction"}
	case r.Expired == 0:
		err = &IdleError{"expiry"}
	}
	return r, err
}

// stall is a run under way.
type stall struct {
	part                 *engine.Partition
	bucketMs, bucketKeys int64
	queue                chan engine.Ticket // commits under way
	next                 int64
	from                 int64
	latencies            *measure.Latencies
}

// run checks batches while more says so. Another goroutine waits for the commits; as many batches are in flight as in every other run.
func (s *stall) run(ctx context.Context, more func(next int64) bool) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(s.queue)
		return s.feed(ctx, more)
	})
	g.Go(func() error {
		for t := range s.queue {
			if err := s.part.CommitWait(ctx, t); err != nil {
				return err
			}
		}
		return nil
	})
	return g.Wait()
}

func (s *stall) feed(ctx context.Context, more func(next int64) bool) error {
	w := fresh()
	src, b := w.NewSource(0, 1<<40), w.NewBatch(stallBatch)
	verdicts := make([]engine.Verdict, 0, stallBatch)
	for more(s.next) {
		src.Past(b, stallBatch)
		at := float64(s.next) / float64(s.bucketKeys) * float64(s.bucketMs)
		for i := range b.Records {
			b.Records[i].Timestamp = int64(at)
		}
		begin := time.Now()
		var err error
		verdicts, err = s.part.Check(b.Records, verdicts[:0])
		s.latencies.Add(time.Since(begin))
		if err != nil {
			return err
		}
		for i := range verdicts {
			if verdicts[i].Kind != engine.Unique {
				return &VerdictError{Offset: b.Records[i].Offset, Got: describe(verdicts[i]), Want: engine.Unique.String()}
			}
		}
		s.next += stallBatch
		t, err := s.part.CommitStart(s.next)
		if err != nil {
			return err
		}
		select {
		case s.queue <- t:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
