package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Exit codes of the binary.
const (
	exitFailed = 1 // something outside is wrong
	exitUsage  = 2 // the command line or the configuration is wrong
)

// site is one relay's surroundings: topics, group and data directory of its own, and the plan of what the input holds.
type site struct {
	t *testing.T
	b *broker
	link
	dir  string
	plan *plan
	seed uint64
}

// newSite makes a site for a test, which from here on runs beside others of its kind: most of them wait most of the time. The kill run has the
// machine to itself, since tests without a site come first.
func newSite(t *testing.T) *site {
	t.Parallel()
	b, seed := newBroker(t), newSeed(t)
	return &site{t: t, b: b, dir: t.TempDir(), plan: newPlan(seed, partitions), seed: seed,
		link: link{brokers: b.addrs, input: b.topic(t, "in", partitions), output: b.topic(t, "out", partitions), group: name(t, "group")}}
}

// command is `noecho run` on the site. args come last, so they win over what the site says.
func (s *site) command(args ...string) *exec.Cmd {
	all := append([]string{"run", "--brokers", s.brokers, "--input", s.input, "--output", s.output, "--group", s.group,
		"--data-dir", s.dir, "--window", "24h", "--metrics-addr", "off", "--commit-interval", "20ms"}, args...)
	return noechoCommand(s.t, all...)
}

// noechoCommand runs the binary without our own variables: NOECHO_* is its configuration.
func noechoCommand(t testing.TB, args ...string) *exec.Cmd {
	cmd := exec.Command(noechoBinary(t), args...)
	for _, line := range os.Environ() {
		if !strings.HasPrefix(line, "NOECHO_") {
			cmd.Env = append(cmd.Env, line)
		}
	}
	return cmd
}

// feed produces the next records of the plan.
func (s *site) feed(records int) {
	f := &feed{plan: s.plan, seed: s.seed, records: records, rate: 1_000_000}
	f.limit.Store(int64(records))
	f.start(context.Background(), s.b, s.input)
	<-f.done
	require.NoError(s.t, f.err)
	s.seed++ // other partitions the next time
}

// send produces records that no plan knows, and gives their offsets.
func (s *site) send(records ...*kgo.Record) {
	cl, err := s.b.client(kgo.DefaultProduceTopic(s.input), kgo.ProducerBatchMaxBytes(8<<20))
	require.NoError(s.t, err)
	defer cl.Close()
	require.NoError(s.t, cl.ProduceSync(context.Background(), records...).FirstErr())
}

// outputs reads the values in the output, partition by partition.
func (s *site) outputs() (values [partitions][]string) {
	require.NoError(s.t, s.b.read(s.output, time.Now().Add(time.Minute), func(r *kgo.Record) {
		values[r.Partition] = append(values[r.Partition], string(r.Value))
	}))
	return values
}

// drains waits until the running relay has committed all there is.
func (s *site) drains(c *child) {
	s.t.Helper()
	waitDrained(s.t, s.b, s.link, c, deadline(s.t, 2*time.Minute))
}

// works runs the relay with args to the end of the input and stops it in the orderly way.
func (s *site) works(args ...string) *child {
	s.t.Helper()
	c := start(s.t, s.command(args...))
	s.drains(c)
	require.Zero(s.t, c.term(s.t, time.Minute), "exit code after SIGTERM")
	return c
}

// complete says that the output holds what the plan says: whatever was refused or broken before, nothing was lost.
func (s *site) complete() {
	s.t.Helper()
	judge := newTally(s.plan, s.input)
	require.NoError(s.t, s.b.read(s.output, deadline(s.t, time.Minute), judge.add))
	require.NoError(s.t, judge.verdict())
}

// refused runs the relay with args and expects it to end by itself with the exit code and with one sentence that matches; the group
// and the output must stand where they stood.
func (s *site) refused(code int, sentence string, args ...string) {
	s.t.Helper()
	s.ends(start(s.t, s.command(args...)), code, sentence)
}

// fails waits for the relay to end by itself with the exit code, and looks at the one sentence it says last. It may have worked for a while.
func (s *site) fails(c *child, code int, sentence string) {
	s.t.Helper()
	require.Equal(s.t, code, c.wait(s.t, time.Minute), c.tail())
	said := lastLine(c.output())
	require.Regexp(s.t, regexp.MustCompile("^noecho: .*"+sentence), said)
	s.t.Logf("exit %d: %s", code, said)
}

// ends is fails, and nothing moved.
func (s *site) ends(c *child, code int, sentence string) {
	s.t.Helper()
	before := s.position()
	s.fails(c, code, sentence)
	require.Equal(s.t, before, s.position(), "a relay that refuses must touch neither the group nor the output")
}

// position is the group's offsets and the output's ends.
func (s *site) position() [2][]int64 {
	committed, err := s.b.committed(s.group, s.input, partitions)
	require.NoError(s.t, err)
	ends, err := s.b.ends(s.output)
	require.NoError(s.t, err)
	return [2][]int64{committed, ends}
}

// lastLine is what a user reads last: the sentence that says why.
func lastLine(out string) string {
	out = strings.TrimSpace(out)
	return out[strings.LastIndexByte(out, '\n')+1:]
}

// change edits a file in place.
func change(t *testing.T, path string, edit func([]byte) []byte) {
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	after := edit(bytes.Clone(before))
	require.NotEqual(t, before, after)
	require.NoError(t, os.WriteFile(path, after, 0o600))
}
