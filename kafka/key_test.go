package kafka

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

func key(t testing.TB, spec string) *KeyExtractor {
	t.Helper()
	k, err := ParseKey(spec)
	require.NoError(t, err)
	return k
}

func TestKey(t *testing.T) {
	r := &kgo.Record{
		Key: []byte("k"), Value: []byte(`{"order":{"id":"o-1","n":7,"big":12345678901234567890,"none":null,"empty":"","list":[{"sku":"s0"},{"sku":"s1"}]},"a+b":"plus","esc":"\u0041"}`),
		Headers: []kgo.RecordHeader{{Key: "id", Value: []byte("first")}, {Key: "id", Value: []byte("last")}, {Key: "empty", Value: []byte{}}, {Key: "null"}, {Key: "x+y", Value: []byte("p")}},
	}
	f := func(spec, want string, ok bool) {
		t.Helper()
		got, has := key(t, spec).Append([]byte("dst:"), r)
		require.Equal(t, ok, has, spec)
		if !ok {
			want = ""
		}
		require.Equal(t, "dst:"+want, string(got), spec)
		borrowed, _, has := key(t, spec).borrow([]byte("arena"), r)
		require.Equal(t, ok, has, spec)
		if ok {
			require.Equal(t, want, string(borrowed), spec)
		}
	}
	f("key", "k", true)
	f("value", string(r.Value), true)
	f("header:id", "last", true)
	f("header:ID", "", false)
	f("header:empty", "", false)
	f("header:null", "", false)
	f(`header:x\+y`, "p", true)
	f("json:order.id", "o-1", true)
	f("json:order.n", "7", true)
	f("json:order.big", "12345678901234567890", true)
	f("json:order.list.1.sku", "s1", true)
	f("json:order.list.#.sku", `["s0","s1"]`, true)
	f(`json:a\+b`, "plus", true)
	f("json:esc", "A", true)
	f("json:order.none", "", false)
	f("json:order.empty", "", false)
	f("json:order.missing", "", false)
	f("key+header:id", "\x01k\x04last", true)
	f("header:id+json:order.id", "\x04last\x03o-1", true)
	f("key+header:missing", "", false)

	r.Value = []byte("v")
	f("payload", "\x02k\x02v", true)
	f("payload+key", "\x02k\x02v\x01k", true)
	f("json:order.id", "", false)
	r.Value = nil
	f("payload", "\x02k\x00", true)
	f("value", "", false)
	r.Key, r.Value = []byte{}, []byte("v")
	f("payload", "\x01\x02v", true)
	f("key", "", false)
	r.Key = nil
	f("payload", "\x00\x02v", true)
	r.Value = []byte{}
	f("payload", "", false)
	for _, not := range []string{`{"order":{"id":"o-1"}`, `order: {"id": 1}`, ``, ` `, `"id"`, "\xff", `{"order":{"id":"o-1"}} trailing`} {
		r.Value = []byte(not)
		f("json:order.id", "", false)
	}
}

func TestParseKeyRefuses(t *testing.T) {
	for _, spec := range []string{
		"", "+", "key+", "Key", "keys", "header", "header:", "json", "json:", "json:@this", `json:!"x"`, "json:{a,b}", "json:[a]",
		"json:a.@reverse", "json:a|@this", `json:a.!"x"`, "payload:x", "key:x", "sha:x", "key,value",
	} {
		_, err := ParseKey(spec)
		var wrong *KeySpecError
		require.ErrorAs(t, err, &wrong, spec)
		require.Equal(t, spec, wrong.Spec)
	}
	require.Equal(t, `json:a\+b+key`, key(t, `json:a\+b+key`).String())
}

// FuzzKeyJSON: on any value no panic, and a key only where encoding/json agrees that there is a JSON text.
func FuzzKeyJSON(f *testing.F) {
	for _, seed := range []string{`{"id":"x"}`, `{"id":1}`, `{"id":null}`, `{"id":[1,{"a":2}]}`, `[]`, `{"id":"\ud800"}`, `{"id"`, "\x00", `{"id":1e999}`} {
		f.Add([]byte(seed))
	}
	single, joined := key(f, "json:id"), key(f, "json:id+key")
	f.Fuzz(func(t *testing.T, value []byte) {
		r := &kgo.Record{Key: []byte("k"), Value: value}
		got, ok := single.Append(nil, r)
		require.Equal(t, ok, len(got) > 0)
		if ok {
			require.True(t, json.Valid(value), "%q", value)
		}
		both, okBoth := joined.Append(nil, r)
		require.Equal(t, ok, okBoth)
		if ok {
			n, used := binary.Uvarint(both)
			require.EqualValues(t, len(got), n)
			require.Equal(t, append(bytes.Clone(got), 1, 'k'), both[used:])
		}
	})
}

// FuzzKeyParts: two records with different parts never have the same joined key.
func FuzzKeyParts(f *testing.F) {
	f.Add([]byte("ab"), []byte("c"), []byte("a"), []byte("bc"))
	payload, joined := key(f, "payload"), key(f, "key+value")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 []byte) {
		same := bytes.Equal(k1, k2) && bytes.Equal(v1, v2) && (k1 == nil) == (k2 == nil) && (v1 == nil) == (v2 == nil)
		for _, extractor := range []*KeyExtractor{payload, joined} {
			a, okA := extractor.Append(nil, &kgo.Record{Key: k1, Value: v1})
			b, okB := extractor.Append(nil, &kgo.Record{Key: k2, Value: v2})
			if okA && okB {
				require.Equal(t, same, bytes.Equal(a, b))
			}
		}
	})
}

// TestKeyInLoneString: a value that is one string has no members, whatever is written in it.
func TestKeyInLoneString(t *testing.T) {
	k := key(t, "json:0")
	for _, value := range []string{`"[7,8]"`, `"see [7, 8]"`, ` "[true]"`, `7`, `true`} {
		_, ok := k.Append(nil, &kgo.Record{Value: []byte(value)})
		require.False(t, ok, value)
	}
	got, ok := k.Append(nil, &kgo.Record{Value: []byte(" \t\r\n[7,8]")})
	require.True(t, ok)
	require.Equal(t, "7", string(got))
}

// TestKeyIsNoCount: the length of a list is the same for most messages.
func TestKeyIsNoCount(t *testing.T) {
	for _, spec := range []string{"json:#", "json:items.#", "json:items|#", "key+json:a.b.#"} {
		var bad *KeySpecError
		_, err := ParseKey(spec)
		require.ErrorAs(t, err, &bad, spec)
	}
	key(t, "json:items.#.id")
	key(t, "json:no#")
}
