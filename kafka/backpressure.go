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
// So from some megabytes on (enough) a queue is crowded, and the poll loop does not poll: the client's own buffer fills, and
// its fetching stops by itself. It waits as long as every partition has work. When one has none, it may be starving behind
// the crowded ones, or have no input; the loop cannot know, so it polls every few milliseconds, and the crowded queues
// grow by a fetch each time. Only one that gets to its bound in this way is paused.
const starvingPause = 10 * time.Millisecond

// enoughBytes is what keeps a worker busy for some tens of milliseconds, longer than a fetch takes. More is no help: when
// the relay is the slower side a queue is always as long as it may be, and records that wait in a long one have left the
// processor's cache when their turn comes.
const enoughBytes = 4 << 20

// enough returns the bytes from which on a queue with that bound is crowded.
func enough(bound int64) int64 { return min(bound/2, enoughBytes) }

// fullness of a worker's queue. It goes back to notFull when half of what is enough is left.
const (
	notFull uint32 = iota
	crowded        // has enough, or more
	paused         // was at its bound: fetching is paused
)

// pushBack returns when it is time to poll. Called by the poll loop, with rebalances allowed.
func (m *member) pushBack(ctx context.Context) {
	for {
		wait, starving := m.crowding()
		if !wait {
			return
		}
		var late <-chan time.Time
		if starving {
			late = time.After(starvingPause)
		}
		select {
		case <-m.relief:
		case <-ctx.Done():
			return
		case <-late:
			return
		}
	}
}

// crowding pauses the queues at their bound, and says whether others are crowded and whether some have no work.
func (m *member) crowding() (wait, starving bool) {
	bound := m.queueBound.Load()
	for _, a := range m.assignments() {
		switch size := a.queue.bytes.Load(); {
		case a.full.Load() == crowded && size >= bound:
			m.pauseFetch(a)
		case a.full.Load() == crowded:
			wait = true
		case size == 0:
			starving = true
		}
	}
	return wait, starving
}

// relieved is told by an assignment that its queue is down to a quarter of its bound and what it was before, or that it is empty.
func (m *member) relieved(a *assignment, was uint32) {
	if was == paused {
		m.resumeFetch(a)
		return
	}
	wakeUp(m.relief)
}

// pauseFetch pauses a partition that is crowded. pauseMu is held over the mark and the call: a worker that sees the
// mark and wants to resume waits for it, so its resume cannot come before the pause and leave the partition paused for ever.
func (m *member) pauseFetch(a *assignment) {
	m.pauseMu.Lock()
	defer m.pauseMu.Unlock()
	a.mu.Lock()
	pause := a.full.Load() == crowded && !a.draining && !a.killed
	if pause {
		m.pauses.Add(1) // first: who sees a partition paused finds it counted
		a.full.Store(paused)
	}
	a.mu.Unlock()
	if pause {
		m.cl.PauseFetchPartitions(map[string][]int32{m.cfg.Input: {a.part}})
	}
}

// resumeFetch undoes a pause, unless the queue has filled and was paused again since the worker looked: then the resume
// comes too late, and the worker, which sees that mark the next time, will make another.
func (m *member) resumeFetch(a *assignment) {
	m.pauseMu.Lock()
	defer m.pauseMu.Unlock()
	if a.full.Load() != paused {
		m.cl.ResumeFetchPartitions(map[string][]int32{m.cfg.Input: {a.part}})
	}
}

// shareMemory divides what all queues may hold among n partitions.
func (m *member) shareMemory(n int) {
	share := m.cfg.TotalQueueBytes / int64(max(1, n))
	m.queueBound.Store(max(1, min(m.cfg.QueueBytes, share)))
	m.role.share(share)
}
