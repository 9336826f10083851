//go:build !race

package wal

import (
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

func TestEncoderDoesNotAllocate(t *testing.T) {
	var e Encoder
	frame := func() {
		e.Begin(1, 2, 3)
		e.Boundary(7, 3)
		for i := range int64(1000) {
			e.Mark(7+uint64(i)/500, uint64(i), uint64(i), 3+i*100)
		}
		e.Forget(7, 1, 2)
		e.Floor(6)
		e.Finish(5, 4, 3)
	}
	frame()
	require.Zero(t, testing.AllocsPerRun(100, frame))
}

func TestVisitDoesNotAllocate(t *testing.T) {
	var e Encoder
	e.Begin(1, 2, 3)
	for i := range int64(1000) {
		e.Mark(7, 1, 2, i)
	}
	payload := e.Finish(1, 2, 3)
	c := &countingVisitor{}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		f, err := Decode(payload)
		if err == nil {
			err = f.Visit(c)
		}
		if err != nil {
			t.Fatal(err)
		}
	}))
	require.Equal(t, 101*1000, c.marks)
}

func TestAppendAndSyncDoNotAllocate(t *testing.T) {
	l, err := Open(testDir, Options{FS: nullFS{vfs.NewMem()}, SegmentBytes: maxSegmentBytes}, ignore)
	require.NoError(t, err)
	payload := make([]byte, 8<<10)
	step := func() {
		pos, err := l.Append(payload)
		if err == nil {
			err = l.Sync(ctx, pos)
		}
		if err != nil {
			t.Error(err)
		}
	}
	for range 10 {
		step()
	}
	require.Zero(t, testing.AllocsPerRun(1000, step))
	require.NoError(t, l.Close())
}

// Those who wait for a leader do not allocate either: AllocsPerRun counts what all goroutines do.
func TestWaitingDoesNotAllocate(t *testing.T) {
	l, err := Open(testDir, Options{FS: nullFS{vfs.NewMem()}, SegmentBytes: maxSegmentBytes}, ignore)
	require.NoError(t, err)
	payload := make([]byte, 100)
	var stop atomic.Bool
	done := make(chan struct{})
	step := func() {
		pos, err := l.Append(payload)
		if err == nil {
			err = l.Sync(ctx, pos)
		}
		if err != nil {
			t.Error(err)
		}
	}
	go func() {
		defer close(done)
		for !stop.Load() {
			step()
		}
	}()
	for range 10_000 {
		step()
	}
	require.Zero(t, testing.AllocsPerRun(10_000, step))
	stop.Store(true)
	<-done
	require.NoError(t, l.Close())
}
