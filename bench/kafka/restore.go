package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/bench/internal/relays"
	"noecho/engine"
	"noecho/kafka"
)

// restoring measures how long a consumer takes to have its marks again when its disk is gone: from the changelog, and from the input.
type restoring struct {
	bench     *relays.Bench
	changelog string
	dir       string
	disks     int
}

// restored is one result.
type restored struct {
	from  string
	bytes int
	marks uint64
	took  time.Duration // from the assignment until the last partition runs
}

func (r restored) String() string {
	return fmt.Sprintf("%-12s %6d B a value %9d marks %10s %10s a million", r.from, r.bytes, r.marks, r.took.Round(time.Millisecond),
		(r.took * 1_000_000 / time.Duration(max(1, r.marks))).Round(time.Millisecond))
}

// runRestore is the command `restore`.
func runRestore(args []string) error {
	flags := flag.NewFlagSet("restore", flag.ContinueOnError)
	brokers := flags.String("brokers", os.Getenv("KAFKA_BROKERS"), "where the broker is")
	records := flags.Int("records", 1_000_000, "records in the input, each of a key of its own")
	partitions := flags.Int("partitions", 4, "partitions")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "noecho-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, size := range []int{100, 1024} {
		results, err := measureRestore(context.Background(), relays.Input{Brokers: *brokers, Records: *records, Bytes: size, Partitions: *partitions}, dir)
		for _, r := range results {
			fmt.Println(r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// measureRestore consumes the input, loses the disk twice, and after each loss sends every record once more, none of which may pass.
func measureRestore(ctx context.Context, in relays.Input, dir string) (results []restored, err error) {
	ctx, cancel := context.WithTimeout(ctx, relays.Patience)
	defer cancel()
	b, err := relays.New(ctx, in)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	r := &restoring{bench: b, dir: dir}
	if r.changelog, err = b.NewOutput(ctx); err != nil {
		return nil, err
	}
	defer b.Delete(r.changelog)
	if err := b.Load(ctx); err != nil {
		return nil, err
	}
	if _, err := r.life(ctx, r.changelog, uint64(in.Records), 0); err != nil {
		return nil, fmt.Errorf("the first life: %w", err)
	}
	for _, from := range []string{"changelog", "input"} {
		if err := b.Load(ctx); err != nil { // copies, all of them
			return results, err
		}
		topic := r.changelog
		if from == "input" {
			topic = ""
		}
		found, err := r.life(ctx, topic, 0, uint64(in.Records))
		if err != nil {
			return results, fmt.Errorf("from the %s: %w", from, err)
		}
		found.from, found.bytes = from, in.Bytes
		results = append(results, found)
	}
	return results, nil
}

// life runs a consumer on an empty disk until it has handled and dropped what is given, and stops it.
func (r *restoring) life(ctx context.Context, changelog string, handled, dropped uint64) (found restored, err error) {
	r.disks++
	e, err := engine.Open(filepath.Join(r.dir, fmt.Sprintf("%s-%d", r.bench.Topic, r.disks)),
		engine.Options{Window: 24 * time.Hour, Seed: []byte("0123456789abcdef")})
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	key, err := kafka.ParseKey("key")
	if err != nil {
		return found, err
	}
	consumer, err := kafka.NewConsumer(kafka.ConsumerConfig{
		Engine: e, Client: []kgo.Opt{kgo.SeedBrokers(strings.Split(r.bench.Brokers, ",")...)}, Topic: r.bench.Topic, Group: r.changelog,
		InstanceID: r.changelog, Key: key, Recycle: true, ChangelogTopic: changelog,
		Handler: func(context.Context, kafka.Batch) error { return nil },
	})
	if err != nil {
		return found, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- consumer.Run(ctx) }()
	var began time.Time
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return found, fmt.Errorf("the consumer ended by itself: %w", err)
		case <-tick.C:
		}
		s := consumer.Stats()
		if began.IsZero() && len(s.Partitions) > 0 {
			began = time.Now()
		}
		if found.took == 0 && len(s.Partitions) == r.bench.Partitions && s.Ready() {
			found.took = time.Since(began)
		}
		if s.Totals.Handled > handled {
			return found, fmt.Errorf("%d records were handled, not %d: copies have passed", s.Totals.Handled, handled)
		}
		if s.Totals.Handled == handled && s.Totals.Duplicate >= dropped && found.took > 0 {
			break
		}
	}
	for _, p := range e.Metrics().Partitions {
		found.marks += uint64(p.Keys)
	}
	stop()
	return found, <-done
}
