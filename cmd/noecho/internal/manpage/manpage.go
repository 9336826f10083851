package manpage

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Page returns the page of c, section 1.
func Page(c *cobra.Command) []byte {
	var b bytes.Buffer
	name := strings.ReplaceAll(c.CommandPath(), " ", "-")
	fmt.Fprintf(&b, ".TH %q 1 \"\" \"noecho\" \"User Commands\"\n", strings.ToUpper(name))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", escape(name), escape(c.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", escape(c.UseLine()))
	section(&b, "DESCRIPTION", paragraphs(c.Long))
	if c.Example != "" {
		section(&b, "EXAMPLE", ".nf\n"+escape(c.Example)+"\n.fi\n")
	}
	var commands, options bytes.Buffer
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			fmt.Fprintf(&commands, ".TP\n.B %s\n%s\n", escape(sub.CommandPath()), escape(sub.Short))
		}
	}
	section(&b, "COMMANDS", commands.String())
	c.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			option(&options, f)
		}
	})
	section(&b, "OPTIONS", options.String())
	return b.Bytes()
}

func section(b *bytes.Buffer, title, text string) {
	if text != "" {
		fmt.Fprintf(b, ".SH %s\n%s", title, text)
	}
}

// option writes one flag: its name bold, its kind in italics, then what it does.
func option(b *bytes.Buffer, f *pflag.Flag) {
	name := "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	kind := ""
	if f.NoOptDefVal == "" {
		kind = " \\fI" + escape(f.Value.Type()) + "\\fR"
	}
	usage := f.Usage
	if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" {
		usage += " (default " + f.DefValue + ")"
	}
	fmt.Fprintf(b, ".TP\n\\fB%s\\fR%s\n%s\n", escape(name), kind, escape(usage))
}

// paragraphs separates paragraphs with .PP and keeps the lines of those that are indented.
func paragraphs(text string) string {
	if text == "" {
		return ""
	}
	var b strings.Builder
	for i, p := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			b.WriteString(".PP\n")
		}
		if strings.HasPrefix(p, " ") {
			b.WriteString(".nf\n" + escape(p) + "\n.fi\n")
		} else {
			b.WriteString(escape(p) + "\n")
		}
	}
	return b.String()
}

// escape makes text that man(7) prints as it is: a backslash and a dash are spelled out, and a line must not begin with
// a control character.
func escape(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
