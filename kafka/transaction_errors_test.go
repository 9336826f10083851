package kafka

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestTransactionsPassingErrors: what passes by itself ends no Run, and repeats and loses nothing.
func TestTransactionsPassingErrors(t *testing.T) {
	for _, c := range []struct {
		key int16
		err *kerr.Error
	}{
		{22, kerr.ConcurrentTransactions}, {22, kerr.CoordinatorLoadInProgress}, {24, kerr.ConcurrentTransactions},
		{24, kerr.CoordinatorLoadInProgress}, {25, kerr.ConcurrentTransactions}, {25, kerr.CoordinatorLoadInProgress},
		{26, kerr.ConcurrentTransactions}, {26, kerr.CoordinatorLoadInProgress}, {28, kerr.CoordinatorLoadInProgress},
		{28, kerr.IllegalGeneration}, {28, kerr.RebalanceInProgress},
	} {
		t.Run(kmsg.Key(c.key).Name()+"/"+c.err.Message, func(t *testing.T) {
			w := newTxnWorld(t, 2)
			var failed atomic.Int64
			w.cluster.ControlKey(c.key, func(req kmsg.Request) (kmsg.Response, error, bool) {
				w.cluster.KeepControl()
				if r, ok := req.(*kmsg.InitProducerIDRequest); ok && r.TransactionalID == nil { // the test's own
					return nil, nil, false
				}
				if failed.Add(1) > 3 {
					return nil, nil, false
				}
				return refuseTxn(req, c.err), nil, true
			})
			w.feed(history(rand.New(rand.NewPCG(2, 2)), 2, 300)...)
			l := w.start(nil, nil)
			l.settle()
			l.stop()
			require.GreaterOrEqual(t, failed.Load(), int64(3))
			w.requireClean()
		})
	}
}

// TestTransactionsFinalErrors: Run ends with an error that says what to do, and the next one goes on.
func TestTransactionsFinalErrors(t *testing.T) {
	for _, c := range []struct {
		key  int16
		err  *kerr.Error
		hint string
	}{
		{22, kerr.InvalidTransactionTimeout, "transaction.max.timeout.ms"}, {22, kerr.TransactionalIDAuthorizationFailed, "transactional id"},
		{24, kerr.ProducerFenced, "one process for each instance id"}, {25, kerr.InvalidProducerEpoch, "one process for each instance id"},
		{26, kerr.InvalidProducerEpoch, "one process for each instance id"}, {28, kerr.InvalidProducerEpoch, "one process for each instance id"},
		{26, kerr.InvalidTxnState, "brokers' logs"},
	} {
		t.Run(kmsg.Key(c.key).Name()+"/"+c.err.Message, func(t *testing.T) {
			w := newTxnWorld(t, 2)
			var failed atomic.Bool
			w.cluster.ControlKey(c.key, func(req kmsg.Request) (kmsg.Response, error, bool) {
				if r, ok := req.(*kmsg.InitProducerIDRequest); ok && r.TransactionalID == nil || failed.Swap(true) { // the test's own
					return nil, nil, false
				}
				return refuseTxn(req, c.err), nil, true
			})
			w.feed(history(rand.New(rand.NewPCG(2, 2)), 2, 300)...)
			l := w.start(nil, nil)
			<-l.done
			_ = l.e.Close()
			var transaction *TransactionError
			require.ErrorAs(t, l.err, &transaction)
			require.ErrorIs(t, l.err, c.err)
			require.Contains(t, l.err.Error(), c.hint)

			l = w.start(nil, nil)
			l.settle()
			l.stop()
			w.requireClean()
		})
	}
}

// refuseTxn answers a request of a transaction with an error.
func refuseTxn(kreq kmsg.Request, err *kerr.Error) kmsg.Response {
	resp := kreq.ResponseKind()
	switch resp := resp.(type) {
	case *kmsg.InitProducerIDResponse:
		resp.ErrorCode = err.Code
	case *kmsg.AddOffsetsToTxnResponse:
		resp.ErrorCode = err.Code
	case *kmsg.EndTxnResponse:
		resp.ErrorCode = err.Code
	case *kmsg.AddPartitionsToTxnResponse:
		for _, rt := range kreq.(*kmsg.AddPartitionsToTxnRequest).Topics {
			st := kmsg.AddPartitionsToTxnResponseTopic{Topic: rt.Topic}
			for _, part := range rt.Partitions {
				st.Partitions = append(st.Partitions, kmsg.AddPartitionsToTxnResponseTopicPartition{Partition: part, ErrorCode: err.Code})
			}
			resp.Topics = append(resp.Topics, st)
		}
	case *kmsg.TxnOffsetCommitResponse:
		for _, rt := range kreq.(*kmsg.TxnOffsetCommitRequest).Topics {
			st := kmsg.TxnOffsetCommitResponseTopic{Topic: rt.Topic}
			for _, rp := range rt.Partitions {
				st.Partitions = append(st.Partitions, kmsg.TxnOffsetCommitResponseTopicPartition{Partition: rp.Partition, ErrorCode: err.Code})
			}
			resp.Topics = append(resp.Topics, st)
		}
	}
	return resp
}

// TestTransactionsEndWhileAdding: Run ends while the duplicates' topic is being added to the transaction, for as long as the
// coordinator likes, and the output's batches wait behind that.
func TestTransactionsEndWhileAdding(t *testing.T) {
	w := newTxnWorld(t, 2)
	_, err := w.adm.CreateTopics(tContext(t), 2, 1, nil, testDup)
	require.NoError(t, err)
	var refused atomic.Int64
	w.cluster.ControlKey(int16(kmsg.AddPartitionsToTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if req.(*kmsg.AddPartitionsToTxnRequest).Topics[0].Topic != testDup {
			return nil, nil, false
		}
		refused.Add(1)
		return refuseTxn(req, kerr.ConcurrentTransactions), nil, true
	})
	w.edit = func(cfg *RelayConfig) { cfg.OnDuplicate, cfg.DuplicatesTopic = DuplicateTopic, testDup }
	rng := rand.New(rand.NewPCG(31, 31))
	w.feed(history(rng, 2, 300)...)
	l := w.start(nil, nil)
	w.eventually("refused", func() bool { return refused.Load() > 2 })
	w.feed(history(rng, 2, 300)...)
	waiting := func() bool {
		l.relay.producer.mu.Lock()
		defer l.relay.producer.mu.Unlock()
		return len(l.relay.producer.mu.underway) > 0
	}
	w.eventually("the output waits", waiting)
	l.die(100, 1)
	l.bury()
}

// TestTransactionsAlone: what cannot be held in a transaction is refused before anything starts.
func TestTransactionsAlone(t *testing.T) {
	for want, cfg := range map[string]RelayConfig{
		"fencing transactional and a changelog":    {ChangelogTopic: "c"},
		"fencing transactional and scope topic do": {Scope: ScopeTopic},
		"fencing \"both\"":                         {Fencing: "both"},
	} {
		cfg.Input, cfg.Output, cfg.Group = "a", "b", "g"
		def(&cfg.Fencing, FencingTransactional)
		_, err := newRelay(cfg, namedStore("x"))
		var wrong *ConfigError
		require.ErrorAs(t, err, &wrong)
		require.ErrorContains(t, err, want)
	}
}
