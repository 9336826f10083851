package stamp

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
	"github.com/twmb/franz-go/pkg/kgo"
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
	for _, text := range split(spec) {
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

// split cuts at every '+' that no backslash precedes, and takes that backslash away.
func split(spec string) (parts []string) {
	var part strings.Builder
	for i := 0; i < len(spec); i++ {
		switch {
		case strings.HasPrefix(spec[i:], `\+`):
			part.WriteByte('+')
			i++
		case spec[i] == '+':
			parts = append(parts, part.String())
			part.Reset()
		default:
			part.WriteByte(spec[i])
		}
	}
	return append(parts, part.String())
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

// find returns the text of a member: a string's decoded text, anything else as written; nothing where there is no such
// member, or null, or what is no text (a surrogate without its other half, bytes that are no UTF-8): the languages do not
// agree on what these decode to, so two producers would not stamp alike.
//
// gjson does not check its input, so it is validated first. And it looks inside a lone string: in "see [7, 8]" there would
// be a member 0.
func find(value []byte, path string) []byte {
	first := bytes.TrimLeft(value, " \t\r\n")
	if len(first) == 0 || first[0] != '{' && first[0] != '[' || !gjson.ValidBytes(value) {
		return nil
	}
	found := gjson.GetBytes(value, path)
	text := found.Raw
	switch found.Type {
	case gjson.Null:
		return nil
	case gjson.String:
		text = found.Str
	}
	if !utf8.ValidString(text) || strings.ContainsRune(text, utf8.RuneError) {
		return nil
	}
	return []byte(text)
}
