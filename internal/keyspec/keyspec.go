package keyspec

import (
	"bytes"
	"strings"

	"github.com/tidwall/gjson"
)

// Split cuts a specification at every '+' that no backslash precedes, and takes that backslash away.
func Split(spec string) []string {
	var parts []string
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

// Member returns the text of the member at path in a JSON value: a string's decoded text, anything else as it is written. It is
// empty where there is no such member, where it is null or an empty string, and where the value is not one object or list of valid JSON.
//
// gjson does not check its input: on what is not JSON it finds whatever looks like a member, so the value is validated first. And
// it looks inside a lone string: in "see [7, 8]" there would be a member 0, the same for all messages that cite it.
func Member(value []byte, path string) string {
	first := bytes.TrimLeft(value, " \t\r\n")
	if len(first) == 0 || first[0] != '{' && first[0] != '[' || !gjson.ValidBytes(value) {
		return ""
	}
	switch found := gjson.GetBytes(value, path); found.Type {
	case gjson.Null: // not there, too
		return ""
	case gjson.String:
		return found.Str
	default:
		return found.Raw
	}
}
