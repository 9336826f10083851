package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// naive is a relay that is right because it forgets nothing and trusts nothing: each life reads the whole output to see what is
// there, and the whole input to know every key. Far too slow for use, it shows that the harness passes a right relay.
// With a flaw it shows that the harness sees that flaw.
type naive struct {
	link
	flaw string // "", "lose", "repeat" or "reorder"

	b    broker
	cl   *kgo.Client
	keys map[string]bool
	done map[int32]int64       // last input offset that is in the output, by partition
	held map[int32]*kgo.Record // flaw reorder: a record that waits until the next one has gone
}

const naiveVar, flawVar = "NOECHO_E2E_LINK", "NOECHO_E2E_FLAW"

func runNaive() error {
	args := strings.Split(os.Getenv(naiveVar), " ")
	n := &naive{link: link{args[0], args[1], args[2], args[3]}, flaw: os.Getenv(flawVar),
		keys: map[string]bool{}, done: map[int32]int64{}, held: map[int32]*kgo.Record{}}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	n.b.addrs = n.brokers
	cl, err := n.b.client(kgo.ConsumeTopics(n.input), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer cl.Close()
	n.cl, n.b.adm = cl, kadm.NewClient(cl)
	if err := n.recall(); err != nil {
		return err
	}
	for {
		fetches := cl.PollRecords(ctx, 1000)
		if ctx.Err() != nil {
			return nil
		}
		if err := errors.Join(fetches.Err(), n.relay(fetches)); err != nil {
			return err
		}
	}
}

// recall reads from the output how far the former lives came.
func (n *naive) recall() error {
	for p := range int32(partitions) {
		n.done[p] = -1
	}
	// What the killed life had sent may land a moment after its death: wait until the end stands still.
	for before := []int64(nil); ; time.Sleep(250 * time.Millisecond) {
		ends, err := n.b.ends(n.output)
		if err != nil {
			return err
		}
		if slices.Equal(before, ends) {
			break
		}
		before = ends
	}
	err := n.b.read(n.output, time.Now().Add(time.Minute), func(r *kgo.Record) {
		source := string(r.Headers[len(r.Headers)-1].Value)
		n.done[r.Partition], _ = strconv.ParseInt(source[strings.LastIndexByte(source, '/')+1:], 10, 64)
	})
	if n.flaw == "repeat" {
		for p := range n.done {
			n.done[p] -= 3
		}
	}
	return err
}

func (n *naive) relay(fetches kgo.Fetches) error {
	var out []*kgo.Record
	commit := kadm.Offsets{}
	fetches.EachRecord(func(r *kgo.Record) {
		commit.AddOffset(r.Topic, r.Partition, r.Offset+1, -1)
		if key := string(r.Key); !n.keys[key] {
			n.keys[key] = true
			if r.Offset > n.done[r.Partition] {
				out = n.pass(out, r)
			}
		}
	})
	if err := n.cl.ProduceSync(context.Background(), out...).FirstErr(); err != nil {
		return err
	}
	return n.b.adm.CommitAllOffsets(context.Background(), n.group, commit)
}

func (n *naive) pass(out []*kgo.Record, r *kgo.Record) []*kgo.Record {
	flawed := r.Offset%997 == 500
	if flawed && n.flaw == "lose" {
		return out
	}
	source := fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset)
	copied := &kgo.Record{Topic: n.output, Partition: r.Partition, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp,
		Headers: append(slices.Clone(r.Headers), kgo.RecordHeader{Key: sourceHeader, Value: []byte(source)})}
	if flawed && n.flaw == "reorder" && n.held[r.Partition] == nil {
		n.held[r.Partition] = copied
		return out
	}
	out = append(out, copied)
	if held := n.held[r.Partition]; held != nil {
		n.held[r.Partition] = nil
		out = append(out, held)
	}
	return out
}

// TestHarness runs the harness on relays whose fault is known.
func TestHarness(t *testing.T) {
	run := func(t *testing.T, flaw string) judge {
		k := killRun{silent: true, records: 12_000, kills: 2, rate: 4_000, limit: 2 * time.Minute}
		k.command = func(l link, _ int) *exec.Cmd {
			return self("naive", flawVar+"="+flaw, naiveVar+"="+strings.Join([]string{l.brokers, l.input, l.output, l.group}, " "))
		}
		return k.run(t)
	}
	t.Run("right", func(t *testing.T) {
		require.NoError(t, run(t, "").verdict())
	})
	t.Run("lose", func(t *testing.T) {
		var wrong *wrongOutput
		require.ErrorAs(t, run(t, "lose").verdict(), &wrong)
		require.NotZero(t, wrong.Lost)
		require.Zero(t, wrong.Repeated+wrong.Copies+wrong.Disordered+wrong.Foreign, wrong)
	})
	t.Run("repeat", func(t *testing.T) {
		var wrong *wrongOutput
		require.ErrorAs(t, run(t, "repeat").verdict(), &wrong)
		require.NotZero(t, wrong.Repeated)
		require.Zero(t, wrong.Lost+wrong.Copies+wrong.Disordered+wrong.Foreign, wrong)
	})
	t.Run("reorder", func(t *testing.T) {
		var wrong *wrongOutput
		require.ErrorAs(t, run(t, "reorder").verdict(), &wrong)
		require.NotZero(t, wrong.Disordered)
		require.Zero(t, wrong.Repeated+wrong.Copies+wrong.Foreign, wrong)
	})
}
