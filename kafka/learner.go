package kafka

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// learner is what the assignments of a member share for learning: one client, made when the first needs it, and turns.
type learner struct {
	records atomic.Uint64 // taken in by all

	mu    sync.Mutex
	turns chan struct{} // protected by mu until made; cap restoreParallel
	tail  *tailReader   // protected by mu until made; nil: nobody had to learn
}

// enter waits for a turn: each learning holds some megabytes of what it has fetched. false: ctx ended.
func (l *learner) enter(ctx context.Context) bool {
	l.mu.Lock()
	if l.turns == nil {
		l.turns = make(chan struct{}, restoreParallel)
	}
	turns := l.turns
	l.mu.Unlock()
	select {
	case turns <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// leave gives the turn back.
func (l *learner) leave() { <-l.turns }

// reader returns the input's reader. It reads only what is committed: an aborted record must never own a key.
func (l *learner) reader(m *member) (*tailReader, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tail != nil {
		return l.tail, nil
	}
	cl, err := kgo.NewClient(m.cfg.Client...)
	if err != nil {
		return nil, &ConfigError{Problems: []string{"client: " + err.Error()}}
	}
	l.tail = &tailReader{cl: cl, top: &topology{cl: cl, topic: m.cfg.Input}, decompress: kgo.DefaultDecompressor(), committed: true}
	return l.tail, nil
}

// close closes the client. Called when no assignment is left.
func (l *learner) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tail != nil {
		l.tail.cl.Close()
	}
}

// timeStep is how many offsets are looked at first for the stream time.
const timeStep = 16

// windowStart returns the first offset of a stretch of the log that a record behind it can be a copy of, and a time that the stream
// has reached there (see streamTime).
//
// The naive way takes the window back from now. But the window is of stream time: of a group that is a day behind it would
// skip all, and the copies that come next pass. So we look for the stream time that holds at the stretch's end. The largest
// timestamp of its last records is at most that; to begin a little early does no harm. Timestamps ahead of this machine's clock
// are passed over, because the engine may not believe them.
func (t *tailReader) windowStart(ctx context.Context, part int32, log span, oldest func(at int64) int64) (from, at int64, err error) {
	if at, err = t.streamTime(ctx, part, log); err != nil || at < 0 {
		return log.start, at, err
	}
	if from, err = t.firstAt(ctx, part, oldest(at)); err != nil {
		return 0, 0, err
	}
	if from < 0 { // none is as old: retention was faster
		from = log.start
	}
	return min(max(log.start, from), log.end), at, nil
}

// firstAt returns the offset of a partition's first record with a timestamp of at least ms; -1: it has none.
//
// The stream time at an offset is the largest timestamp up to there, so that record is also the first at which the stream time is at
// least ms.
func (t *tailReader) firstAt(ctx context.Context, part int32, ms int64) (int64, error) {
	leader, _, _ := t.top.leader(part)
	got, err := listOffsets(ctx, t.cl.Broker(int(leader)), t.top.topic, []int32{part}, ms)
	if err != nil {
		return 0, err
	}
	answer, ok := got[part]
	switch {
	case !ok:
		return 0, errNoAnswer
	case answer.err != nil:
		return 0, answer.err
	}
	return max(answer.offset, -1), nil
}

// streamTime returns a time that the stream has reached at the end of a stretch; -1: nothing in it says.
func (t *tailReader) streamTime(ctx context.Context, part int32, log span) (int64, error) {
	now, step := time.Now().UnixMilli(), int64(timeStep)
	for to := log.end; to > log.start; step *= backwardGrowth {
		from, found := max(log.start, to-step), int64(math.MinInt64)
		err := t.each(ctx, part, from, to, func(r *kgo.Record) {
			if ts := timestamp(r); ts <= now {
				found = max(found, ts)
			}
		})
		if err != nil || found >= 0 {
			return found, err
		}
		to = from
	}
	return -1, nil
}
