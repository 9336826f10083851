package kafka

import (
	"encoding/binary"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"noecho/internal/keyspec"
)

// KeyExtractor takes the identity of a message out of a record: two records with equal keys are copies of one message.
// So the key must name the message, not the entity it is about: with the customer's number as the key, the second
// order of every customer would be dropped. It is immutable and may be used by many goroutines at once.
type KeyExtractor struct {
	spec  string
	parts []keyPart
}

type keyKind uint8

const (
	keyPayload keyKind = iota
	keyKey
	keyValue
	keyHeader
	keyJSON
)

type keyPart struct {
	kind keyKind
	arg  string // header's name or JSON path
}

// ParseKey reads a key specification: one or more of
//
//	payload      the record's key and value together (what a producer's retry repeats byte for byte)
//	key          the record's key
//	value        the record's value
//	header:NAME  the value of the last header of that name
//	json:PATH    a member of the value, which must be JSON; PATH as in github.com/tidwall/gjson ("order.id", "items.0.sku")
//
// joined with '+'. A '+' inside a name or a path is written `\+`. The error is a *KeySpecError.
func ParseKey(spec string) (*KeyExtractor, error) {
	k := &KeyExtractor{spec: spec}
	for _, text := range keyspec.Split(spec) {
		part, reason := parsePart(text)
		if reason != "" {
			return nil, &KeySpecError{Spec: spec, Part: text, Reason: reason}
		}
		k.parts = append(k.parts, part)
	}
	return k, nil
}

// defaultKey is the payload.
func defaultKey() *KeyExtractor {
	return &KeyExtractor{spec: "payload", parts: []keyPart{{kind: keyPayload}}}
}

func parsePart(text string) (part keyPart, reason string) {
	switch name, arg, hasArg := strings.Cut(text, ":"); {
	case text == "payload":
		return keyPart{kind: keyPayload}, ""
	case text == "key":
		return keyPart{kind: keyKey}, ""
	case text == "value":
		return keyPart{kind: keyValue}, ""
	case hasArg && name == "header":
		if arg == "" {
			return part, "the header's name is missing"
		}
		return keyPart{kind: keyHeader, arg: arg}, ""
	case hasArg && name == "json":
		// gjson also has literals, modifiers and multipaths. A literal ("!\"x\"") gives every record the same key,
		// which drops all but one of them: what starts such a form is refused, not guessed at.
		if arg == "" {
			return part, "the JSON path is missing"
		}
		for _, step := range strings.FieldsFunc(arg, func(r rune) bool { return r == '.' || r == '|' }) {
			if strings.ContainsAny(step[:1], "@!{[") {
				return part, "a JSON path names a member; gjson's literals, modifiers and multipaths are not accepted"
			}
		}
		if end := strings.LastIndexAny(arg, ".|"); arg[end+1:] == "#" {
			return part, "a JSON path that ends in # is the length of a list, which names no message"
		}
		return keyPart{kind: keyJSON, arg: arg}, ""
	}
	return part, "it is none of payload, key, value, header:NAME, json:PATH"
}

// String returns the specification as it was given to ParseKey.
func (k *KeyExtractor) String() string { return k.spec }

// Append appends the record's key to dst. ok is false, and dst unchanged, when the record lacks a part of it.
//
// What is null or empty counts as lacking: an empty id names no message, and as a key it would make copies of all the
// records that forgot theirs. For json, so does null, and every value that is not valid JSON; a string counts by its
// decoded text, everything else by its text as written.
//
// Where the key has more than one part (payload has two), each is preceded by its length, because "ab"+"c" and "a"+"bc"
// are different messages. Append allocates nothing beyond dst, except for json.
func (k *KeyExtractor) Append(dst []byte, r *kgo.Record) (key []byte, ok bool) {
	if len(k.parts) == 1 && k.parts[0].kind != keyPayload {
		if key, ok = k.parts[0].append(dst, r, false); !ok {
			return dst, false
		}
		return key, true
	}
	key = dst
	for i := range k.parts {
		if key, ok = k.parts[i].append(key, r, true); !ok {
			return dst, false
		}
	}
	return key, true
}

// borrow returns the record's key without copying it where it lies in the record as it is, and otherwise at the end of
// arena. A key in the arena stays valid when a later call moves the arena: the old memory is left as it is.
func (k *KeyExtractor) borrow(arena []byte, r *kgo.Record) (key, grown []byte, ok bool) {
	if len(k.parts) == 1 {
		switch k.parts[0].kind {
		case keyKey:
			return r.Key, arena, len(r.Key) > 0
		case keyValue:
			return r.Value, arena, len(r.Value) > 0
		}
	}
	grown, ok = k.Append(arena, r)
	return grown[len(arena):], grown, ok
}

// append appends one part, with its length before it when prefixed.
func (p *keyPart) append(dst []byte, r *kgo.Record, prefixed bool) ([]byte, bool) {
	switch p.kind {
	case keyPayload:
		if len(r.Key) == 0 && len(r.Value) == 0 {
			return dst, false
		}
		return appendNullable(appendNullable(dst, r.Key), r.Value), true
	case keyKey:
		return appendPart(dst, r.Key, prefixed)
	case keyValue:
		return appendPart(dst, r.Value, prefixed)
	case keyHeader:
		for i := len(r.Headers) - 1; i >= 0; i-- {
			if r.Headers[i].Key == p.arg {
				return appendPart(dst, r.Headers[i].Value, prefixed)
			}
		}
		return dst, false
	}
	return p.appendJSON(dst, r.Value, prefixed)
}

// appendJSON appends the member at the part's path.
func (p *keyPart) appendJSON(dst, value []byte, prefixed bool) ([]byte, bool) {
	text := keyspec.Member(value, p.arg)
	if text == "" {
		return dst, false
	}
	if prefixed {
		dst = binary.AppendUvarint(dst, uint64(len(text)))
	}
	return append(dst, text...), true
}

func appendPart(dst, part []byte, prefixed bool) ([]byte, bool) {
	if len(part) == 0 {
		return dst, false
	}
	if prefixed {
		dst = binary.AppendUvarint(dst, uint64(len(part)))
	}
	return append(dst, part...), true
}

// appendNullable tells null from empty: length + 1, and 0 for null.
func appendNullable(dst, part []byte) []byte {
	if part == nil {
		return append(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(len(part))+1)
	return append(dst, part...)
}

// MissingKey says what becomes of a record that has no key.
type MissingKey string

const (
	// MissingPass sends the record to the output without a verdict: nothing is lost, its copies pass too.
	MissingPass MissingKey = "pass"
	// MissingDrop leaves the record out of the output, counted as no_key.
	MissingDrop MissingKey = "drop"
	// MissingFail stops the relay with a *MissingKeyError at the record; nothing after it is handled.
	MissingFail MissingKey = "fail"
)

func (m MissingKey) validate() error {
	return oneOf("on_missing_key", m, MissingPass, MissingDrop, MissingFail)
}
