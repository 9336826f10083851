package kafka

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Something outside is away, slow or full while records flow.

// produced waits until the output holds so many records.
func (w *world) produced(l *life, n uint64) {
	w.t.Helper()
	w.eventually("records in the output", func() bool { return l.relay.Stats().Totals.Produced >= n })
}

// TestCoordinatorAway: nobody answers for the group. Records go on being relayed; commits wait for it, and nothing shows.
func TestCoordinatorAway(t *testing.T) {
	away := kfake.Fault{
		Keys: []kmsg.Key{kmsg.FindCoordinator, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.OffsetFetch, kmsg.OffsetCommit},
		Err:  kerr.CoordinatorNotAvailable, Count: -1,
	}
	w := newWorld(t, 2)
	rng := rand.New(rand.NewPCG(31, 31))
	w.feed(history(rng, 2, 500)...)
	h := w.cluster.Fault(away)
	l := w.start(nil, nil)
	require.NoError(t, h.Wait(t.Context(), 3))
	h.Remove()
	l.settle()

	h = w.cluster.Fault(away)
	before := l.relay.Stats().Totals.Produced
	w.feed(history(rng, 2, 500)...)
	w.produced(l, before+1)
	w.eventually("all handled", l.idle)
	require.NoError(t, h.Wait(t.Context(), 3))
	h.Remove()
	l.settle()
	l.stop()
	w.requireClean()
}

// TestStopWhileJoining: the broker holds back its answer to the request to join, as it does while it waits for other members. A stop does not wait
// for it.
func TestStopWhileJoining(t *testing.T) {
	w := newWorld(t, 1)
	joining, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	w.cluster.ControlKey(int16(kmsg.JoinGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		close(joining)
		w.cluster.SleepControl(func() { <-release })
		return nil, nil, false
	})
	l := w.start(nil, func(cfg *RelayConfig) { cfg.RebalanceTimeout = 12 * time.Second })
	<-joining
	began := time.Now()
	l.stop()
	require.Less(t, time.Since(began), 10*time.Second, "a twelfth of the rebalance timeout, and some patience")
}

// TestCommitConnectionsBreak: the connection closes before or after the broker has stored the offsets.
func TestCommitConnectionsBreak(t *testing.T) {
	w := newWorld(t, 2)
	w.feed(history(rand.New(rand.NewPCG(32, 32)), 2, 4000)...)
	var n, broken atomic.Int64
	w.cluster.ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if n.Add(1)%2 == 0 && broken.Add(1) <= 4 {
			return nil, errors.New("closed"), true
		}
		return nil, nil, false
	})
	l := w.start(nil, nil)
	for i := range 5 {
		w.eventually("commits that were lost", func() bool { return broken.Load() >= int64(min(i, 4)) })
		w.feed(history(rand.New(rand.NewPCG(33, uint64(i))), 2, 200)...)
		l.settle()
	}
	l.stop()
	w.requireClean()
}

// TestBrokerRestart: the broker stops under load and comes back at the same address with what it had.
func TestBrokerRestart(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, 2, kfake.DataDir(dir))
	addr := w.cluster.ListenAddrs()[0]
	port, err := strconv.Atoi(addr[strings.LastIndexByte(addr, ':')+1:])
	require.NoError(t, err)
	l := w.start(nil, nil)
	for round := range 3 {
		var records []*kgo.Record
		for i := range 4000 {
			records = append(records, rec(int32(i%2), fmt.Sprintf("k%d", round*3000+i), "")) // a quarter copies, of the round before
		}
		w.feed(records...)
		w.produced(l, uint64(3000*round+1100))
		w.cluster.Close()
		w.cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(port), kfake.DataDir(dir), kfake.GroupMinSessionTimeout(100*time.Millisecond))
		require.NoError(t, err)
		t.Cleanup(w.cluster.Close)
	}
	l.settle()
	l.stop()
	w.requireClean()
}

// TestFsyncHangs: the log's fsync does not return. The output goes on; no offset is committed before it does.
func TestFsyncHangs(t *testing.T) {
	w := newWorld(t, 1)
	w.feed(history(rand.New(rand.NewPCG(35, 35)), 1, 500)...)
	release, entered := make(chan struct{}), make(chan struct{})
	var once, freed sync.Once
	l := w.start(&hooks{before: func(int32, int64) error {
		once.Do(func() { close(entered) })
		<-release
		return nil
	}}, nil)
	free := func() { freed.Do(func() { close(release) }) }
	t.Cleanup(free) // before the life's own cleanup, which waits for it
	<-entered
	more := history(rand.New(rand.NewPCG(36, 36)), 1, 500)
	w.feed(more...)
	w.eventually("all handled", l.idle)
	require.Positive(t, l.relay.Stats().Totals.Produced)
	at, _ := w.committed(0)
	require.Zero(t, at, "the claim")
	free()
	l.settle()
	l.stop()
	w.requireClean()
}

// TestDiskFullInTheMiddle: the n-th write of a life to the log fails and all after it, n from 1 on, until a life is not hit. The relay stops and
// says why; with space again nothing is missing and nothing comes twice.
func TestDiskFullInTheMiddle(t *testing.T) {
	w := newWorld(t, 2)
	rng := rand.New(rand.NewPCG(37, 37))
	n := 1
	for n < 30 && w.fillsUp(n, rng) {
		n++
	}
	require.Greater(t, n, 3, "lives that the full disk has ended")
	l := w.start(nil, nil)
	l.settle()
	l.stop()
	w.requireClean()
}

// fillsUp runs a life whose n-th write to the log and all later ones fail, and says whether that ended it. (What a full disk does to the index,
// TestFullDisk in fuzz/e2e shows: Pebble's goroutines then stay until the process ends.)
func (w *world) fillsUp(n int, rng *rand.Rand) bool {
	w.t.Helper()
	l := w.prepare(nil, brief)
	writes := 0
	w.fs.OnOp(func(_ int, what string) error { // one at a time
		if !strings.HasPrefix(what, "write") || !strings.HasSuffix(what, ".wal") {
			return nil
		}
		if writes++; writes >= n {
			return syscall.ENOSPC
		}
		return nil
	})
	l.start()
	for range 6 { // commits, and so writes
		w.feed(history(rng, 2, 50)...)
		w.eventually("all committed, or no space", l.committed)
	}
	l.cancel()
	<-l.done
	w.fs.OnOp(nil)
	_ = l.e.Close() // a poisoned log says so once more
	if l.err != nil {
		require.ErrorIs(w.t, l.err, syscall.ENOSPC)
	}
	return l.err != nil
}
