package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"noecho/bench/internal/peer"
	"noecho/bench/internal/relays"
	"noecho/bench/internal/report"
)

// settings of a run.
type settings struct {
	brokers, pids string
	records       int // of 100 bytes; a quarter of them of 1 KB
	rounds, warm  int // that count, and that do not
	copies        float64
	partitions    int
	rate          int
	seconds       int // of each latency run
	quick         bool
	only          string
	cache         string // of jars
	out           string // path of the reports, without their suffix
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("kafka: ")
	if len(os.Args) > 1 && roles[os.Args[1]] != nil {
		if err := roles[os.Args[1]](os.Args[2:]); err != nil {
			log.Fatal(err)
		}
		return
	}
	s := settings{brokers: os.Getenv("KAFKA_BROKERS"), pids: os.Getenv("KAFKA_PIDS")}
	s.define(flag.CommandLine)
	flag.Parse()
	if s.quick {
		s.records, s.rounds, s.warm, s.seconds = 400_000, 1, 0, 4
	}
	if err := measureAll(context.Background(), s); err != nil {
		log.Fatal(err)
	}
}

// define gives f the flags that set s.
func (s *settings) define(f *flag.FlagSet) {
	f.IntVar(&s.records, "records", 2_000_000, "records of 100 bytes in the input; of 1 KB a quarter of it, of slow rivals a fifth of that")
	f.IntVar(&s.rounds, "rounds", 3, "rounds that count")
	f.IntVar(&s.warm, "warm", 1, "rounds before, for a broker that compiles its code")
	f.Float64Var(&s.copies, "copies", 0.05, "share of the records that are copies (0 is hardest: all must be written)")
	f.IntVar(&s.partitions, "partitions", 4, "partitions of input and output")
	f.IntVar(&s.rate, "rate", 10_000, "records a second where latency is measured")
	f.IntVar(&s.seconds, "seconds", 20, "of each latency run")
	f.BoolVar(&s.quick, "quick", false, "everything once and short: less than 3 minutes")
	f.StringVar(&s.only, "only", "", "rivals to measure, separated by commas (default: all)")
	f.StringVar(&s.cache, "cache", "../.kafka", "where the jars of Kafka Streams go")
	f.StringVar(&s.out, "out", "kafka", "path of the reports, to which .json and .html are added")
}

// measureAll makes the run and writes its reports.
func measureAll(ctx context.Context, s settings) error {
	if s.brokers == "" {
		return errors.New("KAFKA_BROKERS is not set: use make bench-kafka, or set it to host:port of a broker")
	}
	dir, err := os.MkdirTemp("", "noecho-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r := &run{Command: strings.Join(os.Args, " "), Started: time.Now(), Machine: report.ThisMachine(dir), Copies: s.copies, Partitions: s.partitions}
	rivals, stop, err := prepare(ctx, s, dir, r)
	if err != nil {
		return err
	}
	defer stop()
	for _, part := range []func(context.Context, settings, []rival, *run, string) error{throughputs, latencies, costs} {
		if err := part(ctx, s, rivals, r, dir); err != nil {
			return err
		}
	}
	r.compare()
	r.Took = time.Since(r.Started)
	for suffix, write := range map[string]func(io.Writer) error{".json": r.json, ".html": r.html} {
		f, err := os.Create(s.out + suffix)
		if err != nil {
			return err
		}
		if err := errors.Join(write(f), f.Close()); err != nil {
			return err
		}
	}
	return r.text(os.Stdout)
}

// prepare builds and starts what the rivals need, and says who is left out.
func prepare(ctx context.Context, s settings, dir string, r *run) (chosen []rival, stop func(), err error) {
	to := &setup{dir: dir, noecho: filepath.Join(dir, "noecho")}
	if out, err := exec.Command("go", "build", "-C", "..", "-o", to.noecho, "./cmd/noecho").CombinedOutput(); err != nil {
		return nil, nil, fmt.Errorf("go build: %w\n%s", err, out)
	}
	cache, err := filepath.Abs(s.cache)
	if err != nil {
		return nil, nil, err
	}
	if to.classpath, err = buildStreams(cache); err != nil {
		to.noStreams = err.Error()
	}
	stop = func() {}
	if server, err := peer.StartRedis(ctx, "", dir); err != nil {
		to.noRedis = err.Error()
	} else {
		to.redis, stop = server.Addr(), func() { _ = server.Stop() }
	}
	for _, v := range to.rivals() {
		switch {
		case s.only != "" && !slices.Contains(strings.Split(s.only, ","), v.name):
		case v.skip != "":
			r.LeftOut = append(r.LeftOut, v.name+": "+v.skip)
		default:
			chosen = append(chosen, v)
		}
	}
	return chosen, stop, nil
}

// throughputs measures each rival at each size, in turns.
func throughputs(ctx context.Context, s settings, rivals []rival, r *run, _ string) error {
	for _, size := range []int{100, 1024} {
		records := s.records
		if size > 100 {
			records /= 4
		}
		in := relays.Input{Brokers: s.brokers, PIDs: s.pids, Records: records, Bytes: size, Copies: s.copies, Partitions: s.partitions}
		small := in
		small.Records /= 5
		inputs := map[bool]*relays.Bench{}
		for slow, in := range map[bool]relays.Input{false: in, true: small} {
			b, err := relays.New(ctx, in)
			if err != nil {
				return err
			}
			defer b.Close()
			if err := b.Load(ctx); err != nil {
				return err
			}
			inputs[slow] = b
		}
		if err := throughputsOf(ctx, s, rivals, inputs, r, size); err != nil {
			return err
		}
	}
	return nil
}

func throughputsOf(ctx context.Context, s settings, rivals []rival, inputs map[bool]*relays.Bench, r *run, size int) error {
	fmt.Printf("\nvalues of %d bytes\n%s\n", size, relays.Header)
	found := make([]throughput, len(rivals))
	for round := -s.warm; round < s.rounds; round++ {
		for i := range rivals {
			at := (i + round + s.warm) % len(rivals) // what one run leaves behind for the next (pages to write out) falls on all
			v, b := rivals[at], inputs[rivals[at].slow]
			want := b.Want
			if !v.drops {
				want = int64(b.Records)
			}
			m, err := b.Measure(ctx, v.name, want, v.markers, func(output, group string) *exec.Cmd {
				return v.command(where{b, output, group, "10ms"})
			})
			if err != nil {
				return err
			}
			fmt.Println(m)
			if round >= 0 {
				found[at].Rounds = append(found[at].Rounds, m)
			}
		}
	}
	for i := range found {
		found[i].Name, found[i].Bytes = rivals[i].name, size
	}
	r.Throughput = append(r.Throughput, found...)
	return nil
}

// latencies measures each rival at the rate; each has an input of its own.
func latencies(ctx context.Context, s settings, rivals []rival, r *run, _ string) error {
	fmt.Printf("\nlatency at %d records/s ...\n", s.rate)
	for _, v := range append([]rival{{name: directName}}, rivals...) {
		b, err := relays.New(ctx, relays.Input{Brokers: s.brokers, PIDs: s.pids, Bytes: 100, Partitions: s.partitions})
		if err != nil {
			return err
		}
		p := &paced{bench: b, rate: s.rate, warm: time.Duration(s.seconds) * time.Second / 4, lasts: time.Duration(s.seconds) * time.Second}
		var command func(output, group string) *exec.Cmd
		if v.command != nil {
			command = func(output, group string) *exec.Cmd { return v.command(where{b, output, group, "0s"}) }
		}
		l, err := p.run(ctx, v.name, command)
		b.Close()
		if err != nil {
			return err
		}
		r.Latency = append(r.Latency, l)
	}
	return nil
}

// costs compares a plain consumer with the library's, and with itself and the engine.
func costs(ctx context.Context, s settings, _ []rival, r *run, dir string) error {
	for _, input := range []struct {
		name   string
		copies float64
	}{{"new keys", 0}, {"copies", 0.999}} {
		b, err := relays.New(ctx, relays.Input{Brokers: s.brokers, PIDs: s.pids, Records: s.records, Bytes: 100, Copies: input.copies, Partitions: s.partitions})
		if err != nil {
			return err
		}
		defer b.Close()
		if err := b.Load(ctx); err != nil {
			return err
		}
		for _, handler := range []string{"empty", "json"} {
			c, err := compareCost(ctx, b, dir, input.name, handler, 2*max(1, s.rounds))
			if err != nil {
				return err
			}
			r.Cost = append(r.Cost, c...)
		}
	}
	return nil
}
