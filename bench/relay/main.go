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
)

// settings of a comparison.
type settings struct {
	brokers    string
	pids       string // of the broker's processes, where they run here
	records    int
	bytes      int     // of a value
	copies     float64 // share of records that are copies
	partitions int
	rounds     int
	noecho     string // paths of binaries, separated by commas; built from the tree when empty
	args       string // further arguments for noecho run
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("relay: ")
	if len(os.Args) > 1 && os.Args[1] == bareRole {
		if err := runBare(os.Args[2:]); err != nil {
			log.Fatal(err)
		}
		return
	}
	s := settings{brokers: os.Getenv("KAFKA_BROKERS"), pids: os.Getenv("KAFKA_PIDS")}
	flag.IntVar(&s.records, "records", 2_000_000, "records in the input")
	flag.IntVar(&s.bytes, "bytes", 100, "bytes of a record's value")
	flag.Float64Var(&s.copies, "copies", 0, "share of the records that are copies (0 is hardest: all must be written)")
	flag.IntVar(&s.partitions, "partitions", 4, "partitions of input and output")
	flag.IntVar(&s.rounds, "rounds", 4, "rounds that count; each runs both relays")
	flag.StringVar(&s.noecho, "noecho", "", "noecho binary, or several separated by commas, to compare (default: built from this tree)")
	flag.StringVar(&s.args, "args", "", "further arguments for noecho run, separated by blanks")
	flag.Parse()
	if err := compare(context.Background(), s); err != nil {
		log.Fatal(err)
	}
}

func compare(ctx context.Context, s settings) error {
	if s.brokers == "" {
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
	b, err := newBench(ctx, s, dir)
	if err != nil {
		return err
	}
	defer b.close()
	fmt.Printf("%d records of %d bytes, %.0f %% copies, %d partitions; %s, %d cores (shared with the broker)\n",
		s.records, s.bytes, s.copies*100, s.partitions, runtime.Version(), runtime.NumCPU())
	if err := b.load(ctx); err != nil {
		return err
	}

	return b.rounds(ctx)
}

// relayer is one of those that are compared.
type relayer struct {
	name    string
	command func(output, group string) *exec.Cmd
	results []result // by round
}

func (b *bench) relayers() []*relayer {
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
func (b *bench) rounds(ctx context.Context) error {
	all := b.relayers()
	fmt.Println(header)
	for round := -warmUp; round < b.settings.rounds; round++ {
		for i := range all {
			r := all[(round+warmUp+i)%len(all)] // A B, B A: what one run leaves behind for the next (pages to write out) falls on both
			m, err := b.measure(ctx, r.name, r.command)
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
			each[i] = flow(r.results[i:i+1]) / flow(bare[i:i+1])
		}
		rounds := strings.Trim(fmt.Sprintf("%.2f", each), "[]")
		fmt.Printf("ratio %s / bare: flow %.2f (by round: %s), whole %.2f\n", r.name, flow(r.results)/flow(bare), rounds, whole(r.results)/whole(bare))
	}
	return nil
}

// bare is the rival's command line.
func (b *bench) bare(output, group string) *exec.Cmd {
	return exec.Command(b.self, bareRole, b.brokers, b.input, output, group)
}

// noecho is ours, with a data directory of its own: every run starts with an empty window.
func (b *bench) noecho(path, output, group string) *exec.Cmd {
	args := []string{"run", "--brokers", b.brokers, "--input", b.input, "--output", output, "--group", group,
		"--data-dir", filepath.Join(b.dir, output), "--window", "24h", "--commit-interval", time.Second.String(), "--metrics-addr", "off"}
	return exec.Command(path, append(args, strings.Fields(b.args)...)...)
}
