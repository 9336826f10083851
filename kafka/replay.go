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
	r := &replay{a: a, c: c, todo: todo, known: todo.start}
	begun := time.Now()
	a.learning.target.Store(todo.end)
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

// replay is one assignment's. Owned by run.
type replay struct {
	a    *assignment
	c    *changelog
	todo span

	pack    pack
	marks   []engine.Mark
	known   int64 // below it all is known
	oldest  int64 // stream time from which on marks are needed
	durable time.Time
	taken   uint64
	passed  uint64
	store   bool // the last error is the store's
}

func (r *replay) run(ctx context.Context) error {
	a, part := r.a, r.a.part
	log := listSpans(ctx, r.c.cl, r.c.tail.top, []int32{part})[part]
	if log.err != nil {
		return log.err
	}
	at, err := r.streamTime(ctx, log.span)
	if err != nil || at == 0 {
		return err
	}
	r.oldest = a.m.oldestNeeded(at)
	next, err := r.begin(ctx, log.span)
	if err != nil {
		return err
	}
	r.durable = time.Now()
	for next < log.end && r.known < r.todo.end {
		records, to, err := r.c.tail.fetch(ctx, part, next)
		if err != nil {
			return err
		}
		for _, record := range records {
			if err := r.take(ctx, record); err != nil {
				return err
			}
		}
		next = to
	}
	return nil
}

// streamTime returns a time that the stream had reached at the end of the stretch, by the last records of the changelog that tell of
// it: a lower bound, so that we begin too early rather than too late. 0: nothing tells.
func (r *replay) streamTime(ctx context.Context, log span) (found int64, err error) {
	step := int64(timeStep)
	for to := log.end; to > log.start && found == 0; step *= backwardGrowth {
		from := max(log.start, to-step)
		err := r.c.tail.each(ctx, r.a.part, from, to, func(record *kgo.Record) {
			if !r.read(record) {
				return
			}
			for i := range r.pack.marks {
				if m := &r.pack.marks[i]; !m.forgotten && m.Offset < r.todo.end {
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

// begin finds the first record that can be of use. Each has its stream time as its timestamp, so the first with at least the oldest
// one that is needed, or the store's own, is it: those before it tell what is too old, or known.
func (r *replay) begin(ctx context.Context, log span) (int64, error) {
	top, part := r.c.tail.top, r.a.part
	leader, _, _ := top.leader(part)
	got, err := listOffsets(ctx, r.c.cl.Broker(int(leader)), top.topic, []int32{part}, max(r.oldest, r.a.state.StreamTime()))
	if err != nil {
		return 0, err
	}
	answer, ok := got[part]
	switch {
	case !ok:
		return 0, errNoAnswer
	case answer.err != nil:
		return 0, answer.err
	case answer.offset < 0:
		return log.end, nil
	}
	return max(log.start, answer.offset), nil
}

// read decodes a record; false: it is of no use here.
func (r *replay) read(record *kgo.Record) bool {
	if err := r.pack.decode(record.Value); err != nil {
		r.a.m.log.Warn("changelog: passed over", "topic", record.Topic, "partition", record.Partition, "offset", record.Offset, "cause", err)
		return false
	}
	p, id := &r.pack, r.a.m.input.topicID()
	return p.hashID == r.c.hashID && p.part == r.a.part && p.input == r.a.m.cfg.Input && p.group == r.a.m.cfg.Group &&
		(p.topic == id || p.topic == (topicID{}) || id == (topicID{}))
}

// take takes in one record of the changelog.
func (r *replay) take(ctx context.Context, record *kgo.Record) error {
	p := &r.pack
	if !r.read(record) || p.to < r.known || p.from > r.known && p.before >= r.oldest {
		r.passed++
		r.c.passed.Add(1)
		return nil
	}
	r.marks = r.marks[:0]
	for i := range p.marks {
		switch m := &p.marks[i]; {
		case m.Offset < r.known:
		case m.forgotten && m.Offset <= r.todo.end:
			if err := r.flush(); err != nil {
				return err
			}
			if err := r.a.state.ForgetHash(m.Hash); err != nil {
				return r.failed(err)
			}
		case !m.forgotten && m.Offset < r.todo.end:
			r.marks = append(r.marks, m.Mark)
		}
	}
	if err := r.flush(); err != nil {
		return err
	}
	r.known = max(r.known, min(p.to, r.todo.end))
	r.a.learning.at.Store(r.known)
	if now := time.Now(); now.Sub(r.durable) >= r.a.m.cfg.CommitInterval {
		r.durable = now
		if err := r.a.commitLearned(ctx, r.known, false); err != nil {
			r.store = true
			return err
		}
	}
	return ctx.Err()
}

// flush gives the engine the marks that were gathered.
func (r *replay) flush() error {
	if len(r.marks) == 0 {
		return nil
	}
	if err := r.a.state.TakeIn(r.marks); err != nil {
		return r.failed(err)
	}
	r.taken += uint64(len(r.marks))
	r.c.restored.Add(uint64(len(r.marks)))
	r.marks = r.marks[:0]
	return nil
}

func (r *replay) failed(err error) error {
	r.store = true
	return fmt.Errorf("kafka: %s/%d: restoring from the changelog: %w", r.a.m.cfg.Input, r.a.part, err)
}
