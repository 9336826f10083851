package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/bloom"
	"noecho/engine"
)

// Mode is what a relay does with its verdicts. It may be changed while the relay runs: see SetMode.
type Mode string

const (
	// ModeActive: duplicates are dealt with as OnDuplicate says.
	ModeActive Mode = "active"
	// ModeShadow: everything passes to the output, in order. Verdicts are made and counted, and what would not be in the
	// output otherwise carries the evidence in headers. Marks are taken in as ever, so nothing is missing on the way back.
	ModeShadow Mode = "shadow"
	// ModeBypass is the kill switch: everything passes untouched, and the engine is not asked, since it may be what is ill.
	// Offsets are committed without marks. What passes meanwhile leaves none, so that its copies pass too, for up to a
	// window: that is counted (Totals.Unjudged) and logged on the way back.
	ModeBypass Mode = "bypass"
)

// Modes are all of them.
func Modes() []Mode { return []Mode{ModeActive, ModeShadow, ModeBypass} }

func (m Mode) validate() error { return oneOf("mode", m, Modes()...) }

// Mode returns what SetMode set last, or the configuration.
func (r *Relay) Mode() Mode { return *r.mode.Load() }

// SetMode changes the mode, for all partitions, each at its next chunk: records that are decided already stay decided, none is
// lost and none overtakes another. It may be called at any time from any goroutine, and returns at once. The mode is not
// kept anywhere: the next Relay starts with its configuration's. The error is a *ModeError.
func (r *Relay) SetMode(m Mode) (was Mode, err error) {
	r.modeMu.Lock()
	defer r.modeMu.Unlock()
	was = r.Mode()
	if err := m.validate(); err != nil {
		return was, &ModeError{Mode: m, Reason: "there is no such mode; choose active, shadow or bypass"}
	}
	if m != ModeBypass && r.stateless.Load() {
		return was, &ModeError{Mode: m, Reason: "the store could not be opened, or a partition of it; mend it and restart"}
	}
	r.mode.Store(&m)
	r.bypass.Store(m == ModeBypass)
	if was != m {
		r.log.Warn("mode changed", "topic", r.cfg.Input, "from", string(was), "to", string(m))
	}
	return was, nil
}

// decide asks for the verdicts of a chunk, and returns the mode to handle it in; in bypass there are none.
func (w *worker) decide(chunk []*kgo.Record) (Mode, error) {
	mode := w.r.Mode()
	if mode != ModeBypass && mode != w.mode {
		if err := w.m.identify(w.part, w.state); err != nil { // in bypass the store was left alone
			return mode, err
		}
		w.notLearned()
	}
	w.enter(mode, chunk[0].Offset)
	if mode == ModeBypass {
		return mode, nil
	}
	if err := w.check(chunk); err == nil || w.r.Mode() != ModeBypass {
		return mode, err
	}
	// The switch was thrown while the store was asked: nothing of the chunk is sent yet. Whatever the mode is by now, there
	// are no verdicts to go by.
	w.enter(ModeBypass, chunk[0].Offset)
	return ModeBypass, nil
}

// enter is called with the mode of each chunk. It notes where a partition changes its mode.
func (w *worker) enter(mode Mode, offset int64) {
	if mode == w.mode {
		return
	}
	if w.mode != "" {
		w.r.log.Info("mode of the partition", "topic", w.r.cfg.Input, "partition", w.part, "from", string(w.mode), "to", string(mode), "offset", offset)
	}
	if w.mode == ModeBypass && w.passed.records > 0 {
		w.r.log.Warn("back from bypass: copies of what passed meanwhile will pass, for up to a window",
			"topic", w.r.cfg.Input, "partition", w.part, "from", w.passed.from, "to", offset, "records", w.passed.records)
		w.passed = passage{}
	}
	w.mode = mode
}

// passage is a stretch that went through in bypass.
type passage struct {
	from    int64 // its first offset
	records uint64
}

// bypass passes a chunk on without asking the store. What the output has already, by its tail, is not produced again; so a record that was dropped
// before the last crash stays dropped.
func (w *worker) bypass(chunk []*kgo.Record) error {
	if w.passed.records == 0 {
		w.passed.from = chunk[0].Offset
	}
	w.changes.gap(chunk[len(chunk)-1].Offset + 1)
	unjudged, err := w.through(chunk)
	w.passed.records += unjudged
	return err
}

// pass implements task.
func (w *worker) pass(chunk []*kgo.Record) error {
	w.dups.flush()
	_, err := w.through(chunk)
	return err
}

// through passes a chunk on, and returns how many records of it are not in the output yet.
func (w *worker) through(chunk []*kgo.Record) (unjudged uint64, err error) {
	var already uint64
	for _, r := range chunk {
		switch {
		case r.Attrs.IsControl():
		case r.Offset <= w.resume.there:
			already++
		default:
			unjudged++
			if err := w.put(r, nil); err != nil {
				return unjudged, err
			}
		}
	}
	w.count.already.Add(already)
	w.count.unjudged.Add(unjudged)
	w.relayed(chunk)
	return unjudged, nil
}

// claimState claims the engine's state of a partition. In bypass the relay can do without.
func (m *member) claimState(part int32) (partition, error) {
	state, err := m.store.Partition(m.cfg.Input, part)
	if err == nil {
		return state, nil
	}
	m.modeMu.Lock() // SetMode must not look at stateless between our look at bypass and our word
	defer m.modeMu.Unlock()
	if m.bypass.Load() {
		m.stateless.Store(true)
		m.log.Error("the state of a partition cannot be claimed: it stays in bypass until a restart", "topic", m.cfg.Input, "partition", part, "cause", err)
		return noState{}, nil
	}
	return nil, err
}

// noStore stands in for an engine that could not be opened. The relay runs in bypass then, and stays there: nothing below
// is asked for a verdict.
type noStore struct{}

func (noStore) ID() string { return "" }

func (noStore) Window() (time.Duration, int)               { return 0, 1 }
func (noStore) Partition(string, int32) (partition, error) { return noState{}, nil }
func (noStore) Coverages() []engine.Coverage               { return nil }
func (noStore) Hash([]byte) bloom.Hash                     { return bloom.Hash{} }
func (noStore) HashID() (uint64, bool)                     { return 0, true }

type noState struct{}

func (noState) Check([]engine.Record, []engine.Verdict) ([]engine.Verdict, error) {
	return nil, errNoStore
}
func (noState) CheckMarks([]engine.Record, []engine.Verdict, []engine.Mark) ([]engine.Verdict, []engine.Mark, error) {
	return nil, nil, errNoStore
}
func (noState) TakeIn([]engine.Mark) error          { return errNoStore }
func (noState) StreamTime() int64                   { return 0 }
func (noState) ForgetHash(bloom.Hash) error         { return errNoStore }
func (noState) Coverage() (start, to int64)         { return 0, 0 }
func (noState) Forget([]byte) error                 { return errNoStore }
func (noState) Commit(context.Context, int64) error { return errNoStore }
func (noState) Committed() int64                    { return -1 }
func (noState) TakenInBefore(int64) (int64, bool)   { return 0, false }
func (noState) LogID() engine.LogID                 { return engine.LogID{} }
func (noState) SetLogID(engine.LogID) error         { return errNoStore }
func (noState) Close() error                        { return nil }
