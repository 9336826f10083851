package main

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"noecho/cmd/noecho/internal/demo"
)

// The README's first command, shorter.
func TestDemo(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	t.Setenv("NOECHO_WINDOW", "nonsense") // what the shell has set must not reach the demo's relay
	p := spawn(t, "demo", "--seconds", "5", "--rate", "1500")
	require.Equal(t, exitOK, p.exit())
	out := p.output()
	require.Regexp(t, `(?m)^PROVED: every order exactly once, in order, [\d,]+ duplicates dropped, through one kill -9\.$`, out)
	require.Contains(t, out, "lost 0   repeated 0   unknown 0   out of order 0")
	require.Contains(t, out, "kill   SIGKILL to the relay")
	require.Contains(t, out, "relay  back at work after")
	require.NotContains(t, out, "\x1b", "no escapes where there is no terminal")
	empty(t, tmp)
}

func empty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left, "the demo leaves nothing behind")
}

// gone reports whether the process with the pid in the text has ended.
func gone(t *testing.T, pid string) bool {
	t.Helper()
	n, err := strconv.Atoi(pid)
	require.NoError(t, err)
	return syscall.Kill(n, 0) == syscall.ESRCH
}

func TestDemoInterrupted(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	p := spawn(t, "demo", "--rate", "100")
	pid := p.says(`relay  ready \(pid (\d+)\)`)[1]
	p.signal(os.Interrupt)
	require.Equal(t, exitFailed, p.exit())
	require.Contains(t, p.output(), "noecho: interrupted; the relay was stopped and its directory removed")
	require.True(t, gone(t, pid))
	empty(t, tmp)
}

// Not even a demo that is killed leaves a relay behind that looks for its broker for ever.
func TestDemoKilled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ties the child's life to the parent's")
	}
	t.Setenv("TMPDIR", t.TempDir())
	p := spawn(t, "demo", "--rate", "100")
	pid := p.says(`relay  ready \(pid (\d+)\)`)[1]
	p.signal(syscall.SIGKILL)
	p.exit()
	until(t, "the relay is gone", func() bool { return gone(t, pid) })
}

func TestNoTerminal(t *testing.T) {
	var o demo.Options
	terminal(&o, &bytes.Buffer{})
	require.False(t, o.Live)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	terminal(&o, w)
	require.False(t, o.Live)
}
