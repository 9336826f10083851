package kafka

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// LearnFrom says how far back a store that lacks marks learns them from the input (see Learn). It has one of these forms:
//
//	window                 the default: as far as a record behind the start can be a copy of something; what is older is of no use to it
//	earliest               all that the input has kept: the verdicts are those of a store that was there from that record on
//	6h                     a duration of 1 ms or more: no further back than that before the start, in the records' time
//	2026-11-27T06:00:00Z   a time by RFC 3339: no further back than the first record of the partition that is as young
//	-1000000               no more than so many offsets of each partition
//	0:1200,1:980           by partition: no further back than that offset; those that are not named learn as with window
//
// The last four are bounds: they never make it begin before what the window needs. What a bound leaves out is not learned later
// either, for the store takes offsets in in ascending order: copies of it pass, which is counted (Missing.Bounded) and logged.
//
// A bound by time needs timestamps. Where the records before the start have none, nothing is left out. A single record that is stamped
// too young lets it begin earlier than asked for, and never later.
//
// With a changelog that is read first, one window of it: all of this is of what is then read from the input.
type LearnFrom string

const (
	// LearnFromWindow begins where the window of the start does.
	LearnFromWindow LearnFrom = "window"
	// LearnFromEarliest begins at the oldest record that the input has and the store lacks.
	LearnFromEarliest LearnFrom = "earliest"
)

// learnBound is a LearnFrom, taken apart. Immutable. The zero value bounds nothing.
type learnBound struct {
	text     LearnFrom // as it was written
	earliest bool
	time     int64           // stream time in milliseconds; 0: not that kind
	back     int64           // milliseconds of stream time before the start; 0: not that kind
	last     int64           // offsets before the start; 0: not that kind
	offsets  map[int32]int64 // by partition; nil: not that kind
}

func (f LearnFrom) parse() (b learnBound, err error) {
	text := string(f)
	b.text = f
	switch f {
	case "", LearnFromWindow:
		return b, nil
	case LearnFromEarliest:
		b.earliest = true
		return b, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil && t.UnixMilli() > 0 {
		b.time = t.UnixMilli()
		return b, nil
	}
	if n, ok := strings.CutPrefix(text, "-"); ok {
		if b.last, err = strconv.ParseInt(n, 10, 64); err == nil && b.last > 0 {
			return b, nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= time.Millisecond {
		b.back = d.Milliseconds()
		return b, nil
	}
	if b.offsets = parseOffsets(text); b.offsets != nil {
		return b, nil
	}
	return b, fmt.Errorf("learn_from %q is none of window, earliest, a duration back like 6h, a time like 2026-11-27T06:00:00Z, "+
		"so many offsets back like -1000000, offsets by partition like 0:1200,1:980", text)
}

// parseOffsets parses partition:offset pairs; nil: it cannot.
func parseOffsets(text string) map[int32]int64 {
	offsets := make(map[int32]int64)
	for pair := range strings.SplitSeq(text, ",") {
		part, offset, ok := strings.Cut(strings.TrimSpace(pair), ":")
		p, errPart := strconv.ParseInt(part, 10, 32)
		o, errOffset := strconv.ParseInt(offset, 10, 64)
		if _, twice := offsets[int32(p)]; !ok || errPart != nil || errOffset != nil || p < 0 || o < 0 || twice {
			return nil
		}
		offsets[int32(p)] = o
	}
	return offsets
}

// checkLearnFrom is the bound's part of Preflight: a mistyped partition would bound nothing, silently.
func (m *member) checkLearnFrom(partitions int) error {
	for part := range m.learnFrom.offsets {
		if int(part) >= partitions {
			return &TopicError{Topic: m.cfg.Input, Err: fmt.Errorf("learn_from names partition %d, and it has %d", part, partitions),
				Hint: "name partitions that it has; those that are not named learn as with window"}
		}
	}
	return nil
}

// LearnReason says why learning began where it did.
type LearnReason string

const (
	LearnReasonStore     LearnReason = "store"      // what the store knows ends there
	LearnReasonWindow    LearnReason = "window"     // what is older cannot be the original of anything that comes
	LearnReasonBound     LearnReason = "learn_from" // LearnFrom leaves out what is older, though the window has need of it
	LearnReasonLog       LearnReason = "log"        // the input begins there: retention has removed what is older
	LearnReasonChangelog LearnReason = "changelog"  // what the store knows ends there, and the changelog is read from there on
)

// Learning is how far a partition has come with taking in what its store was missing: see Learn. All zero where nothing was.
type Learning struct {
	Learned   uint64      // records taken in from the input
	LearnFrom int64       // the offset where it began
	LearnWhy  LearnReason // why there; "": nothing was missing, or where to begin is not known yet
	// LearnAt and LearnTarget are the offsets where it is and where it ends, equal when it is done.
	LearnAt, LearnTarget int64
	Passing              bool // records pass without a verdict meanwhile: see RestoringPass
}

// learning is an assignment's. Written by whoever learns, run or the lesson beside it; anyone reads.
type learning struct {
	records    atomic.Uint64 // taken in
	at, target atomic.Int64  // offsets; equal: nothing left
	began      atomic.Pointer[beginning]
}

// beginning is where something began, and why.
type beginning struct {
	from int64
	why  LearnReason
}

func (l *learning) begin(from, target int64, why LearnReason) {
	l.target.Store(target) // first: what is left is never negative
	l.at.Store(from)
	l.began.Store(&beginning{from, why})
}

func (a *assignment) learned() Learning {
	l := &a.learning
	s := Learning{Passing: a.behind.Load(), Learned: l.records.Load(), LearnAt: l.at.Load(), LearnTarget: l.target.Load()}
	if b := l.began.Load(); b != nil {
		s.LearnFrom, s.LearnWhy = b.from, b.why
	}
	return s
}

// lookFor finds the offset that the bound names, for a start at end, where the stream time is at (-1: not known); and a stream time that
// no record before that offset has reached. An offset of 0 bounds nothing.
func (b *learnBound) lookFor(ctx context.Context, t *tailReader, part int32, end, at int64) (offset, before int64, err error) {
	named, byPart := b.offsets[part]
	since := b.time
	if b.back > 0 {
		since = at - b.back
	}
	switch {
	case byPart:
		return named, math.MaxInt64, nil
	case b.last > 0:
		return end - b.last, math.MaxInt64, nil
	case since <= 0 || at < 0:
		return 0, 0, nil
	}
	if offset, err = t.firstAt(ctx, part, since); offset < 0 { // nothing is as young
		offset = end
	}
	if since > at { // it is in the future of the stream, and no time to write into the changelog: brokers refuse what is far ahead of their clocks
		return offset, math.MaxInt64, err
	}
	return offset, since, err
}
