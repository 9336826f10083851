package relays

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Patience is how long one run may take.
const Patience = 10 * time.Minute

// Input says what the relays read.
type Input struct {
	Brokers    string
	PIDs       string  // of the broker's processes, where they run here
	Records    int     // in the input
	Bytes      int     // of a value
	Copies     float64 // share of records that are copies
	Partitions int
}

// Bench holds what all runs share: the broker and the input topic.
type Bench struct {
	Input
	Self  string // this executable: a relay that is part of the bench is started as a child with another role
	Topic string // the input
	Want  int64  // records that the output must hold, for a relay that drops copies

	cl   *kgo.Client
	adm  *kadm.Client
	runs int
}

// topics counts the benches of this process: each has an input of its own.
var topics atomic.Int64

// New makes the input topic, which Load fills.
func New(ctx context.Context, in Input) (*Bench, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(in.Brokers, ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return nil, err
	}
	b := &Bench{Input: in, cl: cl, adm: kadm.NewClient(cl), Self: self, Topic: fmt.Sprintf("bench-in-%d-%d", os.Getpid(), topics.Add(1))}
	return b, b.Create(ctx, b.Topic)
}

// Close deletes the input.
func (b *Bench) Close() {
	b.Delete(b.Topic)
	b.cl.Close()
}

// Delete deletes a topic.
func (b *Bench) Delete(topic string) { _, _ = b.adm.DeleteTopic(context.Background(), topic) }

// NewOutput makes an output topic, whose name serves as the group's as well.
func (b *Bench) NewOutput(ctx context.Context) (string, error) {
	b.runs++
	output := strings.Replace(b.Topic, "-in-", "-out-", 1) + fmt.Sprintf("-%d", b.runs)
	return output, b.Create(ctx, output)
}

// Create makes a topic and waits until it can be used.
func (b *Bench) Create(ctx context.Context, topic string) error {
	_, err := b.adm.CreateTopic(ctx, int32(b.Partitions), -1, nil, topic)
	for start := time.Now(); err == nil; time.Sleep(10 * time.Millisecond) {
		if _, ready := b.count(ctx, topic); ready == nil {
			return nil
		} else if time.Since(start) > time.Minute {
			err = ready
		}
	}
	return fmt.Errorf("creating topic %s: %w", topic, err)
}

// count gives the number of records in the topic.
func (b *Bench) count(ctx context.Context, topic string) (n int64, err error) {
	listed, err := b.adm.ListEndOffsets(ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	for _, l := range listed[topic] {
		n += l.Offset
	}
	return n, err
}

// Measure runs one relay from an empty output to a full one, of want records. A transactional relay leaves markers, too, which no end offset tells
// from records.
func (b *Bench) Measure(ctx context.Context, name string, want int64, markers bool, command func(output, group string) *exec.Cmd) (Result, error) {
	output, err := b.NewOutput(ctx)
	if err != nil {
		return Result{}, err
	}
	defer b.Delete(output)
	cmd := command(output, output)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	start, before := time.Now(), b.usage(0)
	if err := cmd.Start(); err != nil {
		return Result{}, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	r, err := b.watch(ctx, output, want, start, ended)
	if err != nil {
		_ = cmd.Process.Kill()
		return Result{}, fmt.Errorf("%s: %w\n%s", name, err, said.String())
	}
	r.Used = b.usage(cmd.Process.Pid).minus(before)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return Result{}, err
	}
	if err := <-ended; err != nil {
		return Result{}, fmt.Errorf("%s: after SIGTERM: %w\n%s", name, err, said.String())
	}
	if n, err := b.count(ctx, output); err != nil || n != want && !(markers && n > want) {
		return Result{}, fmt.Errorf("%s left %d records in the output, not %d (%v)", name, n, want, err)
	}
	r.Name, r.In = name, b.Records
	r.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	r.RSS = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10 // Linux counts in KiB
	return r, nil
}

// usage reads all processor times.
func (b *Bench) usage(relay int) Usage {
	u := Usage{Broker: processCPU(b.PIDs)}
	if relay != 0 {
		u.Relay = processCPU(strconv.Itoa(relay))
	}
	u.Machine, u.Idle = machineCPU()
	return u
}

// watch follows the output's end until it is where it must be.
func (b *Bench) watch(ctx context.Context, output string, want int64, start time.Time, ended <-chan error) (r Result, err error) {
	for {
		select {
		case err := <-ended:
			return r, fmt.Errorf("ended by itself: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
		n, err := b.count(ctx, output)
		now := time.Since(start)
		switch {
		case err != nil:
			return r, err
		case now > Patience:
			return r, fmt.Errorf("%d of %d records after %s", n, want, Patience)
		case n >= want/20 && r.FlowFrom == 0:
			r.FlowFrom, r.FlowAt = now, float64(n)/float64(want)
		}
		if n >= want {
			r.End = now
			return r, nil
		}
	}
}
