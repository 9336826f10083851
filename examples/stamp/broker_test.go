package stamp_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/stamp"
)

// The orders as each producer sends them: o-2 and o-4 are sent again.
var (
	sent   = []string{"o-1", "o-2", "o-3", "o-2", "o-4", "o-4", "o-5", "o-2"}
	orders = []string{"o-1", "o-2", "o-3", "o-4", "o-5"}
)

// TestRetryIsDropped: a producer in each language sends the orders with their retries, then Go sends all of them once more
// and one that is new. Every payload differs from every other. noecho leaves one of each order.
func TestRetryIsDropped(t *testing.T) {
	brokers := os.Getenv("KAFKA_BROKERS")
	if brokers == "" {
		t.Skip("no KAFKA_BROKERS: `make test-stamp` starts a broker")
	}
	noecho := filepath.Join(t.TempDir(), "noecho")
	run(t, exec.Command("go", "build", "-o", noecho, "noecho/cmd/noecho"), "")

	t.Run("Go", func(t *testing.T) {
		w := newWorld(t, brokers)
		w.produce(sent...)
		w.leavesOneOfEach(noecho)
	})
	t.Run("Java", func(t *testing.T) {
		jars := strings.TrimSpace(run(t, exec.Command("../../scripts/kafka.sh", "classpath"), ""))
		classes := javac(t, jars, "Stamp.java", "Produce.java")
		w := newWorld(t, brokers)
		run(t, exec.Command("java", append([]string{"-cp", classes + ":" + jars, "Produce", brokers, w.in}, sent...)...), "")
		w.leavesOneOfEach(noecho)
	})
	t.Run("Python", func(t *testing.T) {
		interpreter := pythonWithKafka(t)
		w := newWorld(t, brokers)
		run(t, exec.Command(interpreter, append([]string{"produce.py", brokers, w.in}, sent...)...), "")
		w.leavesOneOfEach(noecho)
	})
}

// world is an input and an output topic of one partition.
type world struct {
	t       *testing.T
	ctx     context.Context
	brokers string
	in, out string
	cl      *kgo.Client // stamps what it produces
	attempt int
}

func newWorld(t *testing.T, brokers string) *world {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx, brokers: brokers, in: fmt.Sprintf("stamp-%08x", rand.Uint32())}
	w.out = w.in + "-unique"
	s, err := stamp.New(stamp.Options{Fields: "json:order.id"})
	require.NoError(t, err)
	w.cl, err = kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.ConsumeTopics(w.out), kgo.MetadataMinAge(50*time.Millisecond),
		kgo.WithHooks(s.Hook(func(_ *kgo.Record, err error) { t.Error(err) })))
	require.NoError(t, err)
	t.Cleanup(w.cl.Close)
	adm := kadm.NewClient(w.cl)
	for _, topic := range []string{w.in, w.out} {
		_, err := adm.CreateTopic(ctx, 1, -1, nil, topic)
		require.NoError(t, err)
		t.Cleanup(func() { _, _ = adm.DeleteTopic(context.WithoutCancel(ctx), topic) })
	}
	return w
}

func (w *world) produce(orders ...string) {
	for _, order := range orders {
		w.attempt++
		r := &kgo.Record{Topic: w.in, Key: []byte(order), Value: fmt.Appendf(nil, `{"order":{"id":%q},"attempt":"go-%d"}`, order, w.attempt)}
		require.NoError(w.t, w.cl.ProduceSync(w.ctx, r).FirstErr())
	}
}

// leavesOneOfEach reads the output until the order that was sent last has come: whatever noecho let through came before.
func (w *world) leavesOneOfEach(noecho string) {
	t := w.t
	w.produce(append(orders, "o-6")...)
	relay := exec.CommandContext(w.ctx, noecho, "run", "--brokers", w.brokers, "--input", w.in, "--output", w.out, "--group", w.in,
		"--key", "header:"+stamp.Header, "--on-missing-key", "fail", "--data-dir", filepath.Join(t.TempDir(), "data"), "--metrics-addr", "off")
	log := new(strings.Builder)
	relay.Stdout, relay.Stderr = log, log
	require.NoError(t, relay.Start())
	ctx, ended := context.WithCancelCause(w.ctx)
	go func() { ended(fmt.Errorf("noecho ended: %v", relay.Wait())) }()
	defer func() {
		_ = relay.Process.Signal(syscall.SIGTERM) // gone already: the line below says how
		<-ctx.Done()
		require.EqualError(t, context.Cause(ctx), "noecho ended: <nil>", "%s", log)
	}()
	var got []string
	for !strings.Contains(strings.Join(got, " "), "o-6") {
		fetches := w.cl.PollFetches(ctx)
		require.NoError(t, context.Cause(ctx), "the output has %v", got)
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			got = append(got, string(r.Key))
			require.Equal(t, stamp.ID("json:order.id", r.Key), id(r))
		})
	}
	require.Equal(t, append(orders, "o-6"), got)
}

func id(r *kgo.Record) string {
	for _, h := range r.Headers {
		if h.Key == stamp.Header {
			return string(h.Value)
		}
	}
	return ""
}
