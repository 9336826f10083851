package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// world is a broker with a topic, and what the handler was given of it.
type world struct {
	t       *testing.T
	ctx     context.Context
	brokers []string
	topic   string
	dataDir string
	cl      *kgo.Client
	sent    int

	mu      sync.Mutex
	handled map[string]int // by value, which is the number of the message
}

func newWorld(t *testing.T) *world {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx, topic: fmt.Sprintf("sarama-%08x", rand.Uint32()), dataDir: filepath.Join(t.TempDir(), "data"), handled: map[string]int{}}
	if addrs := os.Getenv("KAFKA_BROKERS"); addrs != "" {
		w.brokers = strings.Split(addrs, ",")
	} else {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
		require.NoError(t, err)
		t.Cleanup(cluster.Close)
		w.brokers = cluster.ListenAddrs()
	}
	var err error
	w.cl, err = kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.DefaultProduceTopic(w.topic), kgo.MetadataMinAge(50*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(w.cl.Close)
	adm := kadm.NewClient(w.cl)
	_, err = adm.CreateTopic(ctx, 3, -1, nil, w.topic)
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = adm.DeleteTopic(context.WithoutCancel(ctx), w.topic) })
	return w
}

// send sends new messages, and after each a copy of one of all that were ever sent.
func (w *world) send(n int) {
	var records []*kgo.Record
	for range n {
		for _, id := range []int{w.sent, rand.IntN(w.sent + 1)} {
			records = append(records, kgo.KeySliceRecord(fmt.Appendf(nil, "m-%d", id), fmt.Appendf(nil, "m-%d", id)))
		}
		w.sent++
	}
	require.NoError(w.t, w.cl.ProduceSync(w.ctx, records...).FirstErr())
}

// consume runs the example until every message was handled; fail is asked for each.
func (w *world) consume(fail func(*sarama.ConsumerMessage) error) error {
	ctx, stop := context.WithCancel(w.ctx)
	defer stop()
	return run(ctx, w.brokers, w.topic, w.topic, w.dataDir, func(m *sarama.ConsumerMessage) error {
		if err := fail(m); err != nil {
			return err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.handled[string(m.Value)]++; len(w.handled) == w.sent {
			stop()
		}
		return nil
	})
}

// TestConsumer: each message once, through a stop and a new start on the same directory.
func TestConsumer(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		w.send(2000)
		require.NoError(t, w.consume(func(*sarama.ConsumerMessage) error { return nil }))
		require.NoError(t, w.ctx.Err())
	}
	require.Len(t, w.handled, w.sent)
	for id, n := range w.handled {
		require.Equal(t, 1, n, id)
	}
}

// TestHandlerFails: the message whose handler failed is delivered again and passes, though its mark was set before the work.
func TestHandlerFails(t *testing.T) {
	w := newWorld(t)
	w.send(2000)
	broken := errors.New("the database is away")
	err := w.consume(func(m *sarama.ConsumerMessage) error {
		if string(m.Value) == "m-1000" {
			return broken
		}
		return nil
	})
	require.ErrorIs(t, err, broken)
	require.Zero(t, w.handled["m-1000"])
	require.NoError(t, w.consume(func(*sarama.ConsumerMessage) error { return nil }))
	require.Equal(t, 1, w.handled["m-1000"])
	require.Len(t, w.handled, w.sent)
}
