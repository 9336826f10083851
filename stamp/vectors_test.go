package stamp

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

var update = flag.Bool("update", false, "write testdata/vectors.jsonl anew, from the second implementation below")

// vector is a line of testdata/vectors.jsonl. Bytes are in hexadecimal, null is null.
type vector struct {
	Fields string    `json:"fields"`
	Key    *string   `json:"key"`
	Value  *string   `json:"value"`
	Parts  []*string `json:"parts,omitempty"`   // what is hashed, for who does not read JSON
	ID     string    `json:"id,omitempty"`      // or
	Miss   string    `json:"missing,omitempty"` // the part of fields that is not there
}

func hexed(b []byte) *string {
	if b == nil {
		return nil
	}
	s := hex.EncodeToString(b)
	return &s
}

func unhex(t *testing.T, s *string) []byte {
	if s == nil {
		return nil
	}
	b, err := hex.DecodeString(*s)
	require.NoError(t, err)
	return b
}

// plain is the definition written down once more with nothing but the standard library, and without a thought of speed.
func plain(fields string, key, value []byte) vector {
	v := vector{Fields: fields, Key: hexed(key), Value: hexed(value)}
	var parts [][]byte
	for _, f := range strings.Split(strings.ReplaceAll(fields, `\+`, "\x01"), "+") {
		f = strings.ReplaceAll(f, "\x01", "+")
		before, ok := len(parts), true
		switch path, isJSON := strings.CutPrefix(f, "json:"); {
		case f == "payload":
			parts, ok = append(parts, key, value), len(key) > 0 || len(value) > 0
		case f == "key":
			parts = append(parts, key)
		case f == "value":
			parts = append(parts, value)
		case isJSON:
			parts = append(parts, plainMember(value, strings.Split(path, ".")))
		}
		if f != "payload" {
			ok = len(parts[before]) > 0
		}
		if !ok {
			v.Miss = f
			return v
		}
	}
	input := new(bytes.Buffer)
	write := func(b []byte) {
		n := int32(len(b))
		if b == nil {
			n = -1
		}
		input.Write([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
		input.Write(b)
	}
	write([]byte("noecho-id/1"))
	write([]byte(fields))
	for _, part := range parts {
		write(part)
		v.Parts = append(v.Parts, hexed(part))
	}
	v.ID = fmt.Sprintf("%x", sha256.Sum256(input.Bytes()))[:32]
	return v
}

// plainMember walks by encoding/json. The first of two members with one name counts.
func plainMember(value []byte, path []string) []byte {
	if !json.Valid(value) {
		return nil
	}
	for at, step := range path {
		d := json.NewDecoder(bytes.NewReader(value))
		open, _ := d.Token()
		index, err := strconv.Atoi(step)
		value = nil
		for i := 0; (open == json.Delim('{') || open == json.Delim('[')) && d.More(); i++ {
			hit := open == json.Delim('[') && err == nil && i == index
			if open == json.Delim('{') {
				name, _ := d.Token()
				hit = name == step
			}
			var raw json.RawMessage
			if d.Decode(&raw) != nil {
				return nil
			}
			if hit {
				value = raw
				break
			}
		}
		if value == nil || at < len(path)-1 {
			continue
		}
		var text string
		if json.Unmarshal(value, &text) == nil {
			value = []byte(text)
		}
		if string(value) == "null" && text == "" {
			return nil
		}
	}
	if !utf8.Valid(value) || bytes.ContainsRune(value, utf8.RuneError) {
		return nil
	}
	return value
}

// cases are what the vectors are made from.
func cases() (made []vector) {
	add := func(fields string, key, value []byte) { made = append(made, plain(fields, key, value)) }
	doc := []byte("{\"order\": {\"id\": \"o-17\", \"n\": 1.50, \"big\": 12345678901234567890, \"ok\": true, \"none\": null, \"empty\": \"\"},\n" +
		` "items": [{"sku": "s0"}, {"sku": "s1"}], "object": {"a" : [1, 2]}, "a+b": "plus", "e\u0073c": "\u00e4\n\ud83d\ude00", "umlaut": "ä", "lone": "\ud800", "twice": "first", "twice": "second", "1": "one"}`)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for _, kv := range [][2][]byte{
		{[]byte("k"), []byte("v")}, {nil, []byte("v")}, {{}, []byte("v")}, {[]byte("k"), nil}, {[]byte("k"), {}}, {nil, nil}, {{}, {}},
		{[]byte("ab"), []byte("c")}, {[]byte("a"), []byte("bc")}, {[]byte("o-17"), doc}, {nil, all}, {nil, bytes.Repeat([]byte("noecho "), 1000)},
	} {
		for _, fields := range []string{"payload", "key", "value", "key+value"} {
			add(fields, kv[0], kv[1])
		}
	}
	for _, path := range []string{
		"order.id", "order.n", "order.big", "order.ok", "order.none", "order.empty", "order.missing", "order.id.x", "items.0.sku", "items.1.sku", "items.2.sku", "items.x",
		"items", "object", "object.a.1", `a\+b`, "esc", "umlaut", "lone", "twice", "1", "Order.id",
	} {
		add("json:"+path, []byte("k"), doc)
	}
	add("json:order.id+json:order.n", nil, doc)
	add("key+json:order.id", []byte("k"), doc)
	add("json:order.id+json:order.missing", nil, doc)
	for _, value := range []string{``, ` `, `{"id":1`, `{"id":1} 2`, `"id"`, `"{\"id\":1}"`, `[]`, `[{"id":1}]`, "\t{\"id\":\"x\"}\n", "{\"id\":\"\xff\"}"} {
		add("json:id", nil, []byte(value))
	}
	add("json:0", nil, []byte(`"see [7, 8]"`))
	add("json:0", nil, []byte(`[7, 8]`))
	add("json:0.id", nil, []byte(`[{"id":1}]`))
	return made
}

// TestVectors: the file is what the second implementation says, and the package says the same.
func TestVectors(t *testing.T) {
	const path = "testdata/vectors.jsonl"
	want := new(bytes.Buffer)
	out := json.NewEncoder(want)
	for _, v := range cases() {
		require.NoError(t, out.Encode(v))
	}
	if *update {
		require.NoError(t, os.WriteFile(path, want.Bytes(), 0o644))
	}
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want.String(), string(file))

	stampedOnes := 0
	for line := range bytes.Lines(file) {
		var v vector
		require.NoError(t, json.Unmarshal(line, &v))
		r := &kgo.Record{Key: unhex(t, v.Key), Value: unhex(t, v.Value)}
		if err := stamper(t, v.Fields).Record(r); v.Miss != "" {
			var missing *MissingError
			require.ErrorAs(t, err, &missing, "%s", line)
			require.Equal(t, v.Miss, missing.Part, "%s", line)
			continue
		} else {
			require.NoError(t, err, "%s", line)
		}
		stampedOnes++
		require.Equal(t, v.ID, idOf(r), "%s", line)
		parts := make([][]byte, len(v.Parts))
		for i := range parts {
			parts[i] = unhex(t, v.Parts[i])
		}
		require.Equal(t, v.ID, ID(v.Fields, parts...), "%s", line)
	}
	require.Greater(t, stampedOnes, 40)
}

// TestVectorsDiffer: different messages, and different fields, have different ids.
func TestVectorsDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, v := range cases() {
		if v.ID == "" {
			continue
		}
		what, err := json.Marshal([]any{v.Fields, v.Parts})
		require.NoError(t, err)
		if other, ok := seen[v.ID]; ok {
			require.Equal(t, other, string(what))
		}
		seen[v.ID] = string(what)
	}
	require.Greater(t, len(seen), 40)
}

// FuzzMember: gjson finds what encoding/json finds, or both find nothing.
func FuzzMember(f *testing.F) {
	for _, value := range []string{`{"id":"x"}`, `{"id":{"id":1}}`, `{"a":[{"id":"\u00e4"}]}`, `[1,{"id":2}]`, `{"id":"\ud800\u0041"}`, `{"id":1,"id":2}`, `"{\"id\":1}"`, `{"\u0069d":3}`, `{"id": [ 1 ] }`} {
		f.Add([]byte(value))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		if !utf8.Valid(value) {
			return // names: encoding/json mends them, gjson compares bytes
		}
		for _, path := range []string{"id", "id.id", "a.0.id", "1", "1.id", "0"} {
			want := plainMember(value, strings.Split(path, "."))
			require.Equal(t, string(want), string(find(value, path)), "%q in %q", path, value)
		}
	})
}
