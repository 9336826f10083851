package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"noecho/bench/internal/cell"
	"noecho/bench/internal/child"
	"noecho/bench/internal/filters"
	"noecho/bench/internal/peer"
	"noecho/bench/internal/progress"
	"noecho/bench/internal/report"
	"noecho/bench/internal/store"
)

// errNotHeld is the exit code of bars, and says no more than the table does.
var errNotHeld = errors.New("not all bars are held")

// works are the kinds of children.
var works = map[string]child.Func{
	"cell":    child.Handler(cell.Run),
	"build":   child.Handler(store.Build),
	"probe":   child.Handler(store.Probe),
	"stall":   child.Handler(store.Stall),
	"filter":  child.Handler(filters.Measure),
	"grow":    child.Handler(store.Grow),
	"recover": child.Handler(store.Recover),
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := root().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func root() *cobra.Command {
	run := runCommand()
	cmd := &cobra.Command{
		Use:           "bench",
		Short:         "noecho's engine beside its rivals",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          run.RunE,
	}
	cmd.Flags().AddFlagSet(run.Flags())
	cmd.AddCommand(run, barsCommand(), scaleCommand(), &cobra.Command{
		Use: child.Command + " KIND", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, ok := works[args[0]]
			if !ok {
				return fmt.Errorf("no work is called %q", args[0])
			}
			return child.Serve(cmd.Context(), f, os.Stdin, os.Stdout)
		},
	})
	return cmd
}

// common are the flags of every command.
type common struct {
	dir   string
	redis string
	out   string
}

func (c *common) add(cmd *cobra.Command, name string) {
	cmd.Flags().StringVar(&c.dir, "dir", os.TempDir(), "directory for the stores, on the disk that is to be measured")
	cmd.Flags().StringVar(&c.redis, "redis-server", "", "Redis' binary (default: redis-server in the path)")
	cmd.Flags().StringVar(&c.out, "out", name, "write NAME.json and NAME.html; \"\": neither")
}

// session is what all commands share while they run.
type session struct {
	common
	work   string // a directory of this run's own, removed at its end
	show   *progress.Shower
	report report.Report
	redis  bool // there is a server
}

func newSession(c common, title string) (*session, error) {
	work, err := os.MkdirTemp(c.dir, "noecho-bench-")
	if err != nil {
		return nil, err
	}
	s := &session{common: c, work: work, show: progress.New(os.Stderr)}
	s.report = report.Report{Title: title, Command: "bench " + strings.Join(os.Args[1:], " "), Commit: report.Commit("."),
		Started: time.Now(), Machine: report.ThisMachine(c.dir)}
	if _, err := peer.FindRedis(c.redis); err != nil {
		s.report.Failed = append(s.report.Failed, "Redis: "+err.Error())
	} else {
		s.redis = true
	}
	return s, nil
}

func (s *session) close() { _ = os.RemoveAll(s.work) }

// child runs one child and shows its progress.
func (s *session) child(ctx context.Context, kind string, spec, result any) error {
	return child.Run(ctx, kind, spec, result, func(_ *child.Process, p child.Progress) { s.show.Set(p.Done, p.Note) })
}

// cell runs one round of a cell and adds it to the report.
func (s *session) cell(ctx context.Context, spec cell.Spec) (r cell.Result, err error) {
	k, err := peer.Find(spec.Peer)
	if err != nil {
		return r, err
	}
	spec.Dir, spec.Redis = s.work, s.common.redis
	if err := s.child(ctx, "cell", spec, &r); err != nil {
		return r, fmt.Errorf("%s on %s: %w", spec.Peer, spec.Workload, err)
	}
	s.report.Note(k)
	s.report.Add(r)
	return r, nil
}

// finish writes the report.
func (s *session) finish() error {
	s.show.Done()
	s.report.Took = time.Since(s.report.Started).Seconds()
	if err := s.report.Text(os.Stdout); err != nil {
		return err
	}
	if s.out == "" {
		return nil
	}
	if err := write(s.out+".json", s.report.JSON); err != nil {
		return err
	}
	return write(s.out+".html", s.report.HTML)
}

// write makes a file and says where it is.
func write(name string, content func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	err = content(f)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		path, _ := filepath.Abs(name)
		fmt.Println("written:", path)
	}
	return err
}

// choose splits a list of names and refuses those that are not known.
func choose(list string, known []string) ([]string, error) {
	if list == "" {
		return known, nil
	}
	names := strings.Split(list, ",")
	for _, n := range names {
		if !slices.Contains(known, n) {
			return nil, fmt.Errorf("%q is not known; there are: %s", n, strings.Join(known, ", "))
		}
	}
	return names, nil
}
