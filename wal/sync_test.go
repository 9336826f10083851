package wal

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

var errDisk = errors.New("disk on fire")

// gate stops the first fdatasync until it is opened, and says when it was reached.
type gate struct {
	reached, open chan struct{}
	err           error // what the sync then returns
	once          sync.Once
}

func newGate(err error) *gate {
	return &gate{reached: make(chan struct{}), open: make(chan struct{}), err: err}
}

func (g *gate) hook(_ int, o op) (err error) {
	if o.kind == "syncData" {
		g.once.Do(func() {
			close(g.reached)
			<-g.open
			err = g.err
		})
	}
	return err
}

// waiting says how many callers sleep in Sync.
func waiting(l *Log) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.mu.waiters)
}

// While one group is synced, others append and wait; the next sync serves them all.
func TestWaitersShareASync(t *testing.T) {
	fs := &hookFS{FS: vfs.NewMem()}
	var synced []int
	l, err := Open(testDir, Options{FS: fs, OnSync: func(_ time.Duration, n int) { synced = append(synced, n) }}, ignore)
	require.NoError(t, err)
	g := newGate(nil)
	fs.setHook(g.hook)

	results := make(chan error, 9)
	go func() { results <- l.Sync(ctx, mustAppend(t, l, numbered(0, 8))) }()
	<-g.reached
	for i := range uint64(8) {
		pos := mustAppend(t, l, numbered(1+i, 8))
		go func() { results <- l.Sync(ctx, pos) }()
	}
	eventually(t, func() bool { return waiting(l) == 8 })
	close(g.open)
	for range 9 {
		require.NoError(t, <-results)
	}
	require.Equal(t, []int{1, 8}, synced)
	m := l.Metrics()
	require.EqualValues(t, 2, m.Syncs)
	require.EqualValues(t, 9, m.SyncedFrames)
	require.EqualValues(t, 9*32, m.Appended)
	require.NoError(t, l.Close())
}

// One failed sync: everyone who waits gets the error, and so does everyone for ever after.
func TestFailedSyncPoisons(t *testing.T) {
	disk := vfs.NewCrashableMem()
	fs := &hookFS{FS: disk}
	l, _ := reopen(t, fs, 0)
	acked := mustSync(t, l, numbered(0, 8))
	g := newGate(errDisk)
	fs.setHook(g.hook) // fails once: a retry would succeed

	results := make(chan error, 9)
	go func() { results <- l.Sync(ctx, mustAppend(t, l, numbered(1, 8))) }()
	<-g.reached
	for i := range uint64(8) {
		pos := mustAppend(t, l, numbered(2+i, 8))
		go func() { results <- l.Sync(ctx, pos) }()
	}
	eventually(t, func() bool { return waiting(l) == 8 })
	close(g.open)
	for range 9 {
		requirePoisoned(t, <-results)
	}
	_, err := l.Append(numbered(10, 8))
	requirePoisoned(t, err)
	requirePoisoned(t, l.Sync(ctx, acked))
	requirePoisoned(t, l.Truncate(l.End()))
	requirePoisoned(t, l.Err())
	requirePoisoned(t, l.Close())
	require.NoError(t, l.Close(), "the second Close does nothing")
	require.Equal(t, []uint64{0}, replayed(t, disk.CrashClone(vfs.CrashCloneCfg{})))
}

func requirePoisoned(t *testing.T, err error) {
	t.Helper()
	var poisoned *PoisonedError
	require.ErrorAs(t, err, &poisoned)
	require.ErrorIs(t, err, errDisk)
	require.NotEmpty(t, poisoned.Path)
}

// A caller who gives up while others lead leaves no trace: the frames become durable all the same.
func TestSyncHeedsContext(t *testing.T) {
	fs := &hookFS{FS: vfs.NewMem()}
	l, _ := reopen(t, fs, 0)
	g := newGate(nil)
	fs.setHook(g.hook)

	leader := make(chan error, 1)
	go func() { leader <- l.Sync(ctx, mustAppend(t, l, numbered(0, 8))) }()
	<-g.reached
	pos := mustAppend(t, l, numbered(1, 8))
	cancelled, cancel := context.WithCancel(ctx)
	follower := make(chan error, 1)
	go func() { follower <- l.Sync(cancelled, pos) }()
	eventually(t, func() bool { return waiting(l) == 1 })
	cancel()
	require.ErrorIs(t, <-follower, context.Canceled)
	require.Zero(t, waiting(l))
	close(g.open)
	require.NoError(t, <-leader)
	require.ErrorIs(t, l.Sync(cancelled, pos), context.Canceled, "nothing is written for who has left")
	require.NoError(t, l.Sync(ctx, pos))
	require.NoError(t, l.Sync(cancelled, pos), "durable is durable")
	require.NoError(t, l.Close())
}

// lateContext ends without a word: only who asks learns of it. So a waiter is woken, and leaves.
type lateContext struct {
	context.Context
	ended atomic.Bool
}

func (*lateContext) Done() <-chan struct{} { return nil }

func (c *lateContext) Err() error {
	if c.ended.Load() {
		return context.Canceled
	}
	return nil
}

// The first of two waiters is called to lead, and finds that its context has ended. The other one
// must not be left asleep.
func TestLeadIsPassedOn(t *testing.T) {
	fs := &hookFS{FS: vfs.NewMem()}
	l, _ := reopen(t, fs, 0)
	g := newGate(nil)
	fs.setHook(g.hook)
	leader, first, second := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	go func() { leader <- l.Sync(ctx, mustAppend(t, l, numbered(0, 8))) }()
	<-g.reached
	pos := mustAppend(t, l, numbered(1, 8))
	late := &lateContext{Context: ctx}
	go func() { first <- l.Sync(late, pos) }()
	eventually(t, func() bool { return waiting(l) == 1 })
	go func() { second <- l.Sync(ctx, pos) }()
	eventually(t, func() bool { return waiting(l) == 2 })
	late.ended.Store(true)
	close(g.open)
	require.NoError(t, <-leader)
	require.ErrorIs(t, <-first, context.Canceled)
	require.NoError(t, <-second)
	require.NoError(t, l.Close())
}

// A waiter whose context ends just as it is woken takes its token away: left behind, it would wake the
// next user of that memory for nothing, or block the leader.
func TestNoTokenIsLeft(t *testing.T) {
	fs := &hookFS{FS: vfs.NewMem()}
	l, _ := reopen(t, fs, 0)
	g := newGate(nil)
	fs.setHook(g.hook)
	leader, follower := make(chan error, 1), make(chan error, 1)
	go func() { leader <- l.Sync(ctx, mustAppend(t, l, numbered(0, 8))) }()
	<-g.reached
	pos := mustAppend(t, l, numbered(1, 8))
	for range 50 {
		cancelled, cancel := context.WithCancel(ctx)
		go func() { follower <- l.Sync(cancelled, pos) }()
		eventually(t, func() bool { return waiting(l) == 1 })
		l.mu.Lock()
		cancel()
		runtime.Gosched() // it sees the end of its context, or its token: both must do
		l.mu.leading = false
		l.wakeLocked()
		l.mu.leading = true
		l.mu.Unlock()
		require.ErrorIs(t, <-follower, context.Canceled)
		require.Zero(t, waiting(l))
		for _, w := range l.mu.free {
			require.Empty(t, w.wake)
		}
	}
	close(g.open)
	require.NoError(t, <-leader)
	require.NoError(t, l.Close())
}

// Callers come and go with contexts that end at any moment. Nobody hangs, and nobody who was
// called to lead and left takes the others down with him.
func TestCancelledWaitersPassTheLeadOn(t *testing.T) {
	fs := &hookFS{FS: vfs.NewMem()}
	l, _ := reopen(t, fs, 0)
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			rng := newRand(uint64(worker))
			for range 300 {
				c, cancel := context.WithCancel(ctx)
				pos := mustAppend(t, l, numbered(uint64(worker), 16))
				if worker%2 == 0 {
					delay := time.Duration(rng.IntN(20)) * time.Microsecond
					go func() {
						time.Sleep(delay)
						cancel()
					}()
				}
				if err := l.Sync(c, pos); err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	group.Wait()
	require.Zero(t, waiting(l))
	require.NoError(t, l.Close())
	require.Len(t, replayed(t, fs.FS), 8*300)
}

// Many goroutines append and sync; crashes are taken at random operations. Whatever a Sync had
// acknowledged by then is in the crashed log, in the order of positions.
func TestConcurrentAppendAndSync(t *testing.T) {
	const workers, each = 8, 60
	disk := vfs.NewCrashableMem()
	fs := &hookFS{FS: disk}
	l, _ := reopen(t, fs, 4096)
	var acked sync.Map // number -> struct{}{}
	type crash struct {
		disk  *vfs.MemFS
		acked []uint64
	}
	var crashes []crash
	rng := newRand(5)
	fs.setHook(func(n int, _ op) error {
		if n%23 == 0 {
			var known []uint64
			acked.Range(func(number, _ any) bool { known = append(known, number.(uint64)); return true })
			crashes = append(crashes, crash{disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng}), known})
		}
		return nil
	})
	var positions [workers * each]atomic.Uint64
	var group sync.WaitGroup
	for w := range uint64(workers) {
		group.Go(func() {
			for i := range uint64(each) {
				number := w*each + i
				pos, err := l.Append(numbered(number, 8+int(number%200)))
				if err == nil {
					positions[number].Store(uint64(pos))
					err = l.Sync(ctx, pos)
				}
				if err != nil {
					t.Error(err)
					return
				}
				acked.Store(number, struct{}{})
			}
		})
	}
	group.Wait()
	require.NoError(t, l.Close())
	fs.setHook(nil)
	require.NotEmpty(t, crashes)
	for i, c := range crashes {
		var got []uint64
		l, err := Open(testDir, Options{FS: c.disk, SegmentBytes: 4096}, func(pos Position, b []byte) error {
			number := numberOf(t, b)
			if now := positions[number].Load(); now != uint64(pos) {
				return fmt.Errorf("frame %d is at %d, was appended at %d", number, pos, now)
			}
			got = append(got, number)
			return nil
		})
		require.NoError(t, err)
		require.NoError(t, l.Close())
		slices.Sort(got)
		for _, number := range c.acked {
			_, found := slices.BinarySearch(got, number)
			require.True(t, found, "crash %d: %d was acknowledged, and is lost", i, number)
		}
	}
	require.Len(t, replayed(t, disk), workers*each)
}
