package e2e

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// record is one for send, on partition 1. A nil key is no key.
func record(key []byte, value string) *kgo.Record {
	return &kgo.Record{Partition: 1, Key: key, Value: []byte(value)}
}

// TestMissingKey: records a, none, b, none, a again. With fail the relay stops at the record, says which, and goes on there once the
// policy is another.
func TestMissingKey(t *testing.T) {
	for _, c := range []struct {
		name, key string
		without   string // value of a record without that key
	}{
		{"key", "key", "1"},
		{"json", "json:id", "this is not JSON"},
		{"json-without-the-path", "json:id", `{"other":1}`},
		{"header", "header:message-id", "1"},
	} {
		with := func(id string) *kgo.Record {
			r := record([]byte(id), fmt.Sprintf(`{"id":%q}`, id))
			r.Headers = []kgo.RecordHeader{{Key: "message-id", Value: []byte(id)}}
			return r
		}
		a, b, none := with("a"), with("b"), record(nil, c.without)
		run := func(policy string, want ...*kgo.Record) {
			t.Run(c.name+"/"+policy, func(t *testing.T) {
				s := newSite(t)
				s.send(with("a"), record(nil, c.without), with("b"), record(nil, c.without), with("a"))
				s.works("--key", c.key, "--on-missing-key", policy)
				require.Equal(t, values(want), s.outputs()[1])
			})
		}
		run("pass", a, none, b, none)
		run("drop", a, b)
		t.Run(c.name+"/fail", func(t *testing.T) {
			s := newSite(t)
			s.send(with("a"), record(nil, c.without), with("b"), with("a"))
			relay := start(t, s.command("--key", c.key, "--on-missing-key", "fail"))
			s.fails(relay, exitFailed, "/1: the record at offset 1 has no key.*on_missing_key")
			require.Subset(t, values([]*kgo.Record{a}), s.outputs()[1], "nothing at or after the record is out")
			s.works("--key", c.key, "--on-missing-key", "pass")
			require.Equal(t, values([]*kgo.Record{a, none, b}), s.outputs()[1])
		})
	}
}

func values(records []*kgo.Record) (values []string) {
	for _, r := range records {
		values = append(values, string(r.Value))
	}
	return values
}

// TestLargeKey: keys of 1 MB that differ in their last byte only.
func TestLargeKey(t *testing.T) {
	s := newSite(t)
	s.input = s.b.topic(t, "large-in", partitions, "max.message.bytes", "4000000")
	s.output = s.b.topic(t, "large-out", partitions, "max.message.bytes", "4000000")
	key := func(last byte) []byte { return append(bytes.Repeat([]byte("k"), 1<<20-1), last) }
	s.send(record(key('a'), "a"), record(key('b'), "b"), record(key('a'), "a"), record(key('c'), "c"), record(key('b'), "b"))
	s.works("--key", "key")
	require.Equal(t, []string{"a", "b", "c"}, s.outputs()[1])

	// Across a restart, from the log on disk.
	s.send(record(key('c'), "c"), record(key('d'), "d"))
	s.works("--key", "key")
	require.Equal(t, []string{"a", "b", "c", "d"}, s.outputs()[1])
}

// TestWrongClock: neither a producer without a clock nor one from the year 2100 may end the window.
func TestWrongClock(t *testing.T) {
	s := newSite(t)
	// Kafka refuses the far future by itself since 3.6, unless the topic says otherwise.
	const lax, never = "message.timestamp.after.max.ms", "9223372036854775807"
	s.input, s.output = s.b.topic(t, "lax-in", partitions, lax, never), s.b.topic(t, "lax-out", partitions, lax, never)
	at := func(id string, when time.Time) *kgo.Record {
		r := record([]byte(id), id)
		r.Timestamp = when
		return r
	}
	now, future := time.Now(), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	s.send(at("a", now), at("b", future), at("c", time.Unix(0, 0)), at("a", now), at("b", now), at("c", now), at("d", now))
	s.works("--key", "key")
	require.Equal(t, []string{"a", "b", "c", "d"}, s.outputs()[1])
	s.send(at("d", now), at("a", future), at("e", now))
	s.works("--key", "key")
	require.Equal(t, []string{"a", "b", "c", "d", "e"}, s.outputs()[1])
}
