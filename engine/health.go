package engine

import (
	"context"
	"errors"
	"math"

	"noecho/internal/index"
	"noecho/wal"
)

// healthy returns the reason why nothing can be done any more.
func (e *Engine) healthy() error {
	if p := e.poison.Load(); p != nil {
		return p
	}
	if e.closed.Load() {
		return ErrClosed
	}
	return nil
}

// Back pressure. Tables are filled faster than the disk takes them, and memory is bounded: somebody has to wait. The naive place is
// Check, which fills the tables; but a Check that waits for a seal takes a hundred milliseconds where it takes microseconds otherwise, in
// the one goroutine whose records have a deadline. A commit waits for the disk anyway. So it is CommitWait that waits, from half of the
// way on (pace), and whoever has a bounded number of commits under way is slowed down by that to what the disk takes. Check waits at the end
// of the way only (admit), where the caller commits rarely.

// admit lets a batch in, or waits while more tables wait for the disk than the memory budget allows.
func (e *Engine) admit() error {
	if err := e.healthy(); err != nil {
		return err
	}
	if e.unsealed.Load() <= e.memory.Load()/2 {
		return nil
	}
	e.roomMu.Lock()
	defer e.roomMu.Unlock()
	for e.unsealed.Load() > e.memory.Load()/2 {
		if err := e.healthy(); err != nil {
			return err
		}
		e.room.Wait()
	}
	return nil
}

// pace holds back whose commit is durable while the tables that wait for the disk take more than half of what they may. It gives up when ctx
// ends or the engine fails: the commit holds all the same.
func (e *Engine) pace(ctx context.Context) {
	if e.unsealed.Load() <= e.memory.Load()/4 {
		return
	}
	defer context.AfterFunc(ctx, e.wakeRoom)()
	e.roomMu.Lock()
	defer e.roomMu.Unlock()
	for e.unsealed.Load() > e.memory.Load()/4 && ctx.Err() == nil && e.healthy() == nil {
		e.room.Wait()
	}
}

// clockLimit is the largest timestamp that is believed.
func (e *Engine) clockLimit() int64 {
	if e.opt.MaxClockLead < 0 {
		return math.MaxInt64
	}
	return e.opt.Now().Add(e.opt.MaxClockLead).UnixMilli()
}

// fail poisons the engine with its first error and returns what callers get from then on. The errors of a closed log or
// index are no failure.
func (e *Engine) fail(err error) error {
	var done *PoisonedError
	switch {
	case errors.As(err, &done):
		return err
	case errors.Is(err, wal.ErrClosed), errors.Is(err, index.ErrClosed):
		return ErrClosed
	}
	p := &PoisonedError{Err: err}
	if !e.poison.CompareAndSwap(nil, p) {
		return e.poison.Load()
	}
	e.logger.Error("the store failed: nothing is acknowledged any more", "dir", e.dir, "err", err)
	if f := e.opt.Events.Poisoned; f != nil {
		f(p)
	}
	e.wakeRoom()
	return p
}

func (e *Engine) wakeRoom() {
	e.roomMu.Lock()
	e.room.Broadcast()
	e.roomMu.Unlock()
}
