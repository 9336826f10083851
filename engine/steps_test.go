package engine_test

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"noecho/engine"
	"noecho/internal/invariants"
)

// key is a key with a number.
func key(prefix string, n int64) string { return fmt.Sprintf("%s%d", prefix, n) }

// keys are n keys with numbers from 0 on.
func keys(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = key(prefix, int64(i))
	}
	return out
}

// batch makes records with neighbouring offsets and one timestamp.
func batch(offset, timestamp int64, keys ...string) []engine.Record {
	recs := make([]engine.Record, len(keys))
	for i, k := range keys {
		recs[i] = engine.Record{Key: []byte(k), Offset: offset + int64(i), Timestamp: timestamp}
	}
	return recs
}

// all checks a batch and wants one kind of verdict for every record.
func (s *store) all(kind engine.Kind, offset, timestamp int64, keys ...string) []engine.Verdict {
	s.t.Helper()
	out, err := s.p.Check(batch(offset, timestamp, keys...), nil)
	require.NoError(s.t, err)
	for i, v := range out {
		require.Equal(s.t, kind, v.Kind, "key %s at offset %d (first %d)", keys[i], offset+int64(i), v.First)
		if kind != engine.Duplicate {
			require.Equal(s.t, offset+int64(i), v.First)
		}
	}
	return out
}

func (s *store) pass(offset, timestamp int64, keys ...string) {
	s.t.Helper()
	s.all(engine.Unique, offset, timestamp, keys...)
}

func (s *store) again(offset, timestamp int64, keys ...string) {
	s.t.Helper()
	s.all(engine.Redelivery, offset, timestamp, keys...)
}

func (s *store) drop(offset, timestamp int64, keys ...string) []engine.Verdict {
	s.t.Helper()
	return s.all(engine.Duplicate, offset, timestamp, keys...)
}

// scaled makes a large test smaller where assertions and the race detector, ours and Pebble's, make each step dear.
func scaled(n int) int {
	if invariants.Enabled {
		return n / 5
	}
	return n
}

// eventually waits for the keeper.
func (s *store) eventually(what string, cond func() bool) {
	s.t.Helper()
	require.Eventually(s.t, cond, waitFor, pollEvery, what)
}

// How long a test waits for the keeper, which needs milliseconds: long enough for a machine that does other things.
const (
	waitFor   = 20 * time.Second
	pollEvery = 2 * time.Millisecond
)
