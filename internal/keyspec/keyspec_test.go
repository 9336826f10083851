package keyspec_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"noecho/internal/keyspec"
)

func TestSplit(t *testing.T) {
	for spec, want := range map[string][]string{
		"":              {""},
		"key":           {"key"},
		"key+json:a.b":  {"key", "json:a.b"},
		`json:a\+b+key`: {"json:a+b", "key"},
		`json:a\b`:      {`json:a\b`},
		"+":             {"", ""},
		`a\`:            {`a\`},
	} {
		require.Equal(t, want, keyspec.Split(spec), spec)
	}
}

func TestMember(t *testing.T) {
	for _, c := range []struct{ value, path, want string }{
		{`{"a":{"b":"x\u0041"}}`, "a.b", "xA"},
		{`{"a":1.50}`, "a", "1.50"},
		{` [ "x", {"a":true} ]`, "1.a", "true"},
		{`{"a":{"b": [1, 2]}}`, "a.b", "[1, 2]"},
		{`{"a":null}`, "a", ""},
		{`{"a":""}`, "a", ""},
		{`{"a":1}`, "b", ""},
		{`{"a":1`, "a", ""},
		{`{"a":1} {"a":2}`, "a", ""},
		{`"see [7, 8]"`, "0", ""},
		{`7`, "a", ""},
		{"", "a", ""},
	} {
		require.Equal(t, c.want, keyspec.Member([]byte(c.value), c.path), "%s in %s", c.path, c.value)
	}
}

func Example() {
	fmt.Println(keyspec.Split("key+json:order.id"), keyspec.Member([]byte(`{"order":{"id":7}}`), "order.id"))
	// Output: [key json:order.id] 7
}
