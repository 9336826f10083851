package wal

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// Who waits in Await leaves the sync to whoever attends to the log.
func TestAwaitDoesNotLead(t *testing.T) {
	l, _ := reopen(t, &hookFS{FS: vfs.NewMem()}, 0)
	l.Attend(true)
	results := make(chan error, 3)
	pos := mustAppend(t, l, numbered(0, 8))
	for range 3 {
		go func() { results <- l.Await(ctx, pos) }()
	}
	eventually(t, func() bool { return waiting(l) == 3 })
	require.Zero(t, l.Metrics().Syncs)

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, l.Await(cancelled, pos), context.Canceled)
	require.Zero(t, l.Metrics().Syncs, "one that gave up called the others to lead")

	require.NoError(t, l.Sync(ctx, pos))
	for range 3 {
		require.NoError(t, <-results)
	}
	require.EqualValues(t, 1, l.Metrics().Syncs)
	require.NoError(t, l.Await(ctx, pos), "it is durable")
	require.NoError(t, l.Close())
}

// When nobody attends any more, one of those who wait leads, and the others are served by it.
func TestAwaitLeadsWhenNobodyAttends(t *testing.T) {
	l, _ := reopen(t, &hookFS{FS: vfs.NewMem()}, 0)
	l.Attend(true)
	results := make(chan error, 3)
	for i := range uint64(3) {
		pos := mustAppend(t, l, numbered(i, 8))
		go func() { results <- l.Await(ctx, pos) }()
	}
	eventually(t, func() bool { return waiting(l) == 3 })
	l.Attend(false)
	for range 3 {
		require.NoError(t, <-results)
	}
	require.NoError(t, l.Await(ctx, mustAppend(t, l, numbered(3, 8))), "it is Sync")
	require.NoError(t, l.Close())
}

// A log that fails, or is closed, tells those in Await as well.
func TestAwaitHearsOfTheEnd(t *testing.T) {
	fs := &hookFS{FS: vfs.NewMem()}
	l, _ := reopen(t, fs, 0)
	l.Attend(true)
	result := make(chan error, 1)
	pos := mustAppend(t, l, numbered(0, 8))
	go func() { result <- l.Await(ctx, pos) }()
	eventually(t, func() bool { return waiting(l) == 1 })
	require.NoError(t, l.Close(), "it makes the frames durable")
	require.NoError(t, <-result)

	l, _ = reopen(t, fs, 0)
	l.Attend(true)
	fs.setHook(func(_ int, o op) error {
		if o.kind == "syncData" {
			return errDisk
		}
		return nil
	})
	pos = mustAppend(t, l, numbered(1, 8))
	go func() { result <- l.Await(ctx, pos) }()
	eventually(t, func() bool { return waiting(l) == 1 })
	require.ErrorIs(t, l.Sync(ctx, pos), errDisk)
	require.ErrorIs(t, <-result, errDisk)
	_ = l.Close()
}
