package config

import (
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"

	"noecho/kafka"
)

// mask stands for a secret that is set.
const mask = "********"

// Print writes the effective configuration as a YAML file that Load would accept, every value with its origin.
// Secrets are masked.
func (l *Loaded) Print(w io.Writer) error {
	group := ""
	for i := range Settings {
		s := &Settings[i]
		if s.Group != group {
			if group != "" {
				fmt.Fprintln(w)
			}
			group = s.Group
			fmt.Fprintf(w, "# %s\n", group)
		}
		line, err := l.line(s)
		if err != nil {
			return fmt.Errorf("print %s: %w", s.Name, err)
		}
		if origin := l.Origin(s.Name); origin != originDefault {
			line = fmt.Sprintf("%-48s # %s", line, origin)
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return fmt.Errorf("print the configuration: %w", err)
		}
	}
	return nil
}

// line is one setting as YAML. yaml does the quoting; a value it would read back as something else than text is no
// harm, because applyFile takes the text of a scalar whatever it looks like.
func (l *Loaded) line(s *Setting) (string, error) {
	text := s.text(&l.Config)
	if s.Secret && text != "" {
		// Commented out: a printed file that is used again must not log in with asterisks.
		return "# " + s.Name + ": " + mask, nil
	}
	if s.Name == "session_timeout" && l.GroupProtocol == string(kafka.ProtocolConsumer) {
		return "# " + s.Name + ": the brokers'", nil // a file that names one is refused
	}
	value, err := yaml.Marshal(&yaml.Node{Kind: yaml.ScalarNode, Value: text, Style: styleOf(text)})
	if err != nil {
		return "", err
	}
	return s.Name + ": " + string(value[:len(value)-1]), nil
}

// styleOf quotes what a plain scalar can't hold: nothing, or line breaks.
func styleOf(text string) yaml.Style {
	if text == "" {
		return yaml.DoubleQuotedStyle
	}
	for _, r := range text {
		if r < ' ' || r == 0x7f {
			return yaml.DoubleQuotedStyle
		}
	}
	return 0
}
