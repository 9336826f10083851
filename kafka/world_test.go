package kafka

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"noecho/internal/testutil"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testIn    = "orders"
	testOut   = "orders-clean"
	testDup   = "orders-duplicates"
	testGroup = "relay"
	patience  = time.Minute // of a test that waits for something that must happen; nothing is measured with it
)

// tb is what the harness needs of a *testing.T, *testing.B or *rapid.T.
type tb interface {
	require.TestingT
	Helper()
	Cleanup(func())
}

// world is a broker, two topics and a disk. Relays live in it one after the other.
type world struct {
	t            tb
	parts        int32
	cluster      *kfake.Cluster
	fs           *testutil.FS // the disk as the next life finds it
	cl           *kgo.Client  // the test's own
	adm          *kadm.Client
	window       time.Duration           // of the stores; 0: 24 h
	edit         func(*RelayConfig)      // of every life; nil: none
	editConsumer func(*ConsumerConfig)   // likewise
	started      func(*life)             // told of every life; nil: nobody
	txn          bool                    // lives write in transactions, and output is what read_committed shows
	fed          map[int32][]*kgo.Record // what was produced to the input, by partition, with offsets
}

func newWorld(t tb, parts int32, opts ...kfake.Opt) *world {
	t.Helper()
	opts = append([]kfake.Opt{
		kfake.NumBrokers(1), kfake.SeedTopics(parts, testIn, testOut), kfake.GroupMinSessionTimeout(100 * time.Millisecond),
	}, opts...)
	cluster, err := kfake.NewCluster(opts...)
	require.NoError(t, err)
	w := &world{t: t, parts: parts, cluster: cluster, fs: testutil.NewFS(), fed: make(map[int32][]*kgo.Record)}
	w.cl, err = kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MaxProduceRequestsInflightPerBroker(1), kgo.ProducerBatchMaxBytes(2<<20))
	require.NoError(t, err)
	w.adm = kadm.NewClient(w.cl)
	t.Cleanup(func() { w.cl.Close(); cluster.Close() })
	return w
}

// feed produces records to the input, in order, and remembers them. Timestamps are a second apart where none is given.
func (w *world) feed(records ...*kgo.Record) {
	w.t.Helper()
	w.feedWith(w.cl, records...)
}

func (w *world) feedWith(cl *kgo.Client, records ...*kgo.Record) {
	w.t.Helper()
	for _, r := range records {
		r.Topic = testIn
		if r.Timestamp.IsZero() {
			r.Timestamp = time.UnixMilli(1_700_000_000_000 + int64(len(w.fed[r.Partition]))*1000)
		}
	}
	require.NoError(w.t, cl.ProduceSync(context.Background(), records...).FirstErr())
	for _, r := range records {
		w.fed[r.Partition] = append(w.fed[r.Partition], r)
	}
}

// rec makes a record of a partition; the key is the identity in most tests.
func rec(part int32, key, value string) *kgo.Record {
	return &kgo.Record{Partition: part, Key: []byte(key), Value: []byte(value)}
}

// eventually waits for something that must happen.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			require.Fail(w.t, "never happened: "+what)
		}
	}
}

// output reads the whole output back, by partition.
func (w *world) output() map[int32][]*kgo.Record {
	w.t.Helper()
	if w.txn {
		return w.readCommitted(testOut)
	}
	return w.read(testOut)
}

func (w *world) read(topic string) map[int32][]*kgo.Record {
	w.t.Helper()
	ends, err := w.adm.ListEndOffsets(context.Background(), topic)
	require.NoError(w.t, err)
	from, left := map[int32]kgo.Offset{}, int64(0)
	for part, end := range ends[topic] {
		from[part] = kgo.NewOffset().AtStart()
		left += end.Offset
	}
	got := make(map[int32][]*kgo.Record)
	if left == 0 {
		return got
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	require.NoError(w.t, err)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for left > 0 {
		fetches := cl.PollFetches(ctx)
		require.NoError(w.t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			left--
			if !r.Attrs.IsControl() {
				got[r.Partition] = append(got[r.Partition], r)
			}
		})
	}
	return got
}

// requireClean says that the output holds the first record of each key in each partition, in order, and nothing else.
func (w *world) requireClean() {
	w.t.Helper()
	w.requireOutput(func(int32) []*kgo.Record { return nil })
}

// requireOutput: as requireClean, and after that in each partition what extra says.
func (w *world) requireOutput(extra func(part int32) []*kgo.Record) {
	w.t.Helper()
	out := w.output()
	for part := range w.parts {
		var want []*kgo.Record
		seen := make(map[string]bool)
		for _, r := range w.fed[part] {
			if !seen[string(r.Key)] {
				want = append(want, r)
			}
			seen[string(r.Key)] = true
		}
		want = append(want, extra(part)...)
		requireSame(w.t, part, want, out[part])
	}
}

func requireSame(t tb, part int32, want, got []*kgo.Record) {
	t.Helper()
	line := func(rs []*kgo.Record, source bool) (lines []string) {
		for _, r := range rs {
			at := fmt.Sprintf("%s/%d/%d", testIn, part, r.Offset)
			if source {
				at = string(r.Headers[len(r.Headers)-1].Value)
				require.Equal(t, sourceHeader, r.Headers[len(r.Headers)-1].Key)
			}
			lines = append(lines, fmt.Sprintf("%s %s=%s @%d", at, r.Key, r.Value, r.Timestamp.UnixMilli()))
		}
		return lines
	}
	require.Equal(t, line(want, false), line(got, true), "partition %d", part)
}

// vacate waits until the group has no member: a static one stays until its session expires, and the operator's tools,
// like reset, want an empty group.
func (w *world) vacate() {
	w.t.Helper()
	w.eventually("an empty group", func() bool {
		info := w.cluster.GroupInfo(testGroup)
		return info == nil || len(info.Members) == 0
	})
}

// brief makes a member's session short, for vacate.
func brief(cfg *RelayConfig) { cfg.SessionTimeout = 300 * time.Millisecond }

// committed returns what the group holds for a partition, without the topic's id, which is another in each world.
func (w *world) committed(part int32) (int64, string) {
	w.t.Helper()
	offsets, err := w.adm.FetchOffsets(context.Background(), testGroup)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return -1, ""
	}
	require.NoError(w.t, err)
	o, ok := offsets.Lookup(testIn, part)
	if !ok {
		return -1, ""
	}
	return o.At, topicWord.ReplaceAllString(o.Metadata, "")
}

var topicWord = regexp.MustCompile(` topic=[\w-]+`)

// reset moves the group as an operator's tool does: with empty metadata.
func (w *world) reset(part int32, at int64) {
	w.t.Helper()
	offsets := make(kadm.Offsets)
	offsets.Add(kadm.Offset{Topic: testIn, Partition: part, At: at, LeaderEpoch: -1})
	resps, err := w.adm.CommitOffsets(context.Background(), testGroup, offsets)
	require.NoError(w.t, err)
	require.NoError(w.t, resps.Error())
}

func alter(name, value string) []kadm.AlterConfig {
	return []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}
}

// tContext is a context for a call in a test.
func tContext(t tb) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}
