package config

import (
	"fmt"
	"strings"
)

// A Violation is one thing wrong with the configuration.
type Violation struct {
	Setting string // name of the setting, "" for the file as a whole
	Text    string // the whole sentence, with where it came from and the remedy
}

// Error holds all violations of a configuration, in the order of Settings. The command exits with status 2.
type Error struct{ Violations []Violation }

// Error lists the violations, one a line.
func (e *Error) Error() string {
	if len(e.Violations) == 1 {
		return e.Violations[0].Text
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the configuration has %d mistakes:", len(e.Violations))
	for _, v := range e.Violations {
		b.WriteString("\n  - ")
		b.WriteString(v.Text)
	}
	return b.String()
}

// has reports whether the setting is among the violations already: what could not be parsed is not judged further.
func (e *Error) has(setting string) bool {
	for _, v := range e.Violations {
		if v.Setting == setting {
			return true
		}
	}
	return false
}

func (e *Error) add(setting, format string, args ...any) {
	e.Violations = append(e.Violations, Violation{Setting: setting, Text: fmt.Sprintf(format, args...)})
}

// orNil avoids the typed nil.
func (e *Error) orNil() error {
	if len(e.Violations) == 0 {
		return nil
	}
	return e
}
