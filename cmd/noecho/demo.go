package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"noecho/cmd/noecho/internal/demo"
)

func newDemo() *cobra.Command {
	o := demo.Options{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch it work, with a proof at the end; no broker needed",
		Long: `demo starts a Kafka broker inside this process, a shop that sends orders with realistic echoes (retries, a replayed
stretch of the past, a producer that repeats its last seconds after a restart), and the relay as a child process. In the
middle the relay is killed with SIGKILL and started again. At the end both topics are read back, and the order ids in the
values must show every order exactly once.

Exit status: 0 if the proof holds, 1 if not. Nothing is left on disk.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Validate(); err != nil {
				return usageError{err}
			}
			o.Out = cmd.OutOrStdout()
			terminal(&o, o.Out)
			// Interrupted, Run still kills the relay and removes its directory.
			ctx, stop := untilSignal(cmd.Context(), slog.New(slog.DiscardHandler), func() {})
			defer stop()
			err := demo.Run(ctx, o)
			if errors.Is(err, context.Canceled) {
				return errors.New("interrupted; the relay was stopped and its directory removed")
			}
			return err
		},
	}
	cmd.Flags().IntVar(&o.Seconds, "seconds", 20, "how long the shop sells")
	cmd.Flags().IntVar(&o.Rate, "rate", 4000, "orders a second")
	return cmd
}

// terminal makes the view live where out is a terminal that can be drawn on. NO_COLOR is obeyed (no-color.org).
func terminal(o *demo.Options, out io.Writer) {
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return
	}
	if _, rows, err := term.GetSize(int(f.Fd())); err != nil || rows <= demo.Rows {
		return // the block would scroll away under itself
	}
	o.Live = true
	o.Color = os.Getenv("NO_COLOR") == ""
	o.Width = func() int {
		width, _, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 80
		}
		return width
	}
}
