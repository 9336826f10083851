package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"noecho/cmd/noecho/internal/manpage"
)

// documented returns the commands that get a page: c and those below it.
func documented(c *cobra.Command) []*cobra.Command {
	if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
		return nil
	}
	all := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		all = append(all, documented(sub)...)
	}
	return all
}

// newMan is for who packages noecho.
func newMan(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the man pages into a directory",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("cannot make the directory of the man pages: %w", err)
			}
			for _, c := range documented(root) {
				name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
				if err := os.WriteFile(filepath.Join(args[0], name), manpage.Page(c), 0o644); err != nil {
					return fmt.Errorf("cannot write a man page: %w", err)
				}
			}
			return nil
		},
	}
}
