package e2e

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// sourceHeader is where the relay says which input record an output record is.
const sourceHeader = "noecho-source"

// tally judges an output topic against the plan of its input: each original once, unchanged, in order in its partition,
// and nothing else.
type tally struct {
	plan  *plan
	input string    // topic
	at    [][]int64 // at[p][n] is one more than the output offset where original n came first, 0 where it has not
	last  []int     // largest original seen so far, -1 at first

	// What a run has done to the relay may excuse a repeat, by the output offsets of both. Without it nothing is excused.
	excuseRepeat func(partition int32, first, again int64) bool

	out, repeated, copies, disordered, foreign int
	excusedRepeats                             int
	notes                                      []string // the first few complaints
}

func newTally(p *plan, input string) *tally {
	t := &tally{plan: p, input: input, at: make([][]int64, len(p.parts)), last: make([]int, len(p.parts))}
	for i := range t.at {
		t.at[i] = make([]int64, len(p.parts[i].firsts))
		t.last[i] = -1
	}
	return t
}

func (t *tally) add(r *kgo.Record) {
	t.out++
	p := r.Partition
	n, err := t.identify(r)
	if err == nil && t.isCopy(r, n) {
		t.passed(r, n)
		return
	}
	if err == nil {
		err = t.unchanged(r, n)
	}
	if err != nil {
		t.foreign++
		t.note(r, err.Error())
		return
	}
	switch before := t.at[p][n] - 1; {
	case before >= 0 && t.excuseRepeat != nil && t.excuseRepeat(p, before, r.Offset):
		t.excusedRepeats++
	case before >= 0:
		t.repeated++
		t.note(r, fmt.Sprintf("original %d once more; it came first at %d", n, before))
	case n < t.last[p]:
		t.disordered++
		t.note(r, fmt.Sprintf("original %d after %d", n, t.last[p]))
	}
	if t.at[p][n] == 0 {
		t.at[p][n] = r.Offset + 1
	}
	t.last[p] = max(t.last[p], n)
}

// passed judges a copy that should have been dropped.
func (t *tally) passed(r *kgo.Record, n int) {
	first, again := t.plan.parts[r.Partition].firsts[n], r.Timestamp.UnixMilli()-t.plan.base
	t.copies++
	t.note(r, fmt.Sprintf("a copy (input offset %d) of original %d (%d) has passed", again, n, first))
}

// identify says by key and value which original a record is, or is a copy of.
func (t *tally) identify(r *kgo.Record) (int, error) {
	partition, n, err := parse(r.Value)
	if err != nil {
		return 0, fmt.Errorf("not ours: %w", err)
	}
	if partition != r.Partition || int(partition) >= len(t.plan.parts) {
		return 0, fmt.Errorf("belongs to partition %d", partition)
	}
	q := &t.plan.parts[partition]
	if n < 0 || n >= len(q.firsts) {
		return 0, fmt.Errorf("original %d was never produced", n)
	}
	if !bytes.Equal(r.Value, q.value(n)) || !bytes.Equal(r.Key, q.key(n)) {
		return 0, fmt.Errorf("key or value of original %d changed", n)
	}
	return n, nil
}

// isCopy: each record of the input has a timestamp of its own, so this one was another record than the original.
func (t *tally) isCopy(r *kgo.Record, n int) bool {
	offset, first := r.Timestamp.UnixMilli()-t.plan.base, t.plan.parts[r.Partition].firsts[n]
	return offset > first && offset < t.plan.parts[r.Partition].offset
}

// unchanged says in what the record differs from original n beyond key and value.
func (t *tally) unchanged(r *kgo.Record, n int) error {
	q := &t.plan.parts[r.Partition]
	if got, want := r.Timestamp.UnixMilli(), t.plan.base+q.firsts[n]; got != want {
		return fmt.Errorf("timestamp of original %d is %d, was %d", n, got, want)
	}
	source := fmt.Sprintf("%s/%d/%d", t.input, r.Partition, q.firsts[n])
	if len(r.Headers) != 2 || r.Headers[0].Key != traceHeader || !bytes.Equal(r.Headers[0].Value, q.trace(n)) ||
		r.Headers[1].Key != sourceHeader || string(r.Headers[1].Value) != source {
		return fmt.Errorf("headers of original %d are %v, want %s and %s=%s", n, r.Headers, traceHeader, sourceHeader, source)
	}
	return nil
}

func (t *tally) note(r *kgo.Record, what string) {
	if len(t.notes) < 10 {
		t.notes = append(t.notes, fmt.Sprintf("partition %d offset %d: %s", r.Partition, r.Offset, what))
	}
}

func (t *tally) lost() (lost int) {
	for p, at := range t.at {
		for n := range at {
			if at[n] > 0 {
				continue
			}
			lost++
			if len(t.notes) < 20 {
				t.notes = append(t.notes, fmt.Sprintf("partition %d: original %d (offset %d) is missing", p, n, t.plan.parts[p].firsts[n]))
			}
		}
	}
	return lost
}

// verdict is nil when the output is what it must be.
func (t *tally) verdict() error {
	lost := t.lost()
	if lost+t.repeated+t.copies+t.disordered+t.foreign == 0 && t.out == t.plan.originals()+t.excusedRepeats {
		return nil
	}
	return &wrongOutput{Lost: lost, Repeated: t.repeated, Copies: t.copies, Disordered: t.disordered, Foreign: t.foreign, Notes: t.notes}
}

func (t *tally) String() string {
	s := fmt.Sprintf("%d in, %d copies among them, %d out, %d lost, %d repeated, %d copies passed, %d out of order, %d changed",
		t.plan.records(), t.plan.records()-int64(t.plan.originals()), t.out, t.lost(), t.repeated, t.copies, t.disordered, t.foreign)
	if t.excusedRepeats > 0 {
		s += fmt.Sprintf("; excused: %d repeated", t.excusedRepeats)
	}
	return s
}

type wrongOutput struct {
	Lost, Repeated, Copies, Disordered, Foreign int
	Notes                                       []string
}

func (w *wrongOutput) Error() string {
	return fmt.Sprintf("%d lost, %d repeated, %d copies passed, %d out of order, %d changed:\n  %s",
		w.Lost, w.Repeated, w.Copies, w.Disordered, w.Foreign, strings.Join(w.Notes, "\n  "))
}
