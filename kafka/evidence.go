package kafka

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/engine"
)

// The evidence that goes with a duplicate, in headers behind those of the record and before noecho-source. Where a record came
// with headers of these names (it went through a relay before), the last one of a name counts, as for noecho-source.
const (
	// verdictHeader says why the record would not be in the output of a relay that drops: duplicate, or no_key.
	verdictHeader = "noecho-verdict"
	// originalHeader is the offset in the input of the record that this one is a copy of.
	originalHeader = "noecho-original-offset"
	// partitionHeader is the partition of that offset, where it is another one (ScopeTopic).
	partitionHeader = "noecho-original-partition"
	// ageHeader is the copy's timestamp minus the original's, in milliseconds, as the producers wrote them: below 0 where their
	// clocks disagree. It is there when the original was among the last recentOffsets offsets.
	ageHeader = "noecho-age-ms"
	// leastAgeHeader stands in for ageHeader where the original's timestamp is not at hand: the copy is at least that much
	// younger. A mark holds no timestamp, but the original's bucket of time says before which one it was taken in.
	leastAgeHeader = "noecho-age-least-ms"
)

const (
	verdictDuplicate = "duplicate"
	verdictNoKey     = "no_key"
)

// evidence is a number of headers in the wire format, to be put into a record as they are. The zero value is none.
type evidence struct {
	raw     []byte
	headers int
}

// reset makes it none again; the memory stays.
func (e *evidence) reset() { e.raw, e.headers = e.raw[:0], 0 }

func (e *evidence) text(name, value string) {
	raw := appendVarint(e.raw, int64(len(name)))
	raw = append(raw, name...)
	raw = appendVarint(raw, int64(len(value)))
	e.raw = append(raw, value...)
	e.headers++
}

func (e *evidence) number(name string, value int64) {
	var digits [20]byte
	text := strconv.AppendInt(digits[:0], value, 10)
	raw := appendVarint(e.raw, int64(len(name)))
	raw = append(raw, name...)
	raw = appendVarint(raw, int64(len(text)))
	e.raw = append(raw, text...)
	e.headers++
}

// witness makes evidence. It belongs to a worker's goroutine.
type witness struct {
	e      evidence // reused; valid until the next one is made
	recent recent
}

// duplicate returns the evidence for a copy. state is that of the original's partition; nil: not at hand.
func (w *witness) duplicate(r *kgo.Record, v engine.Verdict, state partition) *evidence {
	w.e.reset()
	w.e.text(verdictHeader, verdictDuplicate)
	w.e.number(originalHeader, v.First)
	if v.Elsewhere {
		w.e.number(partitionHeader, int64(v.Partition))
	}
	ts := timestamp(r)
	if ts < 0 {
		return &w.e // of a copy without a timestamp no age can be told
	}
	if original, ok := w.recent.stamp(v.First); ok && !v.Elsewhere {
		w.e.number(ageHeader, ts-original)
	} else if state == nil {
		return &w.e
	} else if before, ok := state.TakenInBefore(v.First); ok && ts >= before {
		w.e.number(leastAgeHeader, ts-before+1)
	}
	return &w.e
}

// evidence returns that of a copy in this partition.
func (w *worker) evidence(r *kgo.Record, v engine.Verdict) *evidence {
	if !v.Elsewhere {
		return w.witness.duplicate(r, v, w.state)
	}
	if original := w.m.assignmentOf(v.Partition); original != nil {
		return w.witness.duplicate(r, v, original.state)
	}
	return w.witness.duplicate(r, v, nil)
}

// noKey returns the evidence for a record that has no key.
func (w *witness) noKey() *evidence {
	w.e.reset()
	w.e.text(verdictHeader, verdictNoKey)
	return &w.e
}

// recentOffsets is for how many offsets back the timestamps are known: 128 KiB a partition, made when evidence is wanted. Most
// copies are retries, a moment old. For the others the naive way, the timestamp in each mark, would cost some bytes
// for every key of the window; to read the original again would cost a fetch a duplicate.
const recentOffsets = 1 << 14

// recent holds the timestamps of the last offsets.
type recent struct {
	stamps []int64 // by offset modulo recentOffsets; -1: not known
	next   int64   // after the last offset that was noted
}

// note takes in the timestamp (-1: none) of the next record. Offsets ascend; what lies between is not known.
func (t *recent) note(offset, ts int64) {
	if t.stamps == nil {
		t.stamps = make([]int64, recentOffsets)
	}
	// The first time, too: what lies before was never noted.
	for gap := max(t.next, offset-recentOffsets); gap < offset; gap++ {
		t.stamps[gap%recentOffsets] = -1
	}
	t.stamps[offset%recentOffsets] = ts
	t.next = offset + 1
}

// stamp returns the timestamp of a record.
func (t *recent) stamp(offset int64) (ts int64, ok bool) {
	if offset >= t.next || offset < max(0, t.next-recentOffsets) {
		return 0, false
	}
	ts = t.stamps[offset%recentOffsets]
	return ts, ts >= 0
}
