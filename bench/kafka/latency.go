package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/bench/internal/measure"
	"noecho/bench/internal/relays"
)

// latency is the time from the producer to a reader of the output at a fixed rate.
type latency struct {
	Name        string               `json:"name"`
	Rate        int                  `json:"rate"`
	Records     int64                `json:"records"`
	Percentiles []measure.Percentile `json:"percentiles"`
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// stamp begins a value: when it was handed to the producer.
func stamp(value []byte, at time.Duration) {
	copy(value, fmt.Sprintf("%020d", at))
}

func stamped(value []byte) (time.Duration, error) {
	if len(value) < 20 {
		return 0, errors.New("a record without a stamp")
	}
	n, err := strconv.ParseInt(string(bytes.TrimLeft(value[:20], "0")), 10, 64)
	return time.Duration(n), err
}

// paced is one latency run.
type paced struct {
	bench *relays.Bench
	rate  int           // records a second
	warm  time.Duration // not counted
	lasts time.Duration // counted
	began time.Time
}

// run measures a relay; without a command the reader reads the input: what the producer, the broker and the reader take by themselves.
func (p *paced) run(ctx context.Context, name string, command func(output, group string) *exec.Cmd) (latency, error) {
	ctx, cancel := context.WithTimeout(ctx, relays.Patience)
	defer cancel()
	output := p.bench.Topic
	p.began = time.Now()
	var said bytes.Buffer
	if command != nil {
		topic, err := p.bench.NewOutput(ctx)
		if err != nil {
			return latency{}, err
		}
		defer p.bench.Delete(topic)
		output = topic
		cmd := command(topic, topic)
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Start(); err != nil {
			return latency{}, err
		}
		defer func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
		}()
	}
	l, err := p.measure(ctx, name, output)
	if err != nil {
		return l, fmt.Errorf("%s: %w\n%s", name, err, said.String())
	}
	return l, nil
}

// measure produces and reads at the same time. What is sent in the warm-up, which ends no sooner than the first record has come through, is not
// counted.
func (p *paced) measure(ctx context.Context, name, output string) (latency, error) {
	reader, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(p.bench.Brokers, ",")...), kgo.ConsumeTopics(output),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMinBytes(1))
	if err != nil {
		return latency{}, err
	}
	defer reader.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	flows := make(chan struct{})
	sent := make(chan error, 1)
	var from, to time.Duration // counted: what was sent between them; read after sent
	go func() {
		var err error
		from, to, err = p.produce(ctx, flows)
		sent <- err
	}()
	type arrival struct{ at, took time.Duration }
	var arrivals []arrival
	done, produced, latest := false, false, time.Duration(-1)
	for first := true; !done; {
		wait, stop := context.WithTimeout(ctx, time.Second)
		fetches := reader.PollFetches(wait)
		stop()
		now := time.Since(p.began)
		if err := fetches.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return latency{}, err
		}
		var bad error
		fetches.EachRecord(func(r *kgo.Record) {
			at, err := stamped(r.Value)
			bad = errors.Join(bad, err)
			latest = max(latest, at)
			arrivals = append(arrivals, arrival{at, now - at})
		})
		if bad != nil {
			return latency{}, bad
		}
		if first && latest >= 0 {
			first = false
			close(flows)
		}
		select {
		case err := <-sent:
			if err != nil {
				return latency{}, err
			}
			produced = true
		default:
		}
		done = produced && (latest >= to || now > to+30*time.Second)
		if ctx.Err() != nil {
			return latency{}, ctx.Err()
		}
	}
	h := measure.NewLatencies()
	for _, a := range arrivals {
		if a.at >= from && a.at < to {
			h.Add(a.took)
		}
	}
	return latency{Name: name, Rate: p.rate, Records: h.Count(), Percentiles: h.Percentiles()}, nil
}

// produce sends at the rate until the time is over, and a little longer, so that the last record that counts has others behind it.
func (p *paced) produce(ctx context.Context, flows <-chan struct{}) (from, to time.Duration, err error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(p.bench.Brokers, ",")...), kgo.DefaultProduceTopic(p.bench.Topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.SnappyCompression()))
	if err != nil {
		return 0, 0, err
	}
	defer cl.Close()
	from, to = -1, -1
	start := time.Now()
	for n := 0; ctx.Err() == nil; n++ {
		if n%10 == 0 {
			time.Sleep(time.Until(start.Add(time.Duration(n) * time.Second / time.Duration(p.rate))))
		}
		now := time.Since(p.began)
		select {
		case <-flows:
			if from < 0 {
				from = now + p.warm
				to = from + p.lasts
			}
		default:
		}
		if to >= 0 && now > to+2*time.Second {
			return from, to, cl.Flush(ctx)
		}
		value := relays.Value(n%p.bench.Partitions, n, p.bench.Bytes)
		stamp(value, time.Since(p.began))
		cl.Produce(ctx, &kgo.Record{Partition: int32(n % p.bench.Partitions), Key: fmt.Appendf(nil, "%d-%d", p.began.UnixNano(), n), Value: value}, nil)
	}
	return from, to, ctx.Err()
}
