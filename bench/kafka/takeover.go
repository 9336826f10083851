package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/bench/internal/relays"
	"noecho/engine"
	"noecho/kafka"
)

// takeover measures how long the partitions of a member stand still that is killed: from SIGKILL to the first record that the other one
// has relayed of each, minus the session timeout, which is how long the broker waits for the dead. Its last heartbeat lies up to a quarter of
// that before its death, so the figure can be negative.
type takeover struct {
	bench             *relays.Bench
	changelog, output string
	dir               string
	session           time.Duration
}

// The forms that are compared.
const (
	formStandby   = "standby"
	formChangelog = "changelog"
	formInput     = "input"
)

// runTakeover is the command `takeover`.
func runTakeover(args []string) error {
	flags := flag.NewFlagSet("takeover", flag.ContinueOnError)
	brokers := flags.String("brokers", os.Getenv("KAFKA_BROKERS"), "where the broker is")
	records := flags.Int("records", 1_000_000, "records in the input before the kill, each of a key of its own")
	session := flags.Duration("session", 6*time.Second, "session timeout")
	if err := flags.Parse(args); err != nil {
		return err
	}
	for _, form := range []string{formStandby, formChangelog, formInput} {
		took, err := measureTakeover(context.Background(), relays.Input{Brokers: *brokers, Records: *records, Bytes: 100, Partitions: 4}, form, *session)
		if err != nil {
			return fmt.Errorf("%s: %w", form, err)
		}
		fmt.Printf("%-12s %9d records: %10s from SIGKILL to the first record of each partition, minus the session of %s\n",
			form, *records, took.Round(time.Millisecond), *session)
	}
	return nil
}

func measureTakeover(ctx context.Context, in relays.Input, form string, session time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, relays.Patience)
	defer cancel()
	dir, err := os.MkdirTemp("", "noecho-bench-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	b, err := relays.New(ctx, in)
	if err != nil {
		return 0, err
	}
	defer b.Close()
	t := &takeover{bench: b, dir: dir, session: session}
	for _, topic := range []*string{&t.changelog, &t.output} {
		if *topic, err = b.NewOutput(ctx); err != nil {
			return 0, err
		}
		defer b.Delete(*topic)
	}
	one, two := t.member(form, 1), t.member(form, 2)
	for _, m := range []*exec.Cmd{one, two} {
		m.Stderr = os.Stderr
		if err := m.Start(); err != nil {
			return 0, err
		}
		defer func() {
			_ = m.Process.Kill()
			_ = m.Wait()
		}()
	}
	return t.measure(ctx, one)
}

func (t *takeover) member(form string, n int) *exec.Cmd {
	return exec.Command(t.bench.Self, "member", t.bench.Brokers, t.bench.Topic, t.output, t.changelog,
		filepath.Join(t.dir, fmt.Sprint(n)), form, t.session.String())
}

// measure loads the input, lets both members and the standbys come up to its end, and kills one of them while records keep coming.
func (t *takeover) measure(ctx context.Context, victim *exec.Cmd) (time.Duration, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(t.bench.Brokers, ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ConsumeTopics(t.output), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	time.Sleep(t.session) // both have joined, and each has its share: otherwise the first would read all
	if err := t.bench.Load(ctx); err != nil {
		return 0, err
	}
	for seen := 0; seen < t.bench.Records; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return 0, err
		}
		seen += fetches.NumRecords()
	}
	paced, stop := context.WithCancel(ctx)
	defer stop()
	go t.pace(paced, cl)
	killed := time.Time{}
	began, last, gap := time.Now(), make(map[int32]time.Time), make(map[int32]time.Time)
	for ctx.Err() == nil {
		if killed.IsZero() && time.Since(began) > t.session/2 { // what standbys had to follow is followed
			killed = time.Now()
			if err := victim.Process.Kill(); err != nil {
				return 0, err
			}
		}
		wait, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		fetches := cl.PollFetches(wait)
		cancel()
		now := time.Now()
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if len(p.Records) == 0 {
				return
			}
			if before, ok := last[p.Partition]; ok && !killed.IsZero() && now.Sub(before) > t.session/3 {
				gap[p.Partition] = now
			}
			last[p.Partition] = now
		})
		if len(gap) == t.bench.Partitions/2 {
			end := killed
			for _, at := range gap {
				if at.After(end) {
					end = at
				}
			}
			return end.Sub(killed) - t.session, nil
		}
	}
	return 0, ctx.Err()
}

// pace produces new records, a hundred a second to each partition.
func (t *takeover) pace(ctx context.Context, cl *kgo.Client) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		<-tick.C
		for part := range t.bench.Partitions {
			cl.Produce(ctx, &kgo.Record{Topic: t.bench.Topic, Partition: int32(part), Key: fmt.Appendf(nil, "paced-%d-%d", part, n), Value: []byte("x")}, nil)
		}
	}
}

// runMember is a relay until it is told to stop, or killed: args are brokers, input, output, changelog, data directory, form, and session.
func runMember(args []string) error {
	session, err := time.ParseDuration(args[6])
	if err != nil {
		return err
	}
	e, err := engine.Open(args[4], engine.Options{Window: 24 * time.Hour, Seed: []byte("0123456789abcdef")})
	if err != nil {
		return err
	}
	key, err := kafka.ParseKey("key")
	if err != nil {
		return err
	}
	cfg := kafka.RelayConfig{Engine: e, Client: []kgo.Opt{kgo.SeedBrokers(strings.Split(args[0], ",")...)}, Input: args[1], Output: args[2],
		Group: args[2], Key: key, SessionTimeout: session, Standby: args[5] == formStandby}
	if args[5] != formInput {
		cfg.ChangelogTopic = args[3]
	}
	relay, err := kafka.NewRelay(cfg)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := relay.Run(ctx); err != nil {
		return err
	}
	return e.Close()
}
