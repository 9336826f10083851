package kafka

import "sync/atomic"

// missing counts what a start found missing.
type missing struct {
	none, behind, retention, bounded atomic.Uint64 // see Missing
	removed                          atomic.Uint64
	added                            atomic.Uint64 // see Stats.Added
}

// Missing counts what was found missing when partitions were assigned.
type Missing struct {
	None      uint64 // partitions whose records the group has handled, and the store knew nothing of
	Behind    uint64 // partitions of which the store knew less than the group had handled
	Retention uint64 // partitions of which retention had removed what the store should have learned
	Bounded   uint64 // partitions of which LearnFrom left out what the store should have learned
	Removed   uint64 // offsets that retention removed before they were handled: lost
}

func (m *missing) snapshot() Missing {
	return Missing{None: m.none.Load(), Behind: m.behind.Load(), Retention: m.retention.Load(), Bounded: m.bounded.Load(), Removed: m.removed.Load()}
}

// countMissing counts an assignment whose store lacks what the group has handled.
func (m *member) countMissing(a *assignment, unknown span) {
	if unknown.start >= unknown.end {
		return
	}
	if a.resume.state < 0 {
		m.missing.none.Add(1)
	} else {
		m.missing.behind.Add(1)
	}
	switch {
	case m.cfg.Learn == LearnOff:
		m.log.Warn("the store does not know what came before, and learn is off: copies of it pass",
			"topic", m.cfg.Input, "partition", a.part, "from", unknown.start, "to", unknown.end)
	case a.resume.input.start >= unknown.end:
		m.missing.retention.Add(1)
		m.log.Warn("the store does not know what came before, and retention has removed it: copies of it pass",
			"topic", m.cfg.Input, "partition", a.part, "from", unknown.start, "to", unknown.end)
	}
}
