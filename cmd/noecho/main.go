package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"noecho/cmd/noecho/internal/config"
)

// Exit codes. Documented in doc.go, the help of run, and the man page.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(execute(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// usageError is a mistake in what was typed.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// execute runs the command line and returns the exit code. What went wrong is the last thing written to stderr.
func execute(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	started := false
	root := newRoot(&started)
	root.SetArgs(append([]string{}, args...)) // not nil, which stands for os.Args
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	if err == nil {
		return exitOK
	}
	for _, sentence := range sentences(err) {
		_, _ = fmt.Fprintf(stderr, "noecho: %s\n", sentence)
	}
	var usage usageError
	var mistakes *config.Error
	if !started || errors.As(err, &usage) || errors.As(err, &mistakes) {
		return exitUsage
	}
	return exitFailed
}

// sentences splits joined errors and leaves repetitions out: a store that fails is reported by every partition.
func sentences(err error) (texts []string) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []string{err.Error()}
	}
	for _, e := range joined.Unwrap() {
		for _, text := range sentences(e) {
			if !slices.Contains(texts, text) {
				texts = append(texts, text)
			}
		}
	}
	return texts
}

// newRoot makes the command tree. *started is set when the command line was right and a command begins: an error before
// that is the user's. cobra has no type for its own errors.
func newRoot(started *bool) *cobra.Command {
	root := &cobra.Command{
		Use:   "noecho",
		Short: "A Kafka topic with duplicates in, a topic without out",
		Long: `noecho reads a Kafka topic, drops every record that is a copy of an earlier one, and writes the rest to another topic.
It survives kill -9 at any moment and restarts without losing or repeating a record.

Try it without a broker: noecho demo`,
		Args:                       noSuchCommand,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SuggestionsMinimumDistance: 2,
		SilenceErrors:              true,
		SilenceUsage:               true,
		PersistentPreRun:           func(*cobra.Command, []string) { *started = true },
		CompletionOptions:          cobra.CompletionOptions{HiddenDefaultCmd: false},
	}
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(newRun(), newDemo(), newInspect(), newCtl(), newVersion(), newMan(root))
	return root
}

// noSuchCommand refuses arguments of noecho itself. cobra's own sentence goes over four lines.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("; did you mean %s?", strings.Join(near, " or "))
	}
	return fmt.Errorf("unknown command %q%s (%s --help lists all commands)", args[0], hint, cmd.CommandPath())
}

// flagError adds to pflag's message the flag that was probably meant.
func flagError(cmd *cobra.Command, err error) error {
	all := fmt.Sprintf("%s --help lists all flags", cmd.CommandPath())
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "" {
		near, _ := config.Nearest(unknown.GetSpecifiedName())
		name := config.Lookup(near).Flag()
		if config.Lookup(near).Secret {
			name += "-file"
		}
		if cmd.Flags().Lookup(name) != nil {
			return usageError{fmt.Errorf("%w; did you mean --%s? (%s)", err, name, all)}
		}
	}
	return usageError{fmt.Errorf("%w (%s)", err, all)}
}
