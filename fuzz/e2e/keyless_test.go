package e2e

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// keyless is a script as a producer without record keys plays it: messages numbered from 0, and every try of one goes to whichever
// partition is next. One record in five is a copy, from a moment ago or from anywhere in the past.
type keyless struct {
	base     int64 // timestamp of the first record, milliseconds
	rng      *rand.Rand
	messages int
	records  int64
	parts    [][]int // parts[p][offset] is the number of the message
}

func newKeyless(seed uint64, parts int) *keyless {
	return &keyless{base: time.Now().Add(-time.Hour).UnixMilli(), rng: rand.New(rand.NewPCG(seed, 77)), parts: make([][]int, parts)}
}

func (k *keyless) size() int { return len(k.parts) }

func (k *keyless) head(partition int) int64 { return int64(len(k.parts[partition])) }

func (k *keyless) take(partition int, topic string) *kgo.Record {
	n := k.messages
	switch r := k.rng.Float64(); {
	case n > 0 && r < 0.1:
		n -= 1 + k.rng.IntN(min(n, 20))
	case n > 0 && r < 0.2:
		n = k.rng.IntN(n)
	default:
		k.messages++
	}
	k.parts[partition] = append(k.parts[partition], n)
	k.records++
	return &kgo.Record{Topic: topic, Partition: int32(partition), Value: k.value(n), Timestamp: time.UnixMilli(k.base + k.records)}
}

func (k *keyless) value(n int) []byte {
	return fmt.Appendf(nil, `{"message":%09d,"item":"%016x","note":"left at the door"}`, n, uint64(n)*0x9e3779b97f4a7c15)
}

func (k *keyless) judge(input string) judge {
	j := &keylessJudge{script: k, input: input, times: make([]int, k.messages), last: make([]int64, len(k.parts))}
	for p := range j.last {
		j.last[p] = -1
	}
	return j
}

// keylessJudge wants each message once, in whatever partition, as one of its records was, and each partition in the input's order.
type keylessJudge struct {
	script *keyless
	input  string
	times  []int   // by message
	last   []int64 // source offset, by partition

	out, disordered, foreign int
	notes                    []string
}

func (j *keylessJudge) add(r *kgo.Record) {
	j.out++
	at, n, err := j.identify(r)
	switch {
	case err != nil:
		j.foreign++
		j.note(r, err.Error())
		return
	case at <= j.last[r.Partition]:
		j.disordered++
		j.note(r, fmt.Sprintf("source offset %d after %d", at, j.last[r.Partition]))
	}
	j.last[r.Partition] = max(j.last[r.Partition], at)
	if j.times[n]++; j.times[n] > 1 {
		j.note(r, fmt.Sprintf("message %d once more (source offset %d)", n, at))
	}
}

func (j *keylessJudge) identify(r *kgo.Record) (at int64, n int, err error) {
	prefix := fmt.Sprintf("%s/%d/", j.input, r.Partition)
	if len(r.Headers) != 1 || r.Headers[0].Key != sourceHeader || !strings.HasPrefix(string(r.Headers[0].Value), prefix) {
		return 0, 0, fmt.Errorf("headers are %v, want %s=%s...", r.Headers, sourceHeader, prefix)
	}
	if at, err = strconv.ParseInt(string(r.Headers[0].Value[len(prefix):]), 10, 64); err != nil {
		return 0, 0, err
	}
	if at < 0 || at >= j.script.head(int(r.Partition)) {
		return 0, 0, fmt.Errorf("offset %d was never produced", at)
	}
	n = j.script.parts[r.Partition][at]
	if string(r.Value) != string(j.script.value(n)) {
		return 0, 0, fmt.Errorf("message %d changed", n)
	}
	return at, n, nil
}

func (j *keylessJudge) note(r *kgo.Record, what string) {
	if len(j.notes) < 10 {
		j.notes = append(j.notes, fmt.Sprintf("partition %d offset %d: %s", r.Partition, r.Offset, what))
	}
}

func (j *keylessJudge) count() (lost, repeated int) {
	for n, times := range j.times {
		if times == 0 {
			lost++
			if len(j.notes) < 20 {
				j.notes = append(j.notes, fmt.Sprintf("message %d is missing", n))
			}
		}
		repeated += max(0, times-1)
	}
	return lost, repeated
}

func (j *keylessJudge) verdict() error {
	lost, repeated := j.count()
	if lost+repeated+j.disordered+j.foreign == 0 {
		return nil
	}
	return &wrongOutput{Lost: lost, Repeated: repeated, Disordered: j.disordered, Foreign: j.foreign, Notes: j.notes}
}

func (j *keylessJudge) String() string {
	lost, repeated := j.count()
	return fmt.Sprintf("%d in, %d copies among them, %d out, %d lost, %d repeated, %d out of order, %d changed",
		j.script.records, j.script.records-int64(j.script.messages), j.out, lost, repeated, j.disordered, j.foreign)
}

// TestKeylessOracle: it sees each fault by its name.
func TestKeylessOracle(t *testing.T) {
	k := newKeyless(1, 2)
	var out []*kgo.Record
	seen := map[string]bool{}
	for i := range 100 {
		p := i % 2
		at := k.head(p)
		r := k.take(p, "in")
		r.Headers = []kgo.RecordHeader{{Key: sourceHeader, Value: fmt.Appendf(nil, "in/%d/%d", p, at)}}
		if !seen[string(r.Value)] {
			out = append(out, r)
		}
		seen[string(r.Value)] = true
	}
	judged := func(out ...*kgo.Record) *wrongOutput {
		j := k.judge("in")
		for _, r := range out {
			j.add(r)
		}
		wrong := &wrongOutput{}
		if err := j.verdict(); err != nil {
			require.ErrorAs(t, err, &wrong)
		}
		wrong.Notes = nil
		return wrong
	}
	require.Equal(t, &wrongOutput{}, judged(out...))
	require.Equal(t, &wrongOutput{Lost: 1}, judged(out[1:]...))
	require.Equal(t, &wrongOutput{Repeated: 1, Disordered: 1}, judged(append(out, out[3])...))
	altered := *out[5]
	altered.Value = append([]byte(nil), "x"...)
	require.Equal(t, &wrongOutput{Lost: 1, Foreign: 1}, judged(append(append(out[:5:5], &altered), out[6:]...)...))
}

// TestKillScopeTopic is TestKill for a producer without keys: SIGKILL under load, each message once in the whole output. Every other
// life finds its disk gone.
func TestKillScopeTopic(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(map[bool]string{false: "disk", true: "disk-lost"}[lost], func(t *testing.T) {
			dir := t.TempDir()
			k := killRun{
				records: number(t, "NOECHO_E2E_RECORDS", 300_000, 40_000),
				kills:   number(t, "NOECHO_E2E_KILLS", 12, 4),
				rate:    number(t, "NOECHO_E2E_RATE", 30_000, 15_000),
				limit:   10 * time.Minute,
				plan:    func(seed uint64) script { return newKeyless(seed, partitions) },
			}
			k.command = func(l link, life int) *exec.Cmd {
				interval := []string{"1s", "20ms", "100ms", "300ms"}[life%4]
				if lost && life%2 == 1 {
					dir = t.TempDir()
				}
				return noechoCommand(t, "run", "--brokers", l.brokers, "--input", l.input, "--output", l.output, "--group", l.group,
					"--scope", "topic", "--instance-id", "one", "--data-dir", dir, "--window", "24h", "--metrics-addr", "off", "--commit-interval", interval)
			}
			judge := k.run(t)
			require.NoError(t, judge.verdict())
		})
	}
}
