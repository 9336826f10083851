package kafka

import (
	"context"
	"time"
)

// Back pressure, in two steps, because each alone is bad:
//
// Pausing a partition at its bound is what protects the others from one whose output is slow. But kgo throws away what
// it has buffered of a paused partition and fetches it again after, and when the relay as a whole is the slower side
// (catching up: always), all partitions would be paused and resumed all the time, fetching much twice.
//
// So the poll loop first waits a moment. Where all are busy alike, the crowded partitions get under their bound in that
// time and nothing is paused; the client's own buffer fills and its fetching stops by itself. A partition that stays
// crowded is paused, and costs the others that moment once.
const crowdedGrace = 100 * time.Millisecond

// fullness of a worker's queue.
const (
	notFull uint32 = iota
	crowded        // at its bound: the poll loop waits
	paused         // fetching is paused
)

// pushBack returns when no queue is crowded, pausing those that stay so. Called by the poll loop, with rebalances allowed.
func (r *Relay) pushBack(ctx context.Context) {
	full := r.crowded()
	if len(full) == 0 {
		return
	}
	grace := time.NewTimer(crowdedGrace)
	defer grace.Stop()
	for len(full) > 0 {
		select {
		case <-r.relief:
			full = r.crowded()
		case <-ctx.Done():
			return
		case <-grace.C:
			for _, w := range full {
				r.pauseFetch(w)
			}
			return
		}
	}
}

func (r *Relay) crowded() (full []*worker) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.mu.workers {
		if w.full.Load() == crowded {
			full = append(full, w)
		}
	}
	return full
}

// relieved is told by a worker that its queue is down to half its bound, and what it was before.
func (r *Relay) relieved(part int32, was uint32) {
	switch was {
	case crowded:
		select {
		case r.relief <- struct{}{}:
		default:
		}
	case paused:
		r.resumeFetch(part)
	}
}

// pauseFetch pauses a partition that is crowded still. pauseMu is held over the mark and the call: a worker that sees the
// mark and wants to resume waits for it, so its resume cannot come before the pause and leave the partition paused for ever.
func (r *Relay) pauseFetch(w *worker) {
	r.pauseMu.Lock()
	defer r.pauseMu.Unlock()
	w.mu.Lock()
	pause := w.full.Load() == crowded && !w.draining && !w.killed
	if pause {
		w.full.Store(paused)
	}
	w.mu.Unlock()
	if pause {
		r.cl.PauseFetchPartitions(map[string][]int32{r.cfg.Input: {w.part}})
		r.pauses.Add(1)
	}
}

func (r *Relay) resumeFetch(part int32) {
	r.pauseMu.Lock()
	defer r.pauseMu.Unlock()
	r.cl.ResumeFetchPartitions(map[string][]int32{r.cfg.Input: {part}})
}

// shareQueues divides the bound of all queues among n partitions.
func (r *Relay) shareQueues(n int) {
	r.queueBound.Store(max(1, min(r.cfg.QueueBytes, r.cfg.TotalQueueBytes/int64(max(1, n)))))
}
