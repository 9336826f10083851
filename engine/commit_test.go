package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"noecho/engine"
	"noecho/internal/testutil"
)

// TestCommitsUnderWay: commits are started one after the other, and waited for later. What a ticket stands for survives a crash.
func TestCommitsUnderWay(t *testing.T) {
	s := openStore(t, testOptions(testutil.NewFS()))
	var tickets []engine.Ticket
	for i := range int64(20) {
		s.fill(100*i, 0, key("k", i)+"-", 100)
		ticket, err := s.p.CommitStart(100 * (i + 1))
		require.NoError(t, err)
		require.Equal(t, 100*(i+1), ticket.Next())
		tickets = append(tickets, ticket)
	}
	require.NoError(t, s.p.CommitWait(context.Background(), tickets[13]))
	s.crash(0, 1)
	require.GreaterOrEqual(t, s.p.Committed(), int64(1400))
	_, to := s.p.Coverage()
	require.GreaterOrEqual(t, to, int64(1400))
	for i := range int64(14) {
		for j, v := range s.drop(max(to, 2000)+100*i, 0, keys(key("k", i)+"-", 100)...) {
			require.Equal(t, 100*i+int64(j), v.First)
		}
	}
}

// TestStartedCommitsBecomeDurable without anybody waiting for them: the syncer writes them.
func TestStartedCommitsBecomeDurable(t *testing.T) {
	s := openStore(t, testOptions(testutil.NewFS()))
	s.fill(0, 0, "k", 10)
	_, err := s.p.CommitStart(10)
	require.NoError(t, err)
	s.eventually("nobody syncs", func() bool { return s.e.Metrics().WAL.SyncedFrames > 0 })
	s.crash(0, 1)
	require.Equal(t, int64(10), s.p.Committed())
}

// TestExpiryWaitsForTheDisk: a commit that was started and is not durable lets no bucket die: a crash may take it back, and what is
// delivered again then sees the old buckets.
func TestExpiryWaitsForTheDisk(t *testing.T) {
	s := openStore(t, testOptions(testutil.NewFS()))
	s.fill(0, 0, "old", 10)
	s.commit(10)
	entered, release := make(chan struct{}), make(chan struct{})
	first := true
	s.fs.OnOp(func(_ int, what string) error {
		if first && strings.Contains(what, "wal") {
			first = false
			close(entered)
			<-release
		}
		return nil
	})
	s.fill(10, 10_000, "new", 10)
	ticket, err := s.p.CommitStart(20)
	require.NoError(t, err)
	<-entered // the syncer is at it
	require.Equal(t, int64(20), s.p.Committed())
	require.Len(t, s.p.Metrics().Buckets, 2)
	close(release)
	require.NoError(t, s.p.CommitWait(context.Background(), ticket))
	require.Len(t, s.p.Metrics().Buckets, 1)
	s.fs.OnOp(nil)
}

func TestTicketsOfOthers(t *testing.T) {
	s := openStore(t, testOptions(testutil.NewFS()))
	require.NoError(t, s.p.CommitWait(context.Background(), engine.Ticket{}), "nothing to wait for")
	other, err := s.e.Partition("t", 1)
	require.NoError(t, err)
	_, err = other.Check(batch(0, 0, "k"), nil)
	require.NoError(t, err)
	ticket, err := other.CommitStart(1)
	require.NoError(t, err)
	require.ErrorIs(t, s.p.CommitWait(context.Background(), ticket), engine.ErrTicket)
	require.NoError(t, other.Close())
	require.NoError(t, other.CommitWait(context.Background(), ticket), "what was started goes on when the handle is closed")
	_, err = other.CommitStart(2)
	require.ErrorIs(t, err, engine.ErrClosed)
	require.NoError(t, s.e.Drop("t", 1))
}

// TestFailedSyncOfTheSyncer poisons the engine, and whoever waits is told.
func TestFailedSyncOfTheSyncer(t *testing.T) {
	s := openStore(t, testOptions(testutil.NewFS()))
	s.fill(0, 0, "k", 10)
	boom := errors.New("boom")
	s.fs.OnOp(func(_ int, what string) error {
		if strings.Contains(what, "wal") {
			return boom
		}
		return nil
	})
	ticket, err := s.p.CommitStart(10)
	require.NoError(t, err)
	var poisoned *engine.PoisonedError
	require.ErrorAs(t, s.p.CommitWait(context.Background(), ticket), &poisoned)
	require.ErrorIs(t, poisoned, boom)
	s.eventually("the engine goes on", func() bool { _, err := s.p.CommitStart(11); return errors.As(err, &poisoned) })
	s.abandon()
}
