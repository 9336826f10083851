package stamp

import (
	"strings"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/internal/keyspec"
)

type kind uint8

const (
	payload kind = iota
	key
	value
	member
)

type field struct {
	kind kind
	path string // of a member
	text string // as specified, for errors
}

// parseFields reads Options.Fields.
func parseFields(spec string) ([]field, error) {
	var fields []field
	for _, text := range keyspec.Split(spec) {
		f := field{text: text}
		name, path, hasPath := strings.Cut(text, ":")
		switch {
		case text == "payload":
			f.kind = payload
		case text == "key":
			f.kind = key
		case text == "value":
			f.kind = value
		case hasPath && name == "json":
			f.kind, f.path = member, path
			if reason := checkPath(path); reason != "" {
				return nil, &FieldsError{Fields: spec, Part: text, Reason: reason}
			}
		default:
			return nil, &FieldsError{Fields: spec, Part: text, Reason: "it is none of payload, key, value, json:PATH"}
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// checkPath accepts names joined with dots and nothing else that gjson knows (queries, wildcards, modifiers, literals):
// what a path means must be plain enough to be written again in any language.
func checkPath(path string) (reason string) {
	if strings.ContainsAny(path, "*?|#@!{}[]()\\\"") {
		return `a path is names joined with dots, without any of * ? | # @ ! { } [ ] ( ) \ "`
	}
	for step := range strings.SplitSeq(path, ".") {
		if step == "" {
			return "a name in the path is empty"
		}
	}
	return ""
}

// append appends the parts that the field stands for. ok is false when the record lacks one.
//
// What is null or empty counts as lacking: an empty id names no message. With payload only one of key and value need be
// there, and null and empty are told apart.
func (f *field) append(parts [][]byte, r *kgo.Record) (_ [][]byte, ok bool) {
	switch f.kind {
	case payload:
		return append(parts, r.Key, r.Value), len(r.Key)+len(r.Value) > 0
	case key:
		return append(parts, r.Key), len(r.Key) > 0
	case value:
		return append(parts, r.Value), len(r.Value) > 0
	}
	text := find(r.Value, f.path)
	return append(parts, text), len(text) > 0
}

// find returns the text of a member, as the reader finds it; nothing also where it is no text (a surrogate without its other half,
// bytes that are no UTF-8): the languages do not agree on what these decode to, so two producers would not stamp alike.
func find(value []byte, path string) []byte {
	text := keyspec.Member(value, path)
	if !utf8.ValidString(text) || strings.ContainsRune(text, utf8.RuneError) {
		return nil
	}
	return []byte(text)
}
