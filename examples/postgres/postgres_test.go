package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	partitions = 3
	kills      = 6
	childVar   = "NOECHO_EXAMPLE_CHILD"
)

// TestMain: started again by the tests, this executable is the example itself.
func TestMain(m *testing.M) {
	if os.Getenv(childVar) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// world is a broker with a topic of orders, a database, and the process between them.
type world struct {
	t        *testing.T
	ctx      context.Context
	brokers  []string
	topic    string
	database string
	db       *pgxpool.Pool
	cl       *kgo.Client

	orders, copies int
	cents          int64
}

func newWorld(t *testing.T) *world {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx, topic: fmt.Sprintf("orders-%08x", rand.Uint32()), database: startPostgres(t)}
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
	_, err = adm.CreateTopic(ctx, partitions, -1, nil, w.topic)
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = adm.DeleteTopic(context.WithoutCancel(ctx), w.topic) })
	w.db, err = pgxpool.New(ctx, w.database)
	require.NoError(t, err)
	t.Cleanup(w.db.Close)
	_, err = w.db.Exec(ctx, schema)
	require.NoError(t, err)
	return w
}

// send sends new orders, and for every third of them a copy of one of all that were ever sent.
func (w *world) send(orders int) {
	var records []*kgo.Record
	add := func(n int) {
		o := order{ID: fmt.Sprintf("o-%d", n), Customer: fmt.Sprintf("c-%d", n%100), Cents: int64(n % 1000)}
		value, err := json.Marshal(o)
		require.NoError(w.t, err)
		records = append(records, &kgo.Record{Key: []byte(o.ID), Value: value})
	}
	for range orders {
		add(w.orders)
		w.cents += int64(w.orders % 1000)
		w.orders++
		if w.orders%3 == 0 {
			add(rand.IntN(w.orders))
			w.copies++
		}
	}
	require.NoError(w.t, w.cl.ProduceSync(w.ctx, records...).FirstErr())
}

// start starts the example as a process of its own.
func (w *world) start(mode, dataDir string) *exec.Cmd {
	exe, err := os.Executable()
	require.NoError(w.t, err)
	cmd := exec.Command(exe, "-brokers", strings.Join(w.brokers, ","), "-topic", w.topic, "-group", w.topic, "-database", w.database, "-data-dir", dataDir, "-mode", mode)
	cmd.Env = append(os.Environ(), childVar+"=1")
	cmd.Stderr = os.Stderr
	require.NoError(w.t, cmd.Start())
	w.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func (w *world) number(query string) (n int64) {
	require.NoError(w.t, w.db.QueryRow(w.ctx, query).Scan(&n))
	return n
}

// waitFor waits until the table has so many rows.
func (w *world) waitFor(table string, rows int64) {
	w.t.Helper()
	for w.number("SELECT count(*) FROM "+table) < rows {
		require.NoError(w.t, w.ctx.Err())
		time.Sleep(time.Millisecond)
	}
}

// survive kills the example again and again in the middle of its work, then lets it finish.
func (w *world) survive(mode, table, dataDir string) {
	w.send(10_000)
	for range kills {
		cmd := w.start(mode, dataDir)
		w.waitFor(table, w.number("SELECT count(*) FROM "+table)+1+rand.Int64N(1500))
		require.NoError(w.t, cmd.Process.Kill())
		_ = cmd.Wait()
		w.send(2_000)
	}
	w.finish(w.start(mode, dataDir), table)
}

// finish waits until all orders are there, sends one more to each partition, so that what came before it was read, and stops.
func (w *world) finish(cmd *exec.Cmd, table string) {
	w.waitFor(table, int64(w.orders))
	w.send(100)
	w.waitFor(table, int64(w.orders))
	require.NoError(w.t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(w.t, cmd.Wait())
}

// TestGuarded: every order is there once; what ran into the constraint were redeliveries after kills, never a copy.
func TestGuarded(t *testing.T) {
	w := newWorld(t)
	w.survive("guarded", "orders", filepath.Join(t.TempDir(), "data"))
	require.EqualValues(t, w.orders, w.number("SELECT count(*) FROM orders"))
	require.Equal(t, w.cents, w.number("SELECT sum(cents) FROM orders"))
	require.Zero(t, w.number("SELECT sum(copies) FROM orders"), "copies reached the database")
	t.Logf("%d orders, %d copies sent, none of them reached the database; %d kills, %d rows delivered again after them",
		w.orders, w.copies, kills, w.number("SELECT sum(redelivered) FROM orders"))
}

// TestGuardedCalm: without a kill, nothing ever runs into the constraint.
func TestGuardedCalm(t *testing.T) {
	w := newWorld(t)
	w.send(3_000)
	w.finish(w.start("guarded", filepath.Join(t.TempDir(), "data")), "orders")
	require.EqualValues(t, w.orders, w.number("SELECT count(*) FROM orders"))
	require.Zero(t, w.number("SELECT sum(copies) + sum(redelivered) FROM orders"))
}

// TestExactlyOnce: every order is there once, and no constraint would have stopped a second one.
func TestExactlyOnce(t *testing.T) {
	w := newWorld(t)
	dataDir := filepath.Join(t.TempDir(), "data")
	w.survive("exactly-once", "sales", dataDir)
	w.exact()

	// noecho's directory is lost: the marks are learned from the topic again, up to the database's position.
	require.NoError(t, os.RemoveAll(dataDir))
	w.send(1_000)
	w.finish(w.start("exactly-once", dataDir), "sales")
	w.exact()
	t.Logf("%d orders, %d copies sent, %d kills, one lost directory: every order has one row", w.orders, w.copies, kills)
}

// exact: as many rows as orders, none twice, the sum right.
func (w *world) exact() {
	require.EqualValues(w.t, w.orders, w.number("SELECT count(*) FROM sales"))
	require.EqualValues(w.t, w.orders, w.number("SELECT count(DISTINCT order_id) FROM sales"))
	require.Equal(w.t, w.cents, w.number("SELECT sum(cents) FROM sales"))
}

// TestTwoAtOnce: two processes that both believe in the partitions. The position lets one of them through, the other stops;
// with several partitions they may stop each other. Whatever they did before that was done once.
func TestTwoAtOnce(t *testing.T) {
	w := newWorld(t)
	w.send(5_000)
	ended := make(chan error, 2)
	var cmds []*exec.Cmd
	for _, name := range []string{"a", "b"} {
		cmd := w.start("exactly-once", filepath.Join(t.TempDir(), name))
		cmds = append(cmds, cmd)
		go func() { ended <- cmd.Wait() }()
	}
	for collided := false; !collided; {
		w.send(100)
		select {
		case err := <-ended:
			require.Error(t, err)
			collided = true
		default:
			require.NoError(t, w.ctx.Err())
		}
	}
	for _, cmd := range cmds {
		_ = cmd.Process.Signal(syscall.SIGTERM) // one is gone, or both
	}
	<-ended
	w.finish(w.start("exactly-once", filepath.Join(t.TempDir(), "c")), "sales")
	w.exact()
}

// TestConstraintCounts: the columns that TestGuarded trusts tell a redelivery from a copy.
func TestConstraintCounts(t *testing.T) {
	w := newWorld(t)
	r := &kgo.Record{Partition: 1, Offset: 5, Value: []byte(`{"id":"o-1","customer":"c","cents":7}`)}
	copied := *r
	copied.Offset = 6
	for _, records := range [][]*kgo.Record{{r}, {r}, {&copied}, {r, &copied}} {
		require.NoError(t, upsert(w.ctx, w.db, records))
	}
	require.EqualValues(t, 1, w.number("SELECT count(*) FROM orders"))
	require.EqualValues(t, 2, w.number("SELECT redelivered FROM orders"))
	require.EqualValues(t, 2, w.number("SELECT copies FROM orders"))
}
