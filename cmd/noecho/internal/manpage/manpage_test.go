package manpage

import (
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

func TestPage(t *testing.T) {
	root := &cobra.Command{Use: "tool", Short: "Do things", Long: "First.\n.hidden trap\n\n  kept\n  as it is\n\nLast: a\\b."}
	run := &cobra.Command{Use: "run FILE", Short: "Run a file", Run: func(*cobra.Command, []string) {}, Example: "tool run x --fast"}
	run.Flags().BoolP("fast", "f", false, "hurry")
	run.Flags().Duration("wait", 0, "pause between two")
	run.Flags().String("to", "here", "where to")
	root.AddCommand(run, &cobra.Command{Use: "secret", Hidden: true, Run: func(*cobra.Command, []string) {}})
	require.Equal(t, `.TH "TOOL" 1 "" "noecho" "User Commands"
.SH NAME
tool \- Do things
.SH SYNOPSIS
.B tool
.SH DESCRIPTION
First.
\&.hidden trap
.PP
.nf
  kept
  as it is
.fi
.PP
Last: a\eb.
.SH COMMANDS
.TP
.B tool run
Run a file
`, string(Page(root)))
	require.Equal(t, `.TH "TOOL-RUN" 1 "" "noecho" "User Commands"
.SH NAME
tool\-run \- Run a file
.SH SYNOPSIS
.B tool run FILE [flags]
.SH EXAMPLE
.nf
tool run x \-\-fast
.fi
.SH OPTIONS
.TP
\fB\-f, \-\-fast\fR
hurry
.TP
\fB\-\-to\fR \fIstring\fR
where to (default here)
.TP
\fB\-\-wait\fR \fIduration\fR
pause between two (default 0s)
`, string(Page(run)))
}
