package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"noecho/cmd/noecho/internal/config"
)

const runLong = `run reads the input topic, drops every record that is a copy of an earlier one, and writes the rest to the output
topic: same partition, key, value, headers and timestamp, plus the header noecho-source (topic/partition/offset).

The key must name the message (an order's id), not the entity it is about (the customer's): two messages with one key
are copies of each other. The default, payload, compares the whole record.

Settings come from flags, NOECHO_* variables and a YAML file, in this order of strength. One setting has one name:
--max-bytes, NOECHO_MAX_BYTES, max_bytes. Secrets have no flag, since a command line can be read by every user of the
machine: NOECHO_SASL_PASSWORD and NOECHO_HASH_SEED, or their files.

Sizes are written 9Gi, 64MiB, 1GB, 9.66e+09 or in bytes; durations 24h, 90m, 1h30m, 500ms.

SIGTERM and SIGINT make it finish what is under way, commit, and exit with status 0; a second signal ends it at once,
with status 1, and the next start goes on from the last commit.
Exit status: 0 stopped as asked, 1 something failed while running, 2 the command line or the configuration is wrong.`

const runExample = `  noecho run --brokers b1:9092,b2:9092 --input orders --output orders-unique --group noecho-orders \
             --key json:order_id --window 24h --data-dir /var/lib/noecho
  noecho run --config /etc/noecho.yaml --print-config`

func newRun() *cobra.Command {
	var printConfig bool
	cmd := &cobra.Command{
		Use:     "run",
		Short:   "Relay a topic and leave the duplicates out",
		Long:    runLong,
		Example: runExample,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(cmd.Flags(), os.Environ())
			if printConfig {
				// Also when it is wrong: that is when one wants to see where a value comes from.
				if err := c.Print(cmd.OutOrStdout()); err != nil {
					return err
				}
			}
			if err != nil || printConfig {
				return err
			}
			return relay(cmd.Context(), c, cmd.ErrOrStderr())
		},
	}
	config.AddFlags(cmd.Flags())
	cmd.Flags().BoolVar(&printConfig, "print-config", false, "print the effective settings with their origins, and exit")
	cmd.SetUsageFunc(runUsage)
	for i := range config.Settings {
		s := &config.Settings[i]
		if s.Values == nil {
			continue
		}
		if err := cmd.RegisterFlagCompletionFunc(s.Flag(), cobra.FixedCompletions(s.Values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
			panic(fmt.Sprintf("the setting %s has no flag to complete: %v", s.Name, err))
		}
	}
	return cmd
}

// runUsage shows the flags under the headings of the settings: forty in one list would not be read.
func runUsage(cmd *cobra.Command) error {
	w := cmd.OutOrStderr()
	_, err := fmt.Fprintf(w, "Usage:\n  %s\n\nExamples:\n%s\n", cmd.UseLine(), cmd.Example)
	rest := pflag.NewFlagSet("", pflag.ContinueOnError)
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if config.Lookup(strings.ReplaceAll(f.Name, "-", "_")) == nil {
			rest.AddFlag(f)
		}
	})
	for _, group := range config.Groups() {
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		flags.SortFlags = false
		for i := range config.Settings {
			if s := &config.Settings[i]; s.Group == group && !s.Secret {
				flags.AddFlag(cmd.Flags().Lookup(s.Flag()))
			}
		}
		if err == nil {
			_, err = fmt.Fprintf(w, "\n%s:\n%s", group, flags.FlagUsagesWrapped(usageColumns))
		}
	}
	if err == nil {
		_, err = fmt.Fprintf(w, "\nOther:\n%s", rest.FlagUsagesWrapped(usageColumns))
	}
	return err
}

// usageColumns is where long descriptions of flags are wrapped.
const usageColumns = 120
