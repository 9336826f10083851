package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// fileMax bounds the configuration file: no real one comes near, and a wrong path (a log, a disk image) is refused
// before it is read into memory.
const fileMax = 1 << 20

// readFile reads the YAML file at path.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no configuration file %s; create it, or leave --config away", path)
	} else if err != nil {
		return nil, fmt.Errorf("cannot read the configuration file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, fileMax+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration file %s: %w", path, err)
	}
	if len(text) > fileMax {
		return nil, fmt.Errorf("%s is larger than 1 MiB, which no configuration file is; check --config", path)
	}
	return text, nil
}

// applyFile sets what the YAML text holds.
//
// yaml's own KnownFields(true) would name the key and the Go type it is not a field of, stop at the first wrong value
// of a document, and take sizes and durations only as the Go type likes them. So the document is walked here: each
// key is looked up in Settings, each scalar goes through the parser that flags and variables go through, and every
// mistake is reported with its line.
func (l *loader) applyFile(path string, text []byte) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		l.errs.add("", "%s is not YAML: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
		return
	}
	if doc.Kind == 0 || len(doc.Content) == 0 { // empty, or comments only
		return
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return
	}
	if root.Kind != yaml.MappingNode {
		l.errs.add("", "%s:%d: the file must be a list of `setting: value` lines", path, root.Line)
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		origin := fmt.Sprintf("%s:%d", path, key.Line)
		s := Lookup(key.Value)
		if s == nil {
			near, _ := Nearest(key.Value)
			l.errs.add(key.Value, "%s: there is no setting %q; the nearest is %s", origin, key.Value, near)
			continue
		}
		if line, twice := seen[s.Name]; twice {
			l.errs.add(s.Name, "%s: %s is already set in line %d; remove one of the two", origin, s.Name, line)
			continue
		}
		seen[s.Name] = key.Line
		if text, err := scalar(s, value); err != nil {
			l.errs.add(s.Name, "%s: %s %s", origin, s.Name, err)
		} else {
			l.apply(s, text, origin)
		}
	}
}

// scalar returns the text of a value: a scalar, or for a list setting a sequence of scalars.
func scalar(s *Setting, v *yaml.Node) (string, error) {
	for v.Kind == yaml.AliasNode {
		v = v.Alias
	}
	switch {
	case v.Kind == yaml.ScalarNode && v.Tag == "!!null":
		return "", nil
	case v.Kind == yaml.ScalarNode:
		return v.Value, nil
	case v.Kind == yaml.SequenceNode && s.Kind() == "list":
		items := make([]string, 0, len(v.Content))
		for _, item := range v.Content {
			if item.Kind != yaml.ScalarNode {
				return "", errors.New("must be a list of plain values")
			}
			items = append(items, item.Value)
		}
		return strings.Join(items, ","), nil
	case s.Kind() == "list":
		return "", errors.New("must be one value or a list of values")
	}
	return "", errors.New("must be one value")
}
