package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"noecho/cmd/noecho/internal/admin"
	"noecho/cmd/noecho/internal/config"
	"noecho/kafka"
)

// adminUsual is where ctl asks unless told otherwise, and the port that the documentation proposes.
const adminUsual = "127.0.0.1:9465"

const ctlLong = `ctl talks to the admin endpoint of a running noecho, which is off unless --admin-addr is given to run:

  noecho run ... --admin-addr 127.0.0.1:9465

The address is taken from --addr, or from NOECHO_ADMIN_ADDR, or is 127.0.0.1:9465.

Exit status: 0 done, 1 nobody answered or noecho refused, 2 the command line is wrong.`

const ctlModeLong = `mode shows the mode, or changes it, while noecho runs:

  active  duplicates are dealt with as on_duplicate says
  shadow  everything passes to the output; verdicts are made and counted, and a record that would not be there otherwise
          carries noecho-verdict, noecho-original-offset and its age in headers. Marks are taken in: nothing is missing later
  bypass  the kill switch: everything passes untouched and the store is left alone. What passes meanwhile leaves no marks,
          so its copies pass, too, for up to a window

A partition changes at its next chunk of records; none is lost and none overtakes another. The mode is not kept: the next
start begins with the setting mode.`

func newCtl() *cobra.Command {
	var addr string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ctl",
		Short: "See and change what a running noecho does",
		Long:  ctlLong,
		Args:  noSuchCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2,
	}
	cmd.PersistentFlags().StringVar(&addr, "addr", "", "host:port of the admin endpoint")
	cmd.PersistentFlags().BoolVar(&asJSON, "json", false, "the answer as JSON")
	client := func() *admin.Client { return admin.NewClient(adminAddr(addr, os.Getenv)) }
	cmd.AddCommand(&cobra.Command{
		Use:     "mode [active|shadow|bypass]",
		Short:   "Show or change the mode",
		Long:    ctlModeLong,
		Example: "  noecho ctl mode\n  noecho ctl mode shadow\n  noecho ctl mode bypass --addr 10.0.0.7:9465",
		Args:    ctlModeArgs,
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return config.Lookup("mode").Values, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return showMode(cmd, client(), asJSON)
			}
			return changeMode(cmd, client(), kafka.Mode(args[0]), asJSON)
		},
	}, &cobra.Command{
		Use:   "status",
		Short: "Show mode, counters and partitions",
		Long: `status shows the mode, what became of the records since the start, and each partition assigned to this process: up to
which offset it is done, what Kafka acknowledged, and how far the input's end is. Of a partition that is restoring it shows where
learning began and why, where it is, and where it ends.

lease: held says that the group's coordinator confirms that the partitions are nobody else's. With a changelog: what was
written to it and read from it, and with standby the partitions that are followed: up to which offset of the input they are
known, how many records of the changelog wait, and whether a takeover would have next to nothing to restore (warm).`,
		Example: "  noecho ctl status\n  noecho ctl status --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, raw, err := client().Status(cmd.Context())
			switch {
			case err != nil:
				return err
			case asJSON:
				return writeRaw(cmd.OutOrStdout(), raw)
			}
			return writeStatus(cmd.OutOrStdout(), &s)
		},
	})
	return cmd
}

// adminAddr chooses the address: the flag, the variable that run listens by, the usual one. Of a listener on all interfaces
// (":9465", "0.0.0.0:9465") the one to ask is this machine's.
func adminAddr(flag string, getenv func(string) string) string {
	addr := flag
	if addr == "" {
		addr = getenv(config.Lookup("admin_addr").Env())
	}
	switch {
	case addr == "" || addr == config.Off:
		return adminUsual
	case strings.HasPrefix(addr, ":"):
		return "127.0.0.1" + addr
	}
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsUnspecified() {
		return addr
	}
	if strings.Contains(host, ":") {
		return net.JoinHostPort("::1", port)
	}
	return net.JoinHostPort("127.0.0.1", port)
}

func ctlModeArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("one mode at a time; %d were given", len(args))
	}
	if len(args) == 1 && !slices.Contains(config.Lookup("mode").Values, args[0]) {
		return fmt.Errorf("there is no mode %q; choose %s", args[0], strings.Join(config.Lookup("mode").Values, ", "))
	}
	return nil
}

func showMode(cmd *cobra.Command, c *admin.Client, asJSON bool) error {
	s, _, err := c.Status(cmd.Context())
	if err != nil {
		return err
	}
	if asJSON {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "{\"mode\":%q}\n", s.Mode)
	} else {
		_, err = fmt.Fprintln(cmd.OutOrStdout(), s.Mode)
	}
	return err
}

// consequences are what a change comes to, for who throws the switch in a hurry.
var consequences = map[kafka.Mode]string{
	kafka.ModeActive: "duplicates are dealt with as on_duplicate says",
	kafka.ModeShadow: "everything passes; verdicts are counted, duplicates carry them in headers, marks are taken in",
	kafka.ModeBypass: "everything passes unjudged and leaves no marks; back with: noecho ctl mode active",
}

func changeMode(cmd *cobra.Command, c *admin.Client, mode kafka.Mode, asJSON bool) error {
	changed, raw, err := c.SetMode(cmd.Context(), string(mode))
	switch {
	case err != nil:
		return err
	case asJSON:
		return writeRaw(cmd.OutOrStdout(), raw)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s (was %s): %s\n", changed.Mode, changed.Was, consequences[mode])
	return err
}

func writeRaw(w io.Writer, raw []byte) error {
	_, err := w.Write(raw)
	return err
}
