package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// patience is how long one run may take.
const patience = 10 * time.Minute

// bench holds what all runs share: the broker and the input topic.
type bench struct {
	settings
	dir   string
	self  string
	cl    *kgo.Client
	adm   *kadm.Client
	input string
	want  int64 // records that the output must hold, for a relay that drops copies
	runs  int
}

func newBench(ctx context.Context, s settings, dir string) (*bench, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(s.brokers, ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return nil, err
	}
	b := &bench{settings: s, dir: dir, self: self, cl: cl, adm: kadm.NewClient(cl), input: fmt.Sprintf("bench-in-%d", os.Getpid())}
	return b, b.create(ctx, b.input)
}

func (b *bench) close() {
	_, _ = b.adm.DeleteTopic(context.Background(), b.input)
	b.cl.Close()
}

func (b *bench) create(ctx context.Context, topic string) error {
	_, err := b.adm.CreateTopic(ctx, int32(b.partitions), -1, nil, topic)
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
func (b *bench) count(ctx context.Context, topic string) (n int64, err error) {
	listed, err := b.adm.ListEndOffsets(ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	for _, l := range listed[topic] {
		n += l.Offset
	}
	return n, err
}

// measure runs one relay from an empty output to a full one.
func (b *bench) measure(ctx context.Context, name string, command func(output, group string) *exec.Cmd) (result, error) {
	b.runs++
	output := fmt.Sprintf("bench-out-%d-%d", os.Getpid(), b.runs)
	if err := b.create(ctx, output); err != nil {
		return result{}, err
	}
	defer func() { _, _ = b.adm.DeleteTopic(ctx, output) }()
	want := int64(b.records)
	if name != "bare" {
		want = b.want
	}
	cmd := command(output, output)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	start, before := time.Now(), b.usage(0)
	if err := cmd.Start(); err != nil {
		return result{}, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	r, err := b.watch(ctx, output, want, start, ended)
	if err != nil {
		_ = cmd.Process.Kill()
		return result{}, fmt.Errorf("%s: %w\n%s", name, err, said.String())
	}
	r.used = b.usage(cmd.Process.Pid).minus(before)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return result{}, err
	}
	if err := <-ended; err != nil {
		return result{}, fmt.Errorf("%s: after SIGTERM: %w\n%s", name, err, said.String())
	}
	if n, err := b.count(ctx, output); err != nil || n != want {
		return result{}, fmt.Errorf("%s left %d records in the output, not %d (%v)", name, n, want, err)
	}
	r.name, r.in = name, b.records
	r.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	r.rss = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10 // Linux counts in KiB
	return r, nil
}

// usage reads all processor times.
func (b *bench) usage(relay int) usage {
	u := usage{broker: processCPU(b.pids)}
	if relay != 0 {
		u.relay = processCPU(strconv.Itoa(relay))
	}
	u.machine, u.idle = machineCPU()
	return u
}

// watch follows the output's end until it is where it must be.
func (b *bench) watch(ctx context.Context, output string, want int64, start time.Time, ended <-chan error) (r result, err error) {
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
		case now > patience:
			return r, fmt.Errorf("%d of %d records after %s", n, want, patience)
		case n >= want/20 && r.flowFrom == 0:
			r.flowFrom, r.flowAt = now, float64(n)/float64(want)
		}
		if n >= want {
			r.end = now
			return r, nil
		}
	}
}
