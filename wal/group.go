package wal

import (
	"context"
	"time"

	"noecho/internal/invariants"
)

// Group commit, by a leader.
//
// One fdatasync for each Sync would bound the log to the latency of the device. Instead the first
// caller who finds no leader becomes it: it takes the pending group, writes and syncs it without
// the lock, while others append to the second group and queue up. Leaving, it wakes whom its sync
// served, and one of the rest, who leads next. With n partitions committing at once this makes two
// syncs in place of n. (Helland et al., "Group Commit Timers and High Volume Transaction Systems",
// HPTS 1987; no timer here: the device's own latency is the gathering time.)
//
//	Append ----> pending --(leader takes)--> flight --write, fdatasync--> durable
//	   Append -> pending'        ...           |                            |
//	   Sync: queue up                          +-- wake the served, and the next leader

// waiter is a caller asleep in Sync.
type waiter struct {
	target  Position
	patient bool          // does not lead: see Await
	wake    chan struct{} // one token: look again
}

// waitLocked sleeps until a leader left, or ctx is done. It gives the lock up meanwhile. The caller
// looks again; nothing is promised.
func (l *Log) waitLocked(ctx context.Context, target Position, patient bool) {
	var w *waiter
	if n := len(l.mu.free); n > 0 {
		w, l.mu.free = l.mu.free[n-1], l.mu.free[:n-1]
	} else {
		w = &waiter{wake: make(chan struct{}, 1)}
	}
	w.target, w.patient = target, patient
	l.mu.waiters = append(l.mu.waiters, w)
	l.mu.Unlock()
	woken := false
	select {
	case <-w.wake:
		woken = true
	case <-ctx.Done():
	}
	l.mu.Lock()
	if !woken && !l.forgetLocked(w) {
		<-w.wake // woken between ctx's end and the lock; the token must not stay for the next user
	}
	l.mu.free = append(l.mu.free, w)
}

// forgetLocked takes w from the queue. It says false if it was not there: then it was woken.
func (l *Log) forgetLocked(w *waiter) bool {
	for i, other := range l.mu.waiters {
		if other == w {
			l.mu.waiters = append(l.mu.waiters[:i], l.mu.waiters[i+1:]...)
			return true
		}
	}
	return false
}

// wakeLocked wakes those whom the log has an answer for, and, where no one leads, the first of the
// others that is not patient: whoever is called to lead and does not want to must call this again, or the rest would
// sleep for ever.
func (l *Log) wakeLocked() {
	rest := l.mu.waiters[:0]
	called := l.mu.leading
	for _, w := range l.mu.waiters {
		answered := l.mu.synced >= w.target || l.mu.poison != nil
		if answered || !called && !w.patient {
			called = called || !answered
			w.wake <- struct{}{}
			continue
		}
		rest = append(rest, w)
	}
	l.mu.waiters = rest
}

// leadLocked writes and syncs the pending group. It gives the lock up meanwhile.
// REQUIRES: nobody leads, the log is not poisoned.
func (l *Log) leadLocked() {
	g, durable, end := l.mu.pending, l.mu.synced, l.mu.end
	if invariants.Enabled {
		invariants.Assert(!l.mu.leading && l.mu.poison == nil, "second leader, or a leader of a poisoned log")
		invariants.Assert(durable < end && len(g.buf) > 0, "a leader with nothing to write")
	}
	l.mu.leading = true
	l.mu.pending, l.mu.idle = l.mu.idle, nil
	l.mu.turn.Broadcast() // there is room to append again
	l.mu.Unlock()

	bytes := len(g.buf)
	frames, err := l.write(g, durable)

	l.mu.Lock()
	g.reset()
	l.mu.idle = g
	l.mu.leading = false
	if err != nil {
		l.poisonLocked(err)
	} else {
		l.mu.synced = end
		l.mu.clean = l.active.trailer
		last := &l.mu.segments[len(l.mu.segments)-1]
		last.end = l.active.offset
		last.size = max(last.size, last.end)
		l.mu.metrics.Appended += uint64(bytes)
		l.mu.metrics.Syncs++
		l.mu.metrics.SyncedFrames += uint64(frames)
	}
	l.wakeLocked()
	l.mu.turn.Broadcast()
}

// write brings a group to stable storage, over as many segments as it has, and says how many frames
// of the caller it held. Owner: the leader.
//
// A segment is durable to its end before the next one begins, so only the last segment can have a
// torn tail.
func (l *Log) write(g *group, durable Position) (frames int, poison *PoisonedError) {
	start := 0
	for _, c := range g.cuts {
		n, err := l.writePiece(g.buf[start:c.at], durable)
		if err != nil {
			return 0, err
		}
		if err := l.roll(c.number); err != nil {
			return 0, err
		}
		start, frames = c.at, frames+n
	}
	n, err := l.writePiece(g.buf[start:], durable)
	l.askForSpare()
	return frames + n, err
}

// writePiece seals, writes and syncs frames of one segment.
// The buffer belongs to the file system after WriteAt: it is not looked at again.
func (l *Log) writePiece(buf []byte, durable Position) (frames int, poison *PoisonedError) {
	if len(buf) == 0 {
		return 0, nil
	}
	a := &l.active
	for done := int64(0); done < int64(len(buf)); {
		if a.trailer = buf[done+12] == frameTrailer; !a.trailer {
			frames++
		}
		done += a.scratch.seal(buf[done:], at(a.number, a.offset+done), durable)
	}
	if invariants.Enabled {
		invariants.Assert(a.offset%frameAlign == 0 && durable <= at(a.number, a.offset),
			"frames over what is durable")
	}
	if _, err := a.file.WriteAt(buf, a.offset); err != nil {
		return 0, &PoisonedError{Op: "write", Path: a.path, Err: err}
	}
	began := time.Now()
	if err := a.file.SyncData(); err != nil {
		return 0, &PoisonedError{Op: "sync", Path: a.path, Err: err}
	}
	a.offset += int64(len(buf))
	if l.options.OnSync != nil {
		l.options.OnSync(time.Since(began), frames)
	}
	return frames, nil
}
