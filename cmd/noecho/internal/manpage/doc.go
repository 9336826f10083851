// Package manpage writes a command's man page from what its help is made of: one text, two forms.
//
//	cobra.Command ── Use, Short, Long, flags, Example, subcommands ──► man(7) macros
//
// cobra's own generator goes by way of Markdown and needs two more modules for it; the eight macros used here need none.
package manpage
