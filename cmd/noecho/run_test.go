package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/kafka"
)

const (
	testPartitions = 2
	patience       = 30 * time.Second
)

// process is noecho as a process, with what it has written so far.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{}

	mu   sync.Mutex
	text []byte // protected by mu
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = append(p.text, b...)
	return len(b), nil
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.text)
}

func spawn(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: command(t, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	require.NoError(t, p.cmd.Start())
	go func() { defer close(p.done); _ = p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("%v\n%s", p.cmd.Args, p.output())
		}
	})
	return p
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(s))
}

// exit waits for the end and returns the exit code.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		require.FailNow(p.t, "still running", p.output())
	}
	return p.cmd.ProcessState.ExitCode()
}

// says waits until the output matches, and returns the submatches.
func (p *process) says(pattern string) []string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	var found []string
	until(p.t, pattern, func() bool { found = re.FindStringSubmatch(p.output()); return found != nil })
	return found
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	require.Eventually(t, done, patience, 20*time.Millisecond, what)
}

// world is a broker with an input and an output, and a data directory.
type world struct {
	*kfake.Cluster
	t    *testing.T
	addr string // stays known when the cluster is closed
	dir  string
}

func newWorld(t *testing.T) *world {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(testPartitions, "in", "out"))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return &world{c, t, c.ListenAddrs()[0], t.TempDir()}
}

// run starts `noecho run` on the world.
func (w *world) run(args ...string) *process {
	w.t.Helper()
	return spawn(w.t, append([]string{"run", "--brokers", w.addr, "--input", "in", "--output", "out", "--group", "g",
		"--data-dir", w.dir, "--window", "1h", "--key", "value", "--commit-interval", "20ms",
		"--metrics-addr", "127.0.0.1:0", "--log-format", "json"}, args...)...)
}

func (w *world) produce(values ...string) {
	w.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.addr), kgo.DefaultProduceTopic("in"))
	require.NoError(w.t, err)
	defer cl.Close()
	for _, v := range values {
		cl.Produce(context.Background(), &kgo.Record{Key: []byte(v), Value: []byte(v)}, func(_ *kgo.Record, err error) {
			if err != nil {
				w.t.Errorf("produce: %v", err)
			}
		})
	}
	require.NoError(w.t, cl.Flush(context.Background()))
}

// drained waits until the group has committed the input's end.
func (w *world) drained() {
	w.t.Helper()
	until(w.t, "drained", func() bool {
		g := w.GroupInfo("g")
		if g == nil {
			return false
		}
		for _, p := range w.PartitionInfos("in") {
			if g.Commits["in"][p.Partition].Offset < p.HighWatermark {
				return false
			}
		}
		return true
	})
}

// output reads the values of the output, sorted.
func (w *world) output() (values []string) {
	w.t.Helper()
	var left int64
	start := map[int32]kgo.Offset{}
	for _, p := range w.PartitionInfos("out") {
		left += p.HighWatermark
		start[p.Partition] = kgo.NewOffset().At(0)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.addr), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"out": start}))
	require.NoError(w.t, err)
	defer cl.Close()
	for left > 0 {
		fetches := cl.PollFetches(context.Background())
		require.NoError(w.t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)); left-- })
	}
	slices.Sort(values)
	return values
}

func numbered(from, to int) (values []string) {
	for i := from; i < to; i++ {
		values = append(values, fmt.Sprintf("v%05d", i))
	}
	return values
}

func get(t *testing.T, addr, path string) (int, string) {
	t.Helper()
	r, err := http.Get("http://" + addr + path)
	require.NoError(t, err)
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return r.StatusCode, string(body)
}

func TestRun(t *testing.T) {
	w := newWorld(t)
	w.produce(append(numbered(0, 1000), numbered(500, 1000)...)...)
	p := w.run()
	addr := p.says(`"msg":"serving metrics","addr":"([^"]+)"`)[1]
	w.drained()
	until(t, "ready", func() bool { code, _ := get(t, addr, "/readyz"); return code == http.StatusOK })
	code, _ := get(t, addr, "/healthz")
	require.Equal(t, http.StatusOK, code)
	code, _ = get(t, addr, "/debug/pprof/")
	require.Equal(t, http.StatusNotFound, code)
	_, text := get(t, addr, "/metrics")
	require.Contains(t, text, "\nnoecho_records_total{result=\"unique\",topic=\"in\"} 1000\n")
	require.Contains(t, text, "\nnoecho_records_total{result=\"duplicate\",topic=\"in\"} 500\n")
	require.Contains(t, text, "\nnoecho_window_effective_seconds{partition=\"1\",topic=\"in\"} 3600\n")
	require.Contains(t, text, "\nnoecho_output_records_total{topic=\"out\"} 1000\n")
	require.Regexp(t, `\nnoecho_fsync_duration_seconds_count [1-9]`, text)
	require.Regexp(t, `\nnoecho_check_duration_seconds_count [1-9]`, text)
	require.Contains(t, text, "\nnoecho_build_info{")

	// A second process on the directory says so and leaves the first alone.
	second := w.run()
	require.Equal(t, exitFailed, second.exit())
	require.Regexp(t, `noecho: engine: .*in use by another process; stop it, or give this one a directory of its own`, second.output())
	w.produce(numbered(900, 1100)...)
	w.drained()

	p.signal(syscall.SIGTERM)
	require.Equal(t, exitOK, p.exit())
	require.Contains(t, p.output(), `"msg":"stopped; everything read is committed"`)
	require.Equal(t, numbered(0, 1100), w.output())

	// And it goes on where it stopped.
	w.produce(numbered(0, 1200)...)
	p = w.run("--metrics-addr", "off", "--log-format", "text")
	w.drained()
	p.signal(os.Interrupt)
	require.Equal(t, exitOK, p.exit())
	require.Equal(t, numbered(0, 1200), w.output())
	code, stdout, stderr := call("inspect", w.dir)
	require.Zero(t, code, stderr)
	require.Regexp(t, `keys +1200\n`, stdout)
}

func TestRunRefuses(t *testing.T) {
	w := newWorld(t)
	f := func(code int, says string, args ...string) {
		t.Helper()
		p := w.run(args...)
		require.Equal(t, code, p.exit())
		require.Regexp(t, `(?m)^noecho: `+says, p.output())
	}
	f(exitFailed, `kafka: topic "nowhere"`, "--input", "nowhere")
	f(exitFailed, `kafka: no broker answered`, "--brokers", "127.0.0.1:1")
	f(exitUsage, `tls_ca: there is no PEM certificate in `, "--tls-ca", writeFile(t, "ca", "not a certificate"))
	f(exitFailed, `engine: the store in .* was made with window`, "--window", "2h")
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer busy.Close()
	addr := busy.Addr().String()
	f(exitFailed, `cannot serve metrics on `+addr+`: .*choose another --metrics-addr, or off`, "--metrics-addr", addr)
}

// TestRunLearnFrom: a lost disk, and a bound beyond all that was handled: its copies pass, and every place says so.
func TestRunLearnFrom(t *testing.T) {
	w := newWorld(t)
	w.produce(numbered(0, 100)...)
	p := w.run("--instance-id", "one")
	w.drained()
	p.signal(syscall.SIGTERM)
	require.Equal(t, exitOK, p.exit())
	w.dir = t.TempDir()
	w.produce(numbered(0, 100)...)
	p = w.run("--instance-id", "one", "--learn-from", "2100-01-01T00:00:00Z", "--admin-addr", "127.0.0.1:0")
	web := p.says(`"msg":"serving metrics","addr":"([^"]+)"`)[1]
	addr := p.says(`"msg":"serving the admin endpoint","addr":"([^"]+)"`)[1]
	w.drained()
	require.Len(t, w.output(), 200)
	_, text := get(t, web, "/metrics")
	require.Contains(t, text, "\nnoecho_state_missing_total{reason=\"bounded\",topic=\"in\"} 2\n")
	require.Contains(t, text, "\nnoecho_restore_records_total{topic=\"in\"} 0\n")
	code, status, stderr := call("ctl", "status", "--addr", addr)
	require.Zero(t, code, stderr)
	require.Regexp(t, `(?m)^missing +2 partitions without state, 0 behind; of them cut short by retention 0, by learn_from 2; 0 offsets lost$`, status)
	_, status, _ = call("ctl", "status", "--json", "--addr", addr)
	require.Contains(t, status, `"why":"learn_from"`)
	require.Contains(t, p.output(), "learn_from leaves out records of the window")
	p.signal(syscall.SIGTERM)
	require.Equal(t, exitOK, p.exit())
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// Told to stop while it waits for a broker that says nothing, it stops; nothing has begun, so nothing is left undone.
func TestRunStoppedWhileConnecting(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	w := &world{t: t, addr: silent.Addr().String(), dir: t.TempDir()}
	p := w.run()
	connection, err := silent.Accept()
	require.NoError(t, err)
	defer connection.Close()
	p.signal(syscall.SIGTERM)
	require.Equal(t, exitOK, p.exit())
}

func TestReadiness(t *testing.T) {
	h := &health{stats: stats()}
	require.ErrorContains(t, h.ready(context.Background()), "no partition is assigned yet")
	h.stats = stats(running, restoring)
	require.ErrorContains(t, h.ready(context.Background()), "partition 1 is restoring")
	h.stats = stats(running, running)
	require.NoError(t, h.ready(context.Background()))
	require.NoError(t, h.alive())
	cut := h.stats()
	cut.Unconfirmed = true
	h.stats = func() kafka.Stats { return cut }
	require.ErrorContains(t, h.ready(context.Background()), "coordinator")
	require.NoError(t, h.alive(), "no restart helps")
	h.stats = stats(running, running)
	stopping, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorContains(t, h.ready(stopping), "stopping")
	h.poison(errors.New("disk gone"))
	require.ErrorContains(t, h.ready(context.Background()), "disk gone")
	require.ErrorContains(t, h.alive(), "disk gone")
}
