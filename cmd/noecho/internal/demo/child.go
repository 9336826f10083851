package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// MetricsMessage is what `noecho run` logs, in JSON, when its metrics server listens; the attribute "addr" says where.
// The child is told to choose a free port, and this is how the parent learns of it: choosing one here and passing it on
// would be a race for the port.
const MetricsMessage = "serving metrics"

// tailLines of the child's log are kept, to be shown if it ends when it should not.
const tailLines = 20

// waitDelay is how long the end of the log may come after the end of the process: whatever else has the pipe open must
// not hold up kill.
const waitDelay = time.Second

// child is the relay's process.
type child struct {
	pid     int
	process *os.Process
	started time.Time
	done    chan struct{} // closed when the process has ended and its log is read
	err     error         // how; written before done is closed

	mu   sync.Mutex
	addr string   // protected by mu: of its metrics server, "" until it says
	tail []string // protected by mu: its last lines
}

// startChild runs the command. Variables of noecho itself are kept from it: the demo must not depend on what the
// user's shell has configured.
func startChild(name string, args []string) (*child, error) {
	cmd := exec.Command(name, args...)
	for _, line := range os.Environ() {
		if !strings.HasPrefix(line, "NOECHO_") {
			cmd.Env = append(cmd.Env, line)
		}
	}
	cmd.SysProcAttr = childAttr()
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	cmd.WaitDelay = waitDelay
	c := &child{done: make(chan struct{}), started: time.Now()}
	up := make(chan error)
	go func() {
		// Linux kills the child when the thread that made it ends (childAttr), so that thread must live as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			c.process, c.pid = cmd.Process, cmd.Process.Pid
		}
		up <- err
		if err != nil {
			return
		}
		read := make(chan struct{})
		go func() { defer close(read); c.read(out) }()
		c.err = cmd.Wait()
		_ = in.Close()
		<-read
		close(c.done)
	}()
	if err := <-up; err != nil {
		return nil, fmt.Errorf("cannot start the relay: %w", err)
	}
	return c, nil
}

// read keeps the last lines of the log and looks for the address.
func (c *child) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		var entry struct {
			Msg  string `json:"msg"`
			Addr string `json:"addr"`
		}
		c.mu.Lock()
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == MetricsMessage {
			c.addr = entry.Addr
		}
		if c.tail = append(c.tail, line); len(c.tail) > tailLines {
			c.tail = c.tail[1:]
		}
		c.mu.Unlock()
	}
	// A line too long ends the scan; the pipe must be read on, or the child would block writing to it.
	_, _ = io.Copy(io.Discard, r)
}

// address returns where the child serves its metrics, "" while it has not said.
func (c *child) address() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addr
}

// ended reports whether the process is gone.
func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// kill ends the process without warning (SIGKILL) and waits until it is gone.
func (c *child) kill() {
	_ = c.process.Kill() // the one error is that it has ended already
	<-c.done
}

// stop asks the process to end (SIGTERM) and waits. An exit status other than 0 is an error.
func (c *child) stop(ctx context.Context) error {
	if err := c.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("cannot stop the relay: %w", err)
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		c.kill()
		return c.failure("the relay did not stop on SIGTERM")
	}
	if c.err != nil {
		return c.failure("the relay did not stop cleanly")
	}
	return nil
}

// failure is an error with the end of the child's log.
func (c *child) failure(what string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Errorf("%s (%v); the end of its log:\n  %s", what, c.err, strings.Join(c.tail, "\n  "))
}
