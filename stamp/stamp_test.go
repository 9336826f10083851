package stamp

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func stamper(t testing.TB, fields string) *Stamper {
	t.Helper()
	s, err := New(Options{Fields: fields})
	require.NoError(t, err)
	return s
}

// idOf is the id that the reader's header:noecho-id would find.
func idOf(r *kgo.Record) string {
	for _, h := range slices.Backward(r.Headers) {
		if h.Key == Header {
			return string(h.Value)
		}
	}
	return ""
}

// TestRetryHasTheSameID: a new record with the same message in it, whatever else it carries.
func TestRetryHasTheSameID(t *testing.T) {
	s := stamper(t, "")
	first := kgo.KeySliceRecord([]byte("k"), []byte("v"))
	retry := &kgo.Record{Topic: "orders", Partition: 3, Key: []byte("k"), Value: []byte("v"), Headers: []kgo.RecordHeader{{Key: "attempt", Value: []byte("2")}}}
	other := kgo.KeySliceRecord([]byte("k"), []byte("w"))
	for _, r := range []*kgo.Record{first, retry, other} {
		require.NoError(t, s.Record(r))
	}
	require.Equal(t, "a30b7e114e3d9692b3e39cf5da5a4a75", idOf(first), "fixed for ever")
	require.Equal(t, idOf(first), idOf(retry))
	require.NotEqual(t, idOf(first), idOf(other))
	require.Equal(t, idOf(first), ID("payload", []byte("k"), []byte("v")))
	require.Equal(t, kgo.RecordHeader{Key: "attempt", Value: []byte("2")}, retry.Headers[0])
}

// TestStampedOnce: the same record again, one that came from another topic, and one whose id is empty, which is none.
func TestStampedOnce(t *testing.T) {
	s := stamper(t, "")
	r := kgo.StringRecord("v")
	require.NoError(t, s.Record(r))
	headers := slices.Clone(r.Headers)
	require.NoError(t, s.Record(r))
	require.Equal(t, headers, r.Headers)

	r = &kgo.Record{Value: []byte("v"), Headers: []kgo.RecordHeader{{Key: Header, Value: []byte("the application's own")}}}
	require.NoError(t, s.Record(r))
	require.Equal(t, "the application's own", idOf(r))
	require.Len(t, r.Headers, 1)

	r = &kgo.Record{Value: []byte("v"), Headers: []kgo.RecordHeader{{Key: Header}}}
	require.NoError(t, s.Record(r))
	require.Len(t, idOf(r), idText)
}

// TestSharedHeaders: records that were given one list of headers with room at its end must not write into each other's.
func TestSharedHeaders(t *testing.T) {
	s := stamper(t, "")
	common := append(make([]kgo.RecordHeader, 0, 8), kgo.RecordHeader{Key: "origin", Value: []byte("shop")})
	a, b := &kgo.Record{Value: []byte("a"), Headers: common}, &kgo.Record{Value: []byte("b"), Headers: common}
	require.NoError(t, s.Record(a))
	require.NoError(t, s.Record(b))
	require.Equal(t, ID("payload", nil, []byte("a")), idOf(a))
	require.Equal(t, ID("payload", nil, []byte("b")), idOf(b))
	require.Len(t, common, 1)
	require.Empty(t, common[:2][1])
}

func TestMissing(t *testing.T) {
	for _, c := range []struct {
		fields, part string
		r            *kgo.Record
	}{
		{"payload", "payload", &kgo.Record{Key: []byte{}}},
		{"key", "key", &kgo.Record{Value: []byte("v")}},
		{"value+key", "key", &kgo.Record{Value: []byte("v")}},
		{"json:id", "json:id", &kgo.Record{Value: []byte(`{"Id":1}`)}},
		{"json:id", "json:id", &kgo.Record{Value: []byte(`"{\"id\":1}"`)}},
		{"json:id", "json:id", &kgo.Record{Value: []byte(`{"id":1} {}`)}},
	} {
		err := stamper(t, c.fields).Record(c.r)
		var missing *MissingError
		require.ErrorAs(t, err, &missing, "%s", c.fields)
		require.Equal(t, c.part, missing.Part)
		require.Empty(t, c.r.Headers)
	}
}

func TestFieldsRefused(t *testing.T) {
	for _, fields := range []string{
		"+", "key+", "Key", "header:id", "json", "json:", "json:.id", "json:..id", "json:a..b", "json:a.", "json:@this", "json:a|b", "json:a.#", "json:i?",
		"json:*", `json:!"x"`, "json:{a,b}", "json:[a]", `json:a\.b`, "payload:x", "payload, key",
	} {
		_, err := New(Options{Fields: fields})
		var bad *FieldsError
		require.ErrorAs(t, err, &bad, fields)
		require.Equal(t, fields, bad.Fields)
	}
}

// TestHook: what the broker has is stamped, once, by producers on many goroutines; what cannot be stamped is told and sent.
func TestHook(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	require.NoError(t, err)
	defer cluster.Close()
	var mu sync.Mutex
	var missing []error
	s := stamper(t, "json:id")
	cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.DefaultProduceTopic("orders"), kgo.ConsumeTopics("orders"),
		kgo.WithHooks(s.Hook(func(_ *kgo.Record, err error) { mu.Lock(); missing = append(missing, err); mu.Unlock() })))
	require.NoError(t, err)
	defer cl.Close()
	const producers, each = 4, 100
	var group sync.WaitGroup
	for p := range producers {
		group.Go(func() {
			for i := range each {
				value := []byte{'{', '"', 'i', 'd', '"', ':', '"', byte('a' + p), byte('a' + i/26), byte('a' + i%26), '"', '}'}
				r := kgo.SliceRecord(value)
				if err := errors.Join(cl.ProduceSync(context.Background(), r).FirstErr(), cl.ProduceSync(context.Background(), r).FirstErr()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	require.NoError(t, cl.ProduceSync(context.Background(), kgo.StringRecord("no JSON")).FirstErr())
	require.Len(t, missing, 1)
	var want *MissingError
	require.ErrorAs(t, missing[0], &want)
	require.Equal(t, "orders", want.Topic)

	times := map[string]int{}
	for total := 0; total < 2*producers*each+1; {
		fetches := cl.PollFetches(context.Background())
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			total++
			times[idOf(r)]++
			if len(r.Value) > 7 {
				require.Len(t, r.Headers, min(1, len(idOf(r))))
			}
		})
	}
	require.Equal(t, 1, times[""])
	delete(times, "")
	require.Len(t, times, producers*each)
	for id, n := range times {
		require.Equal(t, 2, n, id)
	}
}
