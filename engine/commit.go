package engine

import (
	"context"
	"fmt"
	"time"
)

// Committing: the marks below an offset are brought to stable storage. One fdatasync takes a fraction of a millisecond, some hundred times
// what the decisions of a batch take, so a consumer that waits for each of them does little else. Commit waits, and shares the
// sync with all partitions that commit at the same moment. CommitStart does not: the syncer writes and syncs while the next batches
// are decided, and all that was started meanwhile is one sync again.
//
//	Check 1, CommitStart 1, Check 2, CommitStart 2, CommitWait 1, hand on 1, Check 3, ...
//	            '------- sync of 1 ------------------'

// Ticket names a commit that was started. The zero value is of one that is durable.
type Ticket struct {
	s    *shard
	next int64
	pos  position

	started bool // by CommitStart: the syncer knows of it
}

// Next is the offset that was given to CommitStart.
func (t Ticket) Next() int64 { return t.next }

// Commit says that everything below next is done, and returns when every mark below it is on stable storage. Commits of
// several partitions that arrive together share one fsync. next never goes down: a smaller one than before only waits
// for what was handed in so far. When ctx ends first its error is returned; the commit may still become durable.
func (p *Partition) Commit(ctx context.Context, next int64) error {
	t, err := p.start(next)
	if err != nil {
		return err
	}
	return p.CommitWait(ctx, t)
}

// CommitStart says the same, and does not wait: the marks below next are on their way to stable storage, and are there once
// CommitWait of the ticket has returned nil. Several may be under way; they become durable in the order they were started. It
// allocates nothing, and blocks only where the log takes in faster than the disk does.
func (p *Partition) CommitStart(next int64) (Ticket, error) {
	t, err := p.start(next)
	if err == nil && t.pos != 0 {
		t.started = true
		select {
		case p.s.e.syncKick <- struct{}{}:
		default: // it will see this one, too
		}
	}
	return t, err
}

// start cuts the frame that says so.
func (p *Partition) start(next int64) (Ticket, error) {
	s := p.s
	if err := s.e.healthy(); err != nil {
		return Ticket{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.closed {
		return Ticket{}, ErrClosed
	}
	if next > s.committed && next >= 0 {
		s.committed = next
		s.changed = true
	}
	err := s.cutFrame()
	return Ticket{s: s, next: s.committed, pos: s.lastPos}, err
}

// CommitWait returns when the marks of a commit that this partition started are on stable storage: only then may its offset be
// committed to Kafka. It returns later than that while new keys come in faster than the disk takes their tables. Any goroutine may call it, also when the handle was closed meanwhile. Errors and ctx as for Commit.
func (p *Partition) CommitWait(ctx context.Context, t Ticket) error {
	s := p.s
	if t.pos == 0 {
		return nil // nothing was ever logged since the store was opened
	}
	if t.s != s {
		return fmt.Errorf("%w: it is of %s/%d, not of %s/%d", ErrTicket, t.s.topic, t.s.partition, s.topic, s.partition)
	}
	sync := s.e.log.Sync
	if t.started {
		sync = s.e.log.Await // or the first who waits would sync by himself, and there were no pause
	}
	if err := sync(ctx, t.pos); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return s.e.fail(err)
	}
	s.lockAfterChecks()
	// By what is durable, and not by what was started since: a crash may take that back, and what is delivered again then must
	// find the buckets that it could see.
	before := s.durable
	s.durable = max(s.durable, t.next)
	s.expire()
	if n := len(s.buckets); n > 1 && before <= s.buckets[n-1].first && s.durable > s.buckets[n-1].first {
		s.e.sow() // that the bucket before has ended is for good now: see beginKeep
	}
	s.mu.Unlock()
	s.e.pace(ctx)
	return nil
}

// syncPause is the least time from the begin of one of the syncer's syncs to the next. A disk that is done in 100 us would be asked ten
// thousand times a second, for some records each, and every time costs system calls, interrupts and changes of threads: a fifth of
// a processor, in the middle of the Checks. Who has started a commit has gone on with the next batch meanwhile.
const syncPause = 500 * time.Microsecond

// syncLog is the syncer: it makes durable what was started. It runs until stop is closed.
func (e *Engine) syncLog() {
	defer close(e.syncerDone)
	e.log.Attend(true)
	defer e.log.Attend(false)
	for {
		select {
		case <-e.stop:
			return
		case <-e.syncKick:
		}
		begin := time.Now()
		if err := e.log.Sync(context.Background(), e.log.End()); err != nil {
			_ = e.fail(err) // recorded; whoever waits is told
			return
		}
		if rest := syncPause - time.Since(begin); rest > 0 {
			time.Sleep(rest)
		}
	}
}
