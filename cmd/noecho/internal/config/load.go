package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Origin of a setting that nobody set.
const originDefault = "default"

// Loaded is a configuration together with where it came from.
type Loaded struct {
	Config
	// Warnings are sentences about what looks like a mistake but may be somebody else's business: a variable
	// NOECHO_WINDWO is a typing error, NOECHO_PORT is what Kubernetes sets for a service named noecho.
	Warnings []string

	origins map[string]string // setting -> where its value came from
}

// Origin says where the setting's value came from: "default", "file.yaml:12", "NOECHO_WINDOW" or "--window".
func (l *Loaded) Origin(setting string) string {
	if o, ok := l.origins[setting]; ok {
		return o
	}
	return originDefault
}

// loader collects values and mistakes while the sources are read, from the weakest to the strongest.
type loader struct {
	loaded Loaded
	errs   Error
}

// Load merges defaults, the file, environ ("NAME=value" lines, as of os.Environ) and the flags of AddFlags, and
// validates the result. flags may be nil. The configuration file is named by --config or NOECHO_CONFIG.
//
// The error is an *Error that holds all mistakes of all sources; Loaded is then incomplete but printable.
func Load(flags *pflag.FlagSet, environ []string) (*Loaded, error) {
	l := &loader{loaded: Loaded{Config: Default(), origins: map[string]string{}}}
	env := map[string]string{}
	for _, line := range environ {
		if name, value, ok := strings.Cut(line, "="); ok && strings.HasPrefix(name, EnvPrefix) && value != "" {
			env[name] = value
		}
	}
	path := env[EnvPrefix+"CONFIG"]
	if flags != nil && flags.Changed(flagConfig) {
		path = flags.Lookup(flagConfig).Value.String()
	}
	if path != "" {
		if text, err := readFile(path); err != nil {
			l.errs.add("", "%v", err)
		} else {
			l.applyFile(path, text)
		}
	}
	l.applyEnv(env)
	if flags != nil {
		l.applyFlags(flags)
	}
	l.readSecrets()
	l.loaded.validate(&l.errs)
	l.sort()
	return &l.loaded, l.errs.orNil()
}

// apply sets one setting from one source; a mistake is kept, together with the source.
func (l *loader) apply(s *Setting, text, origin string) {
	if err := s.set(&l.loaded.Config, text); err != nil {
		shown := err.Error()
		if s.Secret {
			shown = "cannot be read" // never print a secret, not even a mistyped one
		}
		l.errs.add(s.Name, "%s: %s (from %s)", s.Name, shown, origin)
		return
	}
	l.loaded.origins[s.Name] = origin
}

// applyEnv sets what the variables hold. An empty variable is one that is not set.
func (l *loader) applyEnv(env map[string]string) {
	names := make([]string, 0, len(env))
	for name := range env {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if name == EnvPrefix+"CONFIG" {
			continue
		}
		lower := strings.ToLower(strings.TrimPrefix(name, EnvPrefix))
		if s := Lookup(lower); s != nil {
			l.apply(s, env[name], name)
			continue
		}
		// Unknown variables can't be refused: a Kubernetes service called noecho puts NOECHO_PORT and its friends
		// into every pod. What is nearly a setting is worth a warning.
		if near, distance := Nearest(lower); distance > 0 && distance <= 2 {
			l.loaded.Warnings = append(l.loaded.Warnings,
				fmt.Sprintf("the variable %s is not a setting of noecho; did you mean %s?", name, Lookup(near).Env()))
		}
	}
}

// sort brings the mistakes into the order of the table: the file's own first.
func (l *loader) sort() {
	rank := func(v Violation) int {
		return slices.IndexFunc(Settings, func(s Setting) bool { return s.Name == v.Setting })
	}
	slices.SortStableFunc(l.errs.Violations, func(a, b Violation) int { return rank(a) - rank(b) })
}
