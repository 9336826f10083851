package kafka

import (
	"errors"
	"math/rand/v2"
	"runtime/debug"
	"time"
)

// deliver gives the handler what passed, and again what of it failed, until all is done or the tries are used up. It
// leaves in passed what was not done: nothing, or with causes what is to be given up. A stop or a revocation lets a
// call finish, but does not wait for another: then nothing of the chunk is done, and errKilled is returned.
func (h *handling) deliver() error {
	retry := &h.c.cfg.Retry
	for attempt := 1; ; attempt++ {
		err := h.call(Batch{Topic: h.c.cfg.Topic, Partition: h.part, Records: h.passed, Attempt: attempt, again: h.again})
		switch {
		case err == nil:
			h.count.done(len(h.passed))
			h.passed, h.again = h.passed[:0], h.again[:0]
			return nil
		case h.ctx.Err() != nil || errors.Is(err, errKilled):
			return errKilled // nothing may be written any more, so it does not matter what became of the batch
		}
		panicked := (*PanicError)(nil)
		if errors.As(err, &panicked) {
			return h.handlerError(attempt, err)
		}
		h.keepFailed(err)
		if retry.Attempts >= 0 && attempt >= retry.Attempts {
			if h.c.cfg.OnError == OnErrorStop {
				return h.handlerError(attempt, err)
			}
			return nil
		}
		pause := retry.pause(attempt)
		if attempt == 1 || attempt%10 == 0 {
			h.c.log.Warn("the handler failed: trying again", "topic", h.c.cfg.Topic, "partition", h.part, "first", h.passed[0].Offset,
				"records", len(h.passed), "attempt", attempt, "pause", pause, "cause", err)
		}
		h.count.retries.Add(1)
		if !waitFor(h, time.After(pause)) {
			return errKilled
		}
	}
}

// pause returns how long to wait after that try, from half of the nominal time to all of it.
func (r *Retry) pause(attempt int) time.Duration {
	nominal := r.MaxBackoff
	if doubled := r.MinBackoff << min(attempt-1, 32); doubled > 0 && doubled>>min(attempt-1, 32) == r.MinBackoff {
		nominal = min(nominal, doubled)
	}
	return nominal - time.Duration(rand.Int64N(int64(nominal)/2+1))
}

// waitFor returns true when over has fired, and false when there is no time for it: the assignment was killed or drains.
func waitFor[T any](h *handling, over <-chan T) bool {
	for {
		h.mu.Lock()
		draining := h.draining
		h.mu.Unlock()
		if draining {
			return false
		}
		select {
		case <-over:
			return true
		case <-h.ctx.Done():
			return false
		case <-h.wake: // records, which can wait, or drain; run looks at both before it waits for the next
		}
	}
}

// call calls the handler once, within the bound on calls.
func (h *handling) call(b Batch) (err error) {
	if !h.enter() {
		return errKilled
	}
	begin := time.Now()
	returned := false
	defer func() {
		h.count.called(time.Since(begin))
		h.leave()
		if returned {
			return
		}
		if value := recover(); value != nil {
			err = &PanicError{Value: value, Stack: debug.Stack()}
			return
		}
		// runtime.Goexit (a test's FailNow): this goroutine ends here, whatever is returned, and somebody must be told.
		h.c.fail(h.handlerError(b.Attempt, errExited))
	}()
	err = h.c.cfg.Handler(h.ctx, b)
	returned = true
	return err
}

// enter waits until the partition is the member's for sure, and for a free slot; false: there is no time for it.
func (h *handling) enter() bool {
	if held := h.m.lease.held(); held != always && !waitFor(h, held) {
		return false
	}
	if h.c.slots == nil {
		return h.ctx.Err() == nil
	}
	for {
		h.mu.Lock()
		draining := h.draining
		h.mu.Unlock()
		if draining || h.ctx.Err() != nil {
			return false
		}
		select {
		case h.c.slots <- struct{}{}:
			return true
		case <-h.ctx.Done():
		case <-h.wake:
		}
	}
}

func (h *handling) leave() {
	if h.c.slots != nil {
		<-h.c.slots
	}
}

// keepFailed leaves in passed, again and causes what err says was not done: all of it, unless it names records. A
// name that makes no sense is a bug of the handler's, and nothing it says is believed.
func (h *handling) keepFailed(err error) {
	h.causes = h.causes[:0]
	for range h.passed {
		h.causes = append(h.causes, err)
	}
	var named *RecordErrors
	if !errors.As(err, &named) || len(named.Failed) == 0 {
		return
	}
	for _, f := range named.Failed {
		if f.Index < 0 || f.Index >= len(h.passed) {
			return
		}
	}
	clear(h.causes)
	for _, f := range named.Failed {
		if h.causes[f.Index] = f.Err; f.Err == nil {
			h.causes[f.Index] = f
		}
	}
	n := 0
	for i, cause := range h.causes {
		if cause != nil {
			h.passed[n], h.again[n], h.causes[n] = h.passed[i], h.again[i], cause
			n++
		}
	}
	h.count.done(len(h.passed) - n)
	h.passed, h.again, h.causes = h.passed[:n], h.again[:n], h.causes[:n]
}

func (h *handling) handlerError(attempts int, err error) error {
	return &HandlerError{Topic: h.c.cfg.Topic, Partition: h.part, First: h.passed[0].Offset, Last: h.passed[len(h.passed)-1].Offset,
		Records: len(h.passed), Attempts: attempts, Err: err}
}

// errExited: runtime.Goexit was called in the handler.
var errExited = errors.New("the handler ended its goroutine instead of returning")
