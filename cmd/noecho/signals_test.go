package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"noecho/cmd/noecho/internal/config"
	"noecho/kafka"
)

const (
	running   = kafka.StateRunning
	restoring = kafka.StateRestoring
)

// stats is a relay whose partitions are in these states.
func stats(states ...kafka.State) func() kafka.Stats {
	s := kafka.Stats{Mode: kafka.ModeActive}
	for i, state := range states {
		s.Partitions = append(s.Partitions, kafka.PartitionStats{Partition: int32(i), State: state})
	}
	return func() kafka.Stats { return s }
}

func TestSignals(t *testing.T) {
	self, err := os.FindProcess(os.Getpid())
	require.NoError(t, err)
	aborted := make(chan struct{})
	ctx, stop := untilSignal(context.Background(), slog.New(slog.DiscardHandler), func() { close(aborted) })
	defer stop()
	require.NoError(t, ctx.Err())
	require.NoError(t, self.Signal(syscall.SIGTERM))
	select {
	case <-ctx.Done():
	case <-time.After(patience):
		require.FailNow(t, "the first signal did not end the context")
	}
	select {
	case <-aborted:
		require.FailNow(t, "one signal must not abort")
	default:
	}
	require.NoError(t, self.Signal(os.Interrupt))
	select {
	case <-aborted:
	case <-time.After(patience):
		require.FailNow(t, "the second signal did not abort")
	}
}

func TestLogging(t *testing.T) {
	f := func(level, format string) string {
		var b bytes.Buffer
		c := config.Default()
		c.LogLevel, c.LogFormat = level, format
		log := newLogger(&b, &c)
		log.Debug("ours debug")
		log.Info("ours info", "n", 1)
		client := clientLogger(log).With("k", "v").WithGroup("g")
		client.Debug("client debug")
		client.Info("client info")
		client.Warn("client warn")
		return b.String()
	}
	text := f("info", "text")
	require.Contains(t, text, `msg="ours info" n=1`)
	require.Contains(t, text, `msg="client warn" part="kafka client" k=v`)
	require.NotContains(t, text, "client info", "the client's info is our debug")
	require.NotContains(t, text, "debug")
	text = f("debug", "json")
	require.Contains(t, text, `"msg":"client debug"`)
	require.Contains(t, text, `"msg":"ours debug"`)
	text = f("error", "text")
	require.Empty(t, text)
}
