package child

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// Command is the hidden command of the program that calls [Serve].
const Command = "child"

// Progress is what a child tells on its way.
type Progress struct {
	Done  float64 `json:"done"`            // 0 to 1
	Note  string  `json:"note,omitempty"`  // a few words
	Value int64   `json:"value,omitempty"` // whatever the two agreed on
	// Data is for a child that will not live to give a result.
	Data json.RawMessage `json:"data,omitempty"`
}

type message struct {
	Progress *Progress       `json:"progress,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Error    string          `json:"error,omitempty"`
}

// Func does one kind of work in the child.
type Func func(ctx context.Context, spec json.RawMessage, tell func(Progress)) (any, error)

// Handler makes a Func of a function with a spec of its own type.
func Handler[S, R any](f func(context.Context, S, func(Progress)) (R, error)) Func {
	return func(ctx context.Context, raw json.RawMessage, tell func(Progress)) (any, error) {
		var spec S
		if err := json.Unmarshal(raw, &spec); err != nil {
			return nil, err
		}
		return f(ctx, spec, tell)
	}
}

// Serve reads the spec from in, runs f and writes messages to out. Its own error is one of out.
func Serve(ctx context.Context, f Func, in io.Reader, out io.Writer) error {
	spec, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	lines := make(chan message, 64)
	written := make(chan error, 1)
	go func() { written <- write(out, lines) }()
	result, err := f(ctx, spec, func(p Progress) { lines <- message{Progress: &p} })
	last := message{}
	if err == nil {
		last.Result, err = json.Marshal(result)
	}
	if err != nil {
		last = message{Error: err.Error()}
	}
	lines <- last
	close(lines)
	return <-written
}

// write is the one writer of out. After an error it goes on taking, so that nobody blocks.
func write(out io.Writer, lines <-chan message) (err error) {
	enc := json.NewEncoder(out)
	for m := range lines {
		if e := enc.Encode(m); e != nil && err == nil {
			err = e
		}
	}
	return err
}

// ErrKilled is returned by Run when the child was killed by [Process.Kill].
var ErrKilled = errors.New("the child was killed")

// Process is a running child.
type Process struct{ cmd *exec.Cmd }

// Kill kills the child at once, as a power failure of the process alone, and not what it has started.
func (p *Process) Kill() error { return p.cmd.Process.Kill() }

// PID of the child.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Run runs a child and decodes its result. tell may be nil; it gets the process, so that it can kill it.
func Run(ctx context.Context, kind string, spec, result any, tell func(*Process, Progress)) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, Command, kind)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Stdin = bytes.NewReader(raw)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	said, err := read(out, func(p Progress) {
		if tell != nil {
			tell(&Process{cmd}, p)
		}
	})
	ended := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case said.Error != "":
		return errors.New(said.Error)
	case said.Result != nil:
		return json.Unmarshal(said.Result, result)
	case killed(cmd):
		return ErrKilled
	}
	return fmt.Errorf("the child %s ended without a result (%w, %v): %s", kind, ended, err, tail(stderr.String()))
}

func killed(cmd *exec.Cmd) bool {
	ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && ws.Signaled() && ws.Signal() == syscall.SIGKILL
}

// read takes the child's lines until its last word.
func read(out io.Reader, tell func(Progress)) (last message, err error) {
	r := bufio.NewReaderSize(out, 1<<20)
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return last, err
		}
		var m message
		if err := json.Unmarshal(line, &m); err != nil {
			return last, fmt.Errorf("the child said %q: %w", line, err)
		}
		if m.Progress == nil {
			last = m
			continue
		}
		tell(*m.Progress)
	}
}

// tail is the end of what a child wrote: a panic's first lines would be better, but the end names the cause as well.
func tail(s string) string {
	const most = 4000
	s = strings.TrimSpace(s)
	if len(s) > most {
		s = "…" + s[len(s)-most:]
	}
	return s
}
