package kafka

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

func forged(part int32, key, source string) *kgo.Record {
	r := rec(part, key, "1")
	r.Headers = []kgo.RecordHeader{{Key: sourceHeader, Value: []byte(source)}}
	return r
}

// TestForgedSourceInTheInput: headers of the input are copied, also one that looks like ours. It says nothing about what
// the output holds.
func TestForgedSourceInTheInput(t *testing.T) {
	for _, committed := range []bool{true, false} { // scanned forwards, and backwards
		w := newWorld(t, 1)
		w.feed(forged(0, "a", "orders/0/2"), rec(0, "b", "1"))
		l := w.prepare(nil, brief)
		l.relay.member.cfg.CommitInterval = patience // nothing committed but the claim
		l.start()
		w.eventually("all in the output", l.idle)
		l.die(0, 1)
		l.bury()
		if !committed {
			w.vacate()
			_, err := w.adm.DeleteGroup(t.Context(), testGroup)
			require.NoError(t, err)
		}
		w.feed(rec(0, "c", "1"), rec(0, "d", "1"))
		l = w.start(nil, nil)
		l.settle()
		l.stop()
		w.requireClean()
	}
}

// TestSourceBeyondTheInput: a header in the output that no relay of this input has written would make it drop all that
// comes before. Refused, until the operator says where to go on.
func TestSourceBeyondTheInput(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(rec(0, "a", "1"))
	foreign := forged(0, "x", "orders/0/1")
	foreign.Topic = testOut
	require.NoError(t, w.cl.ProduceSync(t.Context(), foreign).FirstErr())
	l := w.start(nil, brief)
	<-l.done
	var source *SourceError
	require.ErrorAs(t, l.err, &source)
	require.EqualValues(t, 1, source.Source)
	require.EqualValues(t, 1, source.End)
	require.NoError(t, l.e.Close())
	w.vacate()
	w.reset(0, 0)
	l = w.start(nil, nil)
	l.settle()
	l.stop()
	requireSame(t, 0, w.fed[0], w.output()[0][1:])
}
