package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print what this binary is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "noecho", build(debug.ReadBuildInfo()))
			return err
		},
	}
}

// build describes the binary by what the Go linker wrote into it: no version is kept in the source, so none can be stale.
func build(info *debug.BuildInfo, ok bool) string {
	version, revision, modified := "unknown", "", ""
	if ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				revision = " " + s.Value[:min(12, len(s.Value))]
			case s.Key == "vcs.modified" && s.Value == "true":
				modified = " (modified)"
			}
		}
	}
	return version + revision + modified + " " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
}
