package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"noecho/bench/internal/relays"
)

// settings of a comparison.
type settings struct {
	relays.Input
	rounds int
	noecho string // paths of binaries, separated by commas; built from the tree when empty
	args   string // further arguments for noecho run
}

// comparison is one run of the command.
type comparison struct {
	settings
	*relays.Bench
	dir string
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("relay: ")
	if len(os.Args) > 1 && os.Args[1] == relays.BareRole {
		if err := relays.Bare(os.Args[2:], nil); err != nil {
			log.Fatal(err)
		}
		return
	}
	s := settings{Input: relays.Input{Brokers: os.Getenv("KAFKA_BROKERS"), PIDs: os.Getenv("KAFKA_PIDS")}}
	flag.IntVar(&s.Records, "records", 2_000_000, "records in the input")
	flag.IntVar(&s.Bytes, "bytes", 100, "bytes of a record's value")
	flag.Float64Var(&s.Copies, "copies", 0, "share of the records that are copies (0 is hardest: all must be written)")
	flag.IntVar(&s.Partitions, "partitions", 4, "partitions of input and output")
	flag.IntVar(&s.rounds, "rounds", 4, "rounds that count; each runs both relays")
	flag.StringVar(&s.noecho, "noecho", "", "noecho binary, or several separated by commas, to compare (default: built from this tree)")
	flag.StringVar(&s.args, "args", "", "further arguments for noecho run, separated by blanks")
	flag.Parse()
	if err := compare(context.Background(), s); err != nil {
		log.Fatal(err)
	}
}

func compare(ctx context.Context, s settings) error {
	if s.Brokers == "" {
		return errors.New("KAFKA_BROKERS is not set: use make bench-relay, or set it to host:port of a broker")
	}
	dir, err := os.MkdirTemp("", "noecho-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if s.noecho == "" {
		s.noecho = filepath.Join(dir, "noecho")
		if out, err := exec.Command("go", "build", "-C", "..", "-o", s.noecho, "./cmd/noecho").CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w\n%s", err, out)
		}
	}
	bench, err := relays.New(ctx, s.Input)
	if err != nil {
		return err
	}
	defer bench.Close()
	b := &comparison{s, bench, dir}
	fmt.Printf("%d records of %d bytes, %.0f %% copies, %d partitions; %s, %d cores (shared with the broker)\n",
		s.Records, s.Bytes, s.Copies*100, s.Partitions, runtime.Version(), runtime.NumCPU())
	if err := b.Load(ctx); err != nil {
		return err
	}

	return b.rounds(ctx)
}

// relayer is one of those that are compared.
type relayer struct {
	name    string
	command func(output, group string) *exec.Cmd
	results []relays.Result // by round
}

func (b *comparison) relayers() []*relayer {
	all := []*relayer{{name: "bare", command: b.bare}}
	for _, path := range strings.Split(b.settings.noecho, ",") {
		all = append(all, &relayer{name: filepath.Base(path), command: func(output, group string) *exec.Cmd { return b.noecho(path, output, group) }})
	}
	return all
}

// warmUp is the number of rounds that are not counted. A broker that has just started compiles its code while it serves them: it
// takes four times the processor time. All relays are in them, because it compiles again for what only one of them sends
// (records with headers).
const warmUp = 2

// rounds runs the relays in turns and prints what they showed.
func (b *comparison) rounds(ctx context.Context) error {
	all := b.relayers()
	fmt.Println(relays.Header)
	for round := -warmUp; round < b.settings.rounds; round++ {
		for i := range all {
			r := all[(round+warmUp+i)%len(all)] // A B, B A: what one run leaves behind for the next (pages to write out) falls on both
			want := b.Want
			if r == all[0] { // the bare relay drops nothing
				want = int64(b.Bench.Records)
			}
			m, err := b.Measure(ctx, r.name, want, false, r.command)
			if err != nil {
				return err
			}
			if round < 0 {
				fmt.Println(m, " (not counted)")
				continue
			}
			fmt.Println(m)
			r.results = append(r.results, m)
		}
	}
	bare := all[0].results
	for _, r := range all[1:] {
		each := make([]float64, len(bare))
		for i := range bare {
			each[i] = relays.Flow(r.results[i:i+1]) / relays.Flow(bare[i:i+1])
		}
		rounds := strings.Trim(fmt.Sprintf("%.2f", each), "[]")
		fmt.Printf("ratio %s / bare: flow %.2f (by round: %s), whole %.2f\n", r.name, relays.Flow(r.results)/relays.Flow(bare), rounds, relays.Whole(r.results)/relays.Whole(bare))
	}
	return nil
}

// bare is the rival's command line.
func (b *comparison) bare(output, group string) *exec.Cmd {
	return exec.Command(b.Self, relays.BareRole, b.Bench.Brokers, b.Topic, output, group)
}

// noecho is ours, with a data directory of its own: every run starts with an empty window.
func (b *comparison) noecho(path, output, group string) *exec.Cmd {
	args := []string{"run", "--brokers", b.Bench.Brokers, "--input", b.Topic, "--output", output, "--group", group,
		"--data-dir", filepath.Join(b.dir, output), "--window", "24h", "--commit-interval", time.Second.String(), "--metrics-addr", "off"}
	return exec.Command(path, append(args, strings.Fields(b.args)...)...)
}
