package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// child is a process under test. What it prints is kept in a file and shown when the test fails.
type child struct {
	cmd  *exec.Cmd
	log  string // path
	done chan struct{}
	err  error // of Wait; read after done
}

// troubles are never to be read in a child's output, however it ended. The first is for a binary built with -race.
var troubles = regexp.MustCompile(`DATA RACE|panic: |fatal error: |goroutine \d+ \[`)

// start runs cmd. Whatever happens, it does not outlive the test.
func start(t testing.TB, cmd *exec.Cmd) *child {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "child.log"))
	require.NoError(t, err)
	cmd.Stdout, cmd.Stderr = log, log
	c := &child{cmd: cmd, log: log.Name(), done: make(chan struct{})}
	require.NoError(t, cmd.Start())
	require.NoError(t, log.Close())
	go func() {
		c.err = cmd.Wait()
		close(c.done)
	}()
	t.Cleanup(func() {
		c.kill()
		if trouble := troubles.FindString(c.output()); trouble != "" {
			t.Errorf("a child printed %q", trouble)
		}
		if t.Failed() {
			t.Logf("%s\n%s", strings.Join(cmd.Args, " "), c.tail())
		}
	})
	return c
}

func (c *child) alive() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// kill is SIGKILL, and returns when the process is gone.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // gone already is as good
	<-c.done
}

// term is SIGTERM and waits for the exit code.
func (c *child) term(t testing.TB, limit time.Duration) int {
	t.Helper()
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGTERM))
	return c.wait(t, limit)
}

// wait returns the exit code, -1 for a signal.
func (c *child) wait(t testing.TB, limit time.Duration) int {
	t.Helper()
	select {
	case <-c.done:
	case <-time.After(limit):
		require.FailNow(t, "still running", "%s\nafter %s\n%s", strings.Join(c.cmd.Args, " "), limit, c.tail())
	}
	var exit *exec.ExitError
	if errors.As(c.err, &exit) {
		return exit.ExitCode()
	}
	require.NoError(t, c.err)
	return 0
}

// output is all the process has printed so far.
func (c *child) output() string {
	b, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// works says whether noecho has come so far that it hears signals: one that comes before ends it like any other process.
func (c *child) works() bool { return strings.Contains(c.output(), "msg=relaying") }

// stacks ends a process that hangs, and gives all it has printed, with what its goroutines were doing at the end.
func (c *child) stacks() string {
	_ = c.cmd.Process.Signal(syscall.SIGQUIT)
	<-c.done
	return c.output()
}

func (c *child) tail() string {
	out := c.output()
	return out[max(0, len(out)-3000):]
}
