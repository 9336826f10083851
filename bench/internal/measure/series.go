package measure

import (
	"sync/atomic"
	"time"
)

// Slice is a piece of a run.
type Slice struct {
	Records int64   `json:"records"` // done at its end
	Rate    float64 `json:"rate"`    // records a second during it
}

type sample struct {
	at   time.Duration
	done int64
}

// Series samples a counter while a run goes on.
type Series struct {
	begin   time.Time
	done    *atomic.Int64
	samples []sample
	stop    chan struct{}
	stopped chan struct{}
}

const sampleEvery = 20 * time.Millisecond

// Sample starts sampling done; now and then tell is called with it, if not nil.
func Sample(done *atomic.Int64, tell func(done int64, elapsed time.Duration)) *Series {
	s := &Series{begin: time.Now(), done: done, stop: make(chan struct{}), stopped: make(chan struct{})}
	s.samples = append(s.samples, sample{0, done.Load()})
	go func() {
		defer close(s.stopped)
		t := time.NewTicker(sampleEvery)
		defer t.Stop()
		told := s.begin
		for {
			select {
			case <-s.stop:
				return
			case now := <-t.C:
				n := done.Load()
				s.samples = append(s.samples, sample{now.Sub(s.begin), n})
				if tell != nil && now.Sub(told) > 200*time.Millisecond {
					told = now
					tell(n, now.Sub(s.begin))
				}
			}
		}
	}()
	return s
}

// Stop ends the sampling and gives the run in at most n slices of equally many records.
func (s *Series) Stop(n int) []Slice {
	end := sample{time.Since(s.begin), s.done.Load()}
	close(s.stop)
	<-s.stopped
	for len(s.samples) > 1 && s.samples[len(s.samples)-1].at >= end.at {
		s.samples = s.samples[:len(s.samples)-1]
	}
	return cut(append(s.samples, end), n)
}

// cut finds the moments at which each slice was full, by straight lines between samples. A slice shorter than two samples
// would only show the noise of sampling, so there are no more slices than half the samples.
func cut(samples []sample, n int) (slices []Slice) {
	first, last := samples[0], samples[len(samples)-1]
	total := last.done - first.done
	n = min(n, max(1, len(samples)/2))
	if total == 0 {
		return nil
	}
	i, begin := 0, first.at
	for k := 1; k <= n; k++ {
		target := first.done + total*int64(k)/int64(n)
		for samples[i+1].done < target {
			i++
		}
		a, b := samples[i], samples[i+1]
		end := b.at
		if b.done > a.done {
			end = a.at + time.Duration(float64(b.at-a.at)*float64(target-a.done)/float64(b.done-a.done))
		}
		records := target - (first.done + total*int64(k-1)/int64(n))
		if end > begin {
			slices = append(slices, Slice{Records: target, Rate: float64(records) / (end - begin).Seconds()})
		}
		begin = end
	}
	return slices
}
