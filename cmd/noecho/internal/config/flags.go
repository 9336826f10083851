package config

import (
	"github.com/spf13/pflag"
)

const flagConfig = "config"

// rawFlag keeps the text of a flag; Load parses it together with the other sources, so that the mistakes of all come
// out at once and a size is the same size everywhere.
type rawFlag struct {
	text string
	kind string
}

func (f *rawFlag) String() string { return f.text }
func (f *rawFlag) Type() string   { return f.kind }

// Set keeps the text. Given again, a flag is replaced, lists too: who appends to a command line wants the last word.
func (f *rawFlag) Set(text string) error {
	f.text = text
	return nil
}

// AddFlags defines a flag for every setting that is not a secret, and --config.
func AddFlags(flags *pflag.FlagSet) {
	flags.String(flagConfig, "", "YAML file with the settings, snake_case (or NOECHO_CONFIG)")
	defaults := Default()
	for i := range Settings {
		s := &Settings[i]
		if s.Secret {
			continue
		}
		f := flags.VarPF(&rawFlag{kind: s.Kind()}, s.Flag(), "", s.Usage)
		f.DefValue = s.text(&defaults)
		if s.Kind() == "bool" {
			f.NoOptDefVal = "true"
		}
	}
}

// applyFlags sets what was given on the command line, an empty value included: it was written there on purpose.
func (l *loader) applyFlags(flags *pflag.FlagSet) {
	for i := range Settings {
		s := &Settings[i]
		if f := flags.Lookup(s.Flag()); f != nil && f.Changed {
			l.apply(s, f.Value.String(), "--"+s.Flag())
		}
	}
}
