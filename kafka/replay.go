package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/engine"
)

// replay takes in from the changelog what the store is missing of a stretch, and returns the offset below which all is known after.
//
// A record of the changelog is of use where it begins at or below what is known, or where all that lies before it is older than what
// the end of the stretch can see. All others are passed over: they lie behind a hole, which a later record may fill; where none does,
// the rest is learned from the input. Troubles with the changelog are no error, for the same reason.
func (a *assignment) replay(ctx context.Context, todo span) (known int64, err error) {
	c := a.m.changelog.Load()
	if c == nil {
		return todo.start, nil
	}
	r := &replay{m: a.m, part: a.part, state: a.state, c: c, end: todo.end, known: todo.start}
	r.moved = func(ctx context.Context) error {
		a.learning.at.Store(r.known)
		if now := time.Now(); now.Sub(r.durable) >= a.m.cfg.CommitInterval {
			r.durable = now
			return a.commitLearned(ctx, r.known, false)
		}
		return nil
	}
	begun := time.Now()
	a.learning.begin(todo.start, todo.end, LearnReasonChangelog)
	err = r.run(ctx)
	switch {
	case ctx.Err() != nil:
		return 0, errKilled
	case err != nil && r.store:
		return 0, err
	case err != nil:
		a.m.log.Warn("the changelog cannot be read to its end; the input is, from there on", "topic", c.topic, "partition", a.part, "at", r.known, "cause", err)
	}
	if r.known > todo.start {
		if err := a.commitLearned(ctx, r.known, false); err != nil {
			return 0, err
		}
	}
	a.m.log.Info("restored from the changelog", "topic", c.topic, "partition", a.part, "from", todo.start, "to", r.known, "wanted", todo.end,
		"marks", r.taken, "passed", r.passed, "took", time.Since(begun).Round(time.Millisecond))
	return r.known, nil
}

// replay reads a partition of the changelog. Owned by the assignment's goroutine, or by the standby's.
type replay struct {
	m     *member
	part  int32
	state partition
	c     *changelog
	moved func(ctx context.Context) error // called when known has moved; its error is the store's

	pack    pack
	marks   []engine.Mark
	end     int64 // offsets below it are wanted
	known   int64 // below it all is known
	next    int64 // of the changelog, to be read
	oldest  int64 // stream time from which on marks are needed
	seen    int64 // the largest stream time that was read
	hole    int64 // the stream time at which records began to be passed over, because what lies before them is missing; 0: they are not
	durable time.Time
	taken   uint64
	passed  uint64
	store   bool // the last error is the store's
}

func (r *replay) run(ctx context.Context) error {
	log := listSpans(ctx, r.c.cl, r.c.tail.top, []int32{r.part})[r.part]
	if log.err != nil {
		return log.err
	}
	found, err := r.begin(ctx, log.span)
	if err != nil || !found {
		return err
	}
	return r.read(ctx, log.end)
}

// read reads on to an offset of the changelog, or until all that is wanted is known.
func (r *replay) read(ctx context.Context, to int64) error {
	r.durable = time.Now()
	for r.next < to && r.known < r.end {
		records, next, err := r.c.tail.fetch(ctx, r.part, r.next)
		if err != nil {
			return err
		}
		for _, record := range records {
			if err := r.take(ctx, record); err != nil {
				return err
			}
		}
		r.next = next
	}
	return nil
}

// streamTime returns a time that the stream had reached at the end of the stretch, by the last records of the changelog that tell of
// it: a lower bound, so that we begin too early rather than too late. 0: nothing tells.
func (r *replay) streamTime(ctx context.Context, log span) (found int64, err error) {
	step := int64(timeStep)
	for to := log.end; to > log.start && found == 0; step *= backwardGrowth {
		from := max(log.start, to-step)
		err := r.c.tail.each(ctx, r.part, from, to, func(record *kgo.Record) {
			if !r.decode(record) {
				return
			}
			for i := range r.pack.marks {
				if m := &r.pack.marks[i]; !m.forgotten && m.Offset < r.end {
					found = max(found, m.Time)
				}
			}
		})
		if err != nil {
			return 0, err
		}
		to = from
	}
	return found, nil
}

// begin finds the first record that can be of use; false: the changelog tells nothing. Each has its stream time as its timestamp, so
// the first with at least the oldest one that is needed, or the store's own, is it: those before it tell what is too old, or known.
func (r *replay) begin(ctx context.Context, log span) (bool, error) {
	at, err := r.streamTime(ctx, log)
	if err != nil || at == 0 {
		return false, err
	}
	r.oldest = r.m.oldestNeeded(at)
	first, err := r.c.tail.firstAt(ctx, r.part, max(r.oldest, r.state.StreamTime()))
	if err != nil {
		return false, err
	}
	if r.next = max(log.start, first); first < 0 {
		r.next = log.end
	}
	return true, nil
}

// decode decodes a record; false: it is of no use here.
func (r *replay) decode(record *kgo.Record) bool {
	if err := r.pack.decode(record.Value); err != nil {
		r.m.log.Warn("changelog: passed over", "topic", record.Topic, "partition", record.Partition, "offset", record.Offset, "cause", err)
		return false
	}
	p, id := &r.pack, r.m.input.topicID()
	return p.hashID == r.c.hashID && p.part == r.part && p.input == r.m.cfg.Input && p.group == r.m.cfg.Group &&
		(p.topic == id || p.topic == (topicID{}) || id == (topicID{}))
}

// take takes in one record of the changelog.
func (r *replay) take(ctx context.Context, record *kgo.Record) error {
	p := &r.pack
	ours := r.decode(record)
	if ours {
		r.seen = max(r.seen, p.time)
	}
	if !ours || p.to < r.known || p.from > r.known && p.before >= r.oldest {
		r.passed++
		r.c.passed.Add(1)
		if ours && p.from > r.known && r.hole == 0 {
			r.hole = max(1, r.seen)
		}
		return nil
	}
	r.hole = 0
	r.marks = r.marks[:0]
	for i := range p.marks {
		switch m := &p.marks[i]; {
		case m.Offset < r.known:
		case m.forgotten && m.Offset <= r.end:
			if err := r.flush(); err != nil {
				return err
			}
			if err := r.state.ForgetHash(m.Hash); err != nil {
				return r.failed(err)
			}
		case !m.forgotten && m.Offset < r.end:
			r.marks = append(r.marks, m.Mark)
		}
	}
	if err := r.flush(); err != nil {
		return err
	}
	r.known = max(r.known, min(p.to, r.end))
	if err := r.moved(ctx); err != nil {
		r.store = true
		return err
	}
	return ctx.Err()
}

// flush gives the engine the marks that were gathered.
func (r *replay) flush() error {
	if len(r.marks) == 0 {
		return nil
	}
	if err := r.state.TakeIn(r.marks); err != nil {
		return r.failed(err)
	}
	r.taken += uint64(len(r.marks))
	r.c.restored.Add(uint64(len(r.marks)))
	r.marks = r.marks[:0]
	return nil
}

func (r *replay) failed(err error) error {
	r.store = true
	return fmt.Errorf("kafka: %s/%d: restoring from the changelog: %w", r.m.cfg.Input, r.part, err)
}
