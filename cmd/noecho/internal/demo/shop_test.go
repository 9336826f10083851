package demo

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestShop(t *testing.T) {
	b, err := startBroker()
	require.NoError(t, err)
	defer b.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()))
	require.NoError(t, err)
	defer client.Close()

	s := newShop(client, inputTopic, 1000)
	ctx := context.Background()
	// Its clock is ours: 3 s of orders, a replay of 200, a restart that sends 300 again, in no time.
	now := time.Now()
	run := func(d time.Duration) (done bool) {
		for ; d > 0; d -= shopTick {
			now = now.Add(shopTick)
			done = s.step(ctx, now, shopTick)
		}
		return done
	}
	require.False(t, run(time.Second))
	require.InDelta(t, 1000, s.Sent().Orders, 1)
	s.Replay(100, 300)
	run(time.Second)
	require.EqualValues(t, 200, s.Sent().Replayed)
	before := s.Sent().Orders
	s.Restart(before-300, 500*time.Millisecond)
	run(500 * time.Millisecond)
	require.Equal(t, before, s.Sent().Orders, "nothing is ordered while the producer is down")
	require.Zero(t, s.Sent().Resent)
	run(time.Second)
	require.EqualValues(t, 300, s.Sent().Resent)
	require.Greater(t, s.Sent().Orders, before)
	s.Close()
	require.True(t, run(shopTick), "the last retries go at once")
	require.NoError(t, s.run(ctx))

	sent := s.Sent()
	require.Positive(t, sent.Retries)
	require.Equal(t, sent.Orders+sent.Echoes(), b.end(inputTopic))
	ids, err := b.read(ctx, inputTopic)
	require.NoError(t, err)
	p := prove(ids, nil)
	require.Equal(t, sent.Orders, p.Orders)
	require.Equal(t, sent.Orders+sent.Echoes(), p.In)
}

func TestOrders(t *testing.T) {
	a, again := newOrder(41, 1), newOrder(41, 2)
	require.NotEqual(t, a, again, "an echo is not byte-identical")
	again.Attempt = 1
	require.Equal(t, a, again)
	require.NotEqual(t, a.ID, newOrder(42, 1).ID)

	id, err := orderID([]byte(`{"order_id":"ord-00000041","attempt":2}`))
	require.NoError(t, err)
	require.Equal(t, a.ID, id)
	_, err = orderID([]byte(`{"attempt":2}`))
	require.ErrorContains(t, err, "no order_id")
	_, err = orderID([]byte(`oops`))
	require.ErrorContains(t, err, "not an order")
}
