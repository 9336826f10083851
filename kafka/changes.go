package kafka

import (
	"math"
	"sync"

	"noecho/bloom"
	"noecho/engine"
)

const (
	manyChanges = 1 << 18 // of a partition: the commit loop does not wait for its tick
	maxChanges  = 1 << 20 // of a partition, some 50 MB: its goroutine waits until the changelog has taken some
)

// changes are what an assignment has taken in and the changelog does not have: of the offsets from `from` on. The assignment's
// goroutine adds; whoever commits, under member.commitMu, packs and trims.
type changes struct {
	many func() // called, without locks, when there is a lot

	trimmed chan struct{} // cap 1: there is room

	mu     sync.Mutex
	begun  bool   // protected by mu: from is known
	from   int64  // protected by mu: the offsets below are in the changelog, or never will be
	before int64  // protected by mu: see pack.before
	end    int64  // protected by mu: one more than the last mark's offset; at or above from
	marks  []told // protected by mu: at or above from, ascending as in pack
	breaks uint64 // protected by mu: how often marks was cleared by gap
}

func newChanges(many func()) *changes { return &changes{many: many, trimmed: make(chan struct{}, 1)} }

// begin says from which offset on marks are added, and the stream time there; only the first call counts. nil: there is no changelog.
func (c *changes) begin(from, before int64) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.begun {
		c.begun, c.from, c.end, c.before = true, from, from, before
	}
}

// add takes over what was told of a chunk. What was added before is passed over: records may be asked for again.
func (c *changes) add(marks []engine.Mark) {
	c.mu.Lock()
	for i := range marks {
		if marks[i].Offset >= c.end {
			c.marks = append(c.marks, told{Mark: marks[i]})
			c.end = marks[i].Offset + 1
		}
	}
	n := len(c.marks)
	c.mu.Unlock()
	if n >= manyChanges {
		c.many()
	}
}

// forget adds that a key was forgotten when next was the next to take in. Its time says nothing.
func (c *changes) forget(h bloom.Hash, next int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ms := c.before
	if n := len(c.marks); n > 0 {
		ms = c.marks[n-1].Time
	}
	c.marks = append(c.marks, told{Mark: engine.Mark{Hash: h, Offset: next, First: next, Time: ms}, forgotten: true})
}

// gap says that nothing is known of what lies below next: it passed without a verdict. What was not written yet goes, too: whoever
// restores reads the stretch from the input. nil: there is no changelog.
func (c *changes) gap(next int64) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gapLocked(next)
}

func (c *changes) gapLocked(next int64) {
	for i := range c.marks {
		c.before = max(c.before, c.marks[i].Time)
	}
	c.marks, c.begun, c.breaks = c.marks[:0], true, c.breaks+1
	c.from = max(c.from, next)
	c.end = c.from
}

// hole says that of what lies below next some is not known, and how young that is nobody knows. nil: there is no changelog.
func (c *changes) hole(next int64) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gapLocked(next)
	c.before = math.MaxInt64
}

// pending returns how many marks wait for the changelog. nil: there is no changelog.
func (c *changes) pending() int64 {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return int64(len(c.marks))
}

// crowded says whether there is no room for more. nil: there is no changelog.
func (c *changes) crowded() bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.marks) >= maxChanges
}

// room waits until there is room for what a chunk has to tell; false: the assignment was killed.
//
// Where offsets stand still for another reason than the changelog (a record that was given up in a rewind, a duplicate that its topic does
// not take) nothing can be written, and to wait for it may mean to wait for ever: what they wait for may be ahead, in this very
// queue. Then what is held is let go, and is a hole that whoever restores fills from the input.
func (a *assignment) room() bool {
	for c := a.changes; c.crowded(); {
		a.mu.Lock()
		next := a.task.nextLocked()
		a.mu.Unlock()
		if c.pinned(next) {
			a.m.log.Warn("offsets stand still, and there is no room for what the changelog is to be told: a stretch of it is left out",
				"topic", a.m.cfg.Input, "partition", a.part, "offset", next)
			return true
		}
		c.many()
		select {
		case <-c.trimmed:
		case <-a.quit:
			return false
		}
	}
	return true
}

// pinned says whether nothing can be written while a position stands where it does; then all that is held is a gap.
func (c *changes) pinned(next int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if next > c.from {
		return false
	}
	c.gapLocked(c.end)
	return true
}

// below returns what is to be written before an offset is committed; ok: there is something. Its marks are a copy: a gap uses the
// memory of ours again, from the other goroutine, while they are written.
func (c *changes) below(to int64) (p pack, breaks uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.begun || to <= c.from {
		return pack{}, 0, false
	}
	n := 0
	for n < len(c.marks) && (c.marks[n].Offset < to || c.marks[n].forgotten && c.marks[n].Offset == to) {
		n++
	}
	return pack{from: c.from, to: to, before: c.before, marks: append([]told(nil), c.marks[:n]...)}, c.breaks, true
}

// trim says that what below returned is in the changelog.
func (c *changes) trim(p *pack, breaks uint64) {
	c.mu.Lock()
	if c.breaks == breaks {
		for i := range p.marks {
			c.before = max(c.before, p.marks[i].Time)
		}
		c.marks = append(c.marks[:0], c.marks[len(p.marks):]...)
		c.from = p.to
		c.end = max(c.end, p.to)
	}
	c.mu.Unlock()
	wakeUp(c.trimmed)
}
