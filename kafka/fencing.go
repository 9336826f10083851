package kafka

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

// Fencing says what keeps the output of a process that Kafka has given up, but that lives on, from its readers.
type Fencing string

const (
	// FencingNone: nothing does. What such a process writes until it hears of it is repeated.
	FencingNone Fencing = "none"
	// FencingTransactional: what the relay writes between two commits is one transaction with the offsets. Readers with
	// isolation.level read_committed see it when it is committed, and never what such a process wrote.
	FencingTransactional Fencing = "transactional"
)

func (f Fencing) validate() error { return oneOf("fencing", f, FencingNone, FencingTransactional) }

// transactionalID is the name under which the coordinator knows the member: the same in its next life, whose first
// request ends what this one has left open.
func transactionalID(group, instance string) string { return "noecho/" + group + "/" + instance }

// TransactionError says that a transaction can neither be committed nor carried on. Nothing of it is visible to readers with
// read_committed; a restart goes on at the last committed offsets and writes it again.
type TransactionError struct {
	TransactionalID string
	Hint            string
	Err             error
}

func (e *TransactionError) Error() string {
	return fmt.Sprintf("kafka: transaction of %q: %v; nothing of it is visible to readers with read_committed, and a restart goes on at the last commit: %s", e.TransactionalID, e.Err, e.Hint)
}

func (e *TransactionError) Unwrap() error { return e.Err }

// transactionHints say what to do about errors that do not pass.
var transactionHints = []struct {
	err  *kerr.Error
	hint string
}{
	{kerr.InvalidTransactionTimeout, "raise transaction.max.timeout.ms of the brokers above rebalance_timeout and commit_interval together, or lower these"},
	{kerr.TransactionalIDAuthorizationFailed, "allow noecho's user WRITE and DESCRIBE on the transactional id"},
	{kerr.TopicAuthorizationFailed, "allow noecho's user WRITE on the output, and READ on the input"},
	{kerr.GroupAuthorizationFailed, "allow noecho's user READ on the group"},
	{kerr.ProducerFenced, "run one process for each instance id; or it stood still for longer than the transaction's timeout, then just restart it"},
	{kerr.InvalidProducerEpoch, "run one process for each instance id; or it stood still for longer than the transaction's timeout, then just restart it"},
	{kerr.UnsupportedVersion, "transactions with the group's generation need brokers from Kafka 2.5 on; set fencing to none for older ones"},
}

func newTransactionError(id string, err error) error {
	already := (*TransactionError)(nil)
	if errors.As(err, &already) {
		return err
	}
	for _, known := range transactionHints {
		if errors.Is(err, known.err) {
			return &TransactionError{TransactionalID: id, Err: err, Hint: known.hint}
		}
	}
	return &TransactionError{TransactionalID: id, Err: err, Hint: "restart it; if that does not help, look at the brokers' logs"}
}

// isFenced says that the coordinator, or a partition's leader, no longer takes us for the one with this id.
func isFenced(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) || errors.Is(err, kerr.InvalidTxnState) ||
		errors.Is(err, kerr.InvalidProducerIDMapping)
}

// nothingOpen says that the coordinator knows of no transaction to abort.
func nothingOpen(err error) bool { return errors.Is(err, kerr.InvalidTxnState) }

// transactionOptions of the member's client. The requests are of the versions before KIP-890's second part, which brokers serve
// also after it: with those each commit changes the epoch, which is in batches that are sealed already.
func transactionOptions() []kgo.Opt {
	versions := kversion.Stable()
	for _, limit := range []struct{ key, most int16 }{
		{0, 11}, // Produce
		{22, 5}, // InitProducerID
		{24, 3}, // AddPartitionsToTxn
		{25, 3}, // AddOffsetsToTxn
		{26, 4}, // EndTxn
		{28, 4}, // TxnOffsetCommit
	} {
		if known, ok := versions.LookupMaxKeyVersion(limit.key); ok {
			versions.SetMaxKeyVersion(limit.key, min(known, limit.most))
		}
	}
	return []kgo.Opt{kgo.MaxVersions(versions)}
}
