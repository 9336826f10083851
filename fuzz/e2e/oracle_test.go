package e2e

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The oracle's own tests: it sees each fault by its name, and an excuse covers what it is meant for and no more.

// outputOf makes the output that a right relay makes of the next records of the plan's partition 0, and the copies it drops.
func outputOf(p *plan, records int) (out, dropped []*kgo.Record) {
	for range records {
		originals, offset := len(p.parts[0].firsts), p.parts[0].offset
		r := p.take(0, "in")
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: sourceHeader, Value: fmt.Appendf(nil, "in/0/%d", offset)})
		if len(p.parts[0].firsts) > originals {
			out = append(out, r)
		} else {
			dropped = append(dropped, r)
		}
	}
	return out, dropped
}

func judged(p *plan, excuses *chaos, out ...*kgo.Record) *tally {
	t := newTally(p, "in")
	if excuses != nil {
		t.excuseRepeat = excuses.excuseRepeat
	}
	for i, r := range out {
		written := *r
		written.Offset = int64(i)
		t.add(&written)
	}
	return t
}

func TestOracleNames(t *testing.T) {
	p := newPlan(1, 1)
	out, copies := outputOf(p, 200)
	require.NoError(t, judged(p, nil, out...).verdict())
	require.Equal(t, 1, judged(p, nil, out[1:]...).lost())
	require.Equal(t, 1, judged(p, nil, append(out, out[7])...).repeated)
	require.Equal(t, 1, judged(p, nil, append(out, copies[3])...).copies)
	swapped := append([]*kgo.Record{out[1], out[0]}, out[2:]...)
	require.Equal(t, 1, judged(p, nil, swapped...).disordered)
	altered := *out[5]
	altered.Value = []byte(string(altered.Value) + " ")
	require.Equal(t, 1, judged(p, nil, append(out, &altered)...).foreign)
}

// TestRepeatExcused: one of the two records must lie where a zombie may have written.
func TestRepeatExcused(t *testing.T) {
	p := newPlan(2, 1)
	out, _ := outputOf(p, 100)
	c := &chaos{zombies: []*zombie{{from: []int64{20}, to: []int64{30}}}}
	for _, at := range []struct {
		first   int
		excused int
	}{{19, 0}, {20, 1}, {29, 1}, {30, 0}} {
		judge := judged(p, c, append(out, out[at.first])...)
		require.Equal(t, at.excused, judge.excusedRepeats, at.first)
		require.Equal(t, 1-at.excused, judge.repeated, at.first)
		require.Equal(t, at.excused == 1, judge.verdict() == nil)
	}
}

// TestOwners: a member that comes back to its own partition is no other owner.
func TestOwners(t *testing.T) {
	several := &moves{resumes: map[int32][]resumed{0: {{0, 0}, {1, 50}, {0, 80}}}}
	require.Equal(t, 3, several.owners())
	alone := &moves{resumes: map[int32][]resumed{0: {{2, 0}, {2, 50}}}}
	require.Equal(t, 1, alone.owners())
}

// TestMovesAreRead reads the relay's line. judge makes sure that a real run has them.
func TestMovesAreRead(t *testing.T) {
	v := &moves{resumes: map[int32][]resumed{}}
	v.add(2, "time=2024-01-01T00:00:00.000Z level=INFO msg=resume topic=in partition=11 start=4096 group=4000 store=4096 operator=false\nmsg=other partition=3 start=1 x\n")
	require.Equal(t, map[int32][]resumed{11: {{2, 4096}}}, v.resumes)
}
