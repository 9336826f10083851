package demo

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fakeRelay writes a shell script that stands for noecho.
func fakeRelay(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "noecho")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755))
	return path
}

// The relay that ends by itself is reported with its own words, and nothing is left behind.
func TestRelayFails(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	var out bytes.Buffer
	o := Options{Seconds: 3, Rate: 10, Out: &out, Executable: fakeRelay(t, "echo one; echo 'no disk' >&2; exit 7")}
	err := Run(context.Background(), o)
	require.ErrorContains(t, err, "the relay has ended by itself (exit status 7); the end of its log:")
	require.ErrorContains(t, err, "no disk")
	o.Executable = filepath.Join(tmp, "absent")
	require.ErrorContains(t, Run(context.Background(), o), "cannot start the relay")
	left, err := os.ReadDir(tmp)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out bytes.Buffer
	err := Run(ctx, Options{Seconds: 3, Rate: 10, Out: &out, Executable: fakeRelay(t, "exec sleep 60")})
	require.ErrorIs(t, err, context.Canceled)
}

func TestChildLearnsAddress(t *testing.T) {
	t.Setenv("NOECHO_WINDOW", "1h")
	c, err := startChild(fakeRelay(t, `echo 'not JSON'; echo '{"msg":"`+MetricsMessage+`","addr":"127.0.0.1:7"}'; env | grep -c NOECHO_; exit 3`), nil)
	require.NoError(t, err)
	<-c.done
	require.Eventually(t, func() bool { return c.address() == "127.0.0.1:7" }, 30*time.Second, time.Millisecond)
	err = c.stop(context.Background())
	require.ErrorContains(t, err, "exit status 3")
	require.Regexp(t, `\n  0$`, err.Error(), "no variable of noecho's reaches it")
}

func TestChildThatDoesNotStop(t *testing.T) {
	c, err := startChild(fakeRelay(t, "trap '' TERM; echo up; while :; do sleep 1; done"), nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorContains(t, c.stop(ctx), "did not stop on SIGTERM")
	require.True(t, c.ended())
}

func TestProofLines(t *testing.T) {
	sent := Sent{Orders: 3, Retries: 1, Replayed: 1}
	good := proofLines(prove(topic("a b a c b"), topic("a b c")), sent, 1, false)
	require.Equal(t, "PROVED: every order exactly once, in order, 2 duplicates dropped, through one kill -9.", good[len(good)-1])
	bad := proofLines(prove(topic("a b a c b"), topic("a b b")), sent, 1, false)
	require.Regexp(t, `^FAILED: the output is not every order exactly once \((lost c|repeated b)\)\.$`, bad[len(bad)-1])
	require.Contains(t, bad, "  lost 1   repeated 1   unknown 0   out of order 0")
}
