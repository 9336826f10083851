package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// transaction is the one that a member has open at a time: what it has written since the last commit, to all partitions, and
// then the offsets up to which that goes. See docs/decisions/0017.
//
// What fences a process that Kafka has given up: its offsets are refused, because they carry an old generation of the group, and
// without its offsets no transaction is committed.
type transaction struct {
	r  *Relay // immutable
	id string // immutable: see transactionalID

	spoiled atomic.Bool // a batch of a lane that was abandoned may be in it: no offset says how far it goes

	adding sync.Mutex // held while partitions are added, one request at a time

	// Protected by mu, which is held for moments only: a partition can be given up while the coordinator does not answer.
	// Lock order: commitMu, member.mu, adding, mu.
	mu         sync.Mutex
	producerID int64
	epoch      int16
	open       bool                  // the coordinator may know of it
	added      map[outPart]struct{}  // partitions that it spans
	sequences  map[outPart]sequenced // of lanes that are gone
}

// outPart is a partition of the output, or of the duplicates' topic.
type outPart struct {
	topic string
	part  int32
}

// sequenced is where a lane's sequence goes on: the producer's id is one for all the lives of a partition here.
type sequenced struct {
	epoch int16
	next  int32
}

const transactionPause = 20 * time.Millisecond // between two tries of a request

// timeout after which the coordinator aborts what a member that is gone has left open. Until then readers of the output wait.
func (t *transaction) timeout() time.Duration {
	return t.r.cfg.RebalanceTimeout + t.r.cfg.CommitInterval
}

// beginTransactions ends what a predecessor of the same name has left open, and fences it. It comes before the group's
// offsets are asked for. Called by joining.
func (r *Relay) beginTransactions() {
	if r.cfg.Fencing != FencingTransactional {
		return
	}
	t := &transaction{r: r, id: transactionalID(r.cfg.Group, r.cfg.InstanceID), producerID: -1, epoch: -1,
		added: make(map[outPart]struct{}), sequences: make(map[outPart]sequenced)}
	r.txn, r.producer.txn = t, t
	if r.duplicates != nil {
		r.duplicates.txn = t
	}
	if err := t.init(r.stop); err != nil && r.stop.Err() == nil {
		r.fail(err)
	}
}

// init asks for the producer's id, or for its next epoch.
func (t *transaction) init(ctx context.Context) error {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID = &t.id
	req.TransactionTimeoutMillis = int32(t.timeout().Milliseconds())
	req.ProducerID, req.ProducerEpoch = t.identity() // -1 at first: whoever it is now, we are it from now on
	var resp *kmsg.InitProducerIDResponse
	err := t.retry(ctx, "producer id", func() (err error) {
		if resp, err = req.RequestWith(ctx, t.r.cl); err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		return err
	})
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.producerID, t.epoch, t.open = resp.ProducerID, resp.ProducerEpoch, false
	clear(t.added)
	clear(t.sequences)
	t.spoiled.Store(false)
	return nil
}

// retry carries out a request until it succeeds, cannot succeed, or ctx ends.
func (t *transaction) retry(ctx context.Context, what string, request func() error) error {
	for try := 0; ; try++ {
		err := request()
		if err == nil {
			return nil
		}
		err = fmt.Errorf("%s: %w", what, err)
		if ctx.Err() != nil || !passes(err) {
			return newTransactionError(t.id, err)
		}
		if try%100 == 50 {
			t.r.log.Warn("transaction: trying again", "transactional_id", t.id, "tries", try, "cause", err)
		}
		select {
		case <-time.After(transactionPause):
		case <-ctx.Done():
		}
	}
}

// passes says whether a request of a transaction may succeed later. The client's list knows one of these words only as final.
func passes(err error) bool {
	return errors.Is(err, kerr.ConcurrentTransactions) || !permanent(err)
}

// join adds to the transaction the partitions of lanes that it does not span yet. Called before a batch of them is sent.
func (p *producer) join(lanes []*lane) error {
	if p.txn == nil {
		return nil
	}
	return p.txn.add(p.ctx, p.top.topic, lanes)
}

func (t *transaction) add(ctx context.Context, topic string, lanes []*lane) error {
	t.adding.Lock()
	defer t.adding.Unlock()
	rt := kmsg.NewAddPartitionsToTxnRequestTopic()
	rt.Topic, rt.Partitions = topic, t.missing(topic, lanes)
	if len(rt.Partitions) == 0 {
		return nil
	}
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.TransactionalID = t.id
	req.ProducerID, req.ProducerEpoch = t.identity()
	req.Topics = append(req.Topics, rt)
	err := t.retry(ctx, "add partitions", func() error {
		resp, err := req.RequestWith(ctx, t.r.cl)
		if err != nil {
			return err
		}
		answered := 0
		for _, rt := range resp.Topics {
			for _, rp := range rt.Partitions {
				answered++
				if err := kerr.ErrorForCode(rp.ErrorCode); err != nil && !errors.Is(err, kerr.OperationNotAttempted) {
					return err
				}
			}
		}
		if answered != len(rt.Partitions) {
			return errNoAnswer
		}
		return nil
	})
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, part := range rt.Partitions {
		t.added[outPart{topic, part}] = struct{}{}
	}
	return nil
}

// missing returns the partitions that are still to be added. From here on the coordinator may know of the transaction.
func (t *transaction) missing(topic string, lanes []*lane) (parts []int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range lanes {
		if _, known := t.added[outPart{topic, l.partition}]; !known {
			parts = append(parts, l.partition)
		}
	}
	t.open = t.open || len(parts) > 0
	return parts
}

// addOffsets adds the group's offsets to the transaction, and then the offsets.
func (t *transaction) addOffsets(ctx context.Context, at map[int32]position) (map[int32]error, error) {
	m := &t.r.member
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.Group = t.id, m.cfg.Group
	add.ProducerID, add.ProducerEpoch = t.identity()
	if err := t.retry(ctx, "add the group", func() error {
		resp, err := add.RequestWith(ctx, m.cl)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		return err
	}); err != nil {
		return nil, err
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group = t.id, m.cfg.Group
	req.ProducerID, req.ProducerEpoch = t.identity()
	req.MemberID, req.Generation = m.cl.GroupMetadata()
	req.InstanceID = &m.cfg.InstanceID
	rt := kmsg.NewTxnOffsetCommitRequestTopic()
	rt.Topic = m.cfg.Input
	for part, pos := range at {
		rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		rp.Partition, rp.Offset, rp.LeaderEpoch = part, pos.next, -1
		rp.Metadata = kmsg.StringPtr(pos.meta.String())
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, m.cl)
	if err != nil {
		return nil, err
	}
	answers := make(map[int32]error, len(at))
	for _, rt := range resp.Topics {
		for _, rp := range rt.Partitions {
			answers[rp.Partition] = kerr.ErrorForCode(rp.ErrorCode)
		}
	}
	return answers, nil
}

// end ends the transaction one way or the other. It does not stop halfway: whether it was committed decides where the
// partitions go on, so a request whose answer was lost is sent again.
func (t *transaction) end(ctx context.Context, commit bool) error {
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.Commit = t.id, commit
	req.ProducerID, req.ProducerEpoch = t.identity()
	err := t.retry(ctx, "end", func() error {
		resp, err := req.RequestWith(ctx, t.r.cl)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		return err
	})
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open = false
	clear(t.added)
	return nil
}

func (t *transaction) identity() (id int64, epoch int16) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.producerID, t.epoch
}

func (t *transaction) isOpen() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.open
}

// spoil notes that the transaction cannot be committed.
func (t *transaction) spoil() { t.spoiled.Store(true) }

// newID returns the identity with which new lanes write.
func (r *Relay) newID(ctx context.Context) (id int64, epoch int16, err error) {
	if r.txn == nil {
		return r.producer.newID(ctx)
	}
	id, epoch = r.txn.identity()
	return id, epoch, nil
}

// entered has the lanes of new workers go on in the sequences of those before them.
func (t *transaction) entered(workers []*worker) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range workers {
		w.lane.sequence = t.sequences[outPart{t.r.cfg.Output, w.part}].after(w.lane.epoch)
		if w.dups != nil {
			w.dups.lane.sequence = t.sequences[outPart{t.r.cfg.DuplicatesTopic, w.part}].after(w.lane.epoch)
		}
	}
}

func (s sequenced) after(epoch int16) int32 {
	if s.epoch != epoch {
		return 0
	}
	return s.next
}

// left notes where the sequences of a worker's lanes end: with what was sent last. Called when its goroutine has returned.
func (t *transaction) left(w *worker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	note := func(topic string, l *lane, pending []*batch) {
		if l.producerID != t.producerID || l.epoch != t.epoch {
			return // of an identity that was given up, or it never had one
		}
		next := l.sequence
		if len(pending) > 0 {
			next = int32(binary.BigEndian.Uint32(pending[0].wire[batchSequenceAt:]))
		}
		t.sequences[outPart{topic, w.part}] = sequenced{l.epoch, next}
	}
	note(t.r.cfg.Output, w.lane, w.pending)
	if w.dups != nil {
		note(t.r.cfg.DuplicatesTopic, w.dups.lane, w.dups.pending)
	}
}

// refused is the error to stop with where a batch was refused for good.
func (p *producer) refused(l *lane, b *batch, err error) error {
	already := (*TransactionError)(nil)
	if p.txn != nil && (isFenced(err) || errors.As(err, &already)) {
		return newTransactionError(p.txn.id, err)
	}
	return &ProduceError{Topic: p.top.topic, Partition: l.partition, First: b.first, Last: b.last, Bytes: len(b.wire), Err: err}
}
