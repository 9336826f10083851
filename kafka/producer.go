package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// producer writes sealed batches to the output, one at a time a partition.
//
// # Why not kgo's own producer
//
// The recovery of the output's tail rests on one property: what is in the output is a prefix of what should be there. A
// record after a missing one would be a hole that no restart fills, because it is below the largest source offset found.
//
// kgo v1.22.2 does not give that property when a batch fails for good (MESSAGE_TOO_LARGE, INVALID_RECORD, a permission
// taken away). Walk through sink.go: handleReqRespBatch calls finishBatch with the error, under recBuf.mu; that is
// recBuf.failAllRecords: the failed batch and all behind it leave the buffer, their promises go to a ring that another
// goroutine serves, and failProducerID asks for a new epoch, which producerID() then makes locally, with no request to
// the broker. The lock is released. A goroutine that is in the middle of producing its records now gets the next one
// accepted: an empty buffer, epoch+1, sequence 0. The broker takes that, rightly. Only some time later does the promise
// of the failed record run and say so. No hook is called in between, StopProducerOnDataLossDetected concerns only
// sequence errors, and a load error of the topic fails the batches in the same way without any new epoch. Records that
// are larger than a batch are refused inside Produce, also by promise, with the same gap. Stopping at the first failed
// promise therefore narrows the gap and does not close it: with one refused batch on kfake, a loop that stopped producing
// at the first failed promise left records behind the hole in 35 of 40 tries. (What is in flight behind the failed batch is no danger: the
// broker refuses its sequence numbers; and kgo sends no second batch before the first of a sink is acknowledged.)
//
// So the relay sends its batches itself: idempotent (KIP-98), acks=all, and a lane sends nothing before the batch
// ahead of it is acknowledged. Then there is nothing behind a failed batch, by construction. A resend has the same
// sequence and is stored once. Several partitions of a broker share a request, and two requests to a broker may be under way, so
// one batch a partition at a time costs little; and not making a kgo.Record a message saves more than it costs.
type producer struct {
	cl   *kgo.Client
	top  *topology
	log  *slog.Logger
	fail func(error)  // told once or more; the first counts
	txn  *transaction // nil: it writes without transactions

	lease *lease // nothing is sent without it; nil: there is none to wait for

	ctx     context.Context // ends when the relay stops: nothing is sent after
	cancel  context.CancelFunc
	running sync.WaitGroup // requests and back-offs

	retries atomic.Int64

	mu struct {
		sync.Mutex
		brokers  map[int32]*brokerQueue
		underway map[int32]int // requests, by partition: of its lane, and of dead ones before it
		stopped  bool
		waiting  bool    // for the lease
		closed   bool    // see closeGate
		held     []*lane // ready when the gate opens
		unknown  int     // lanes with sent
	}
}

// brokerQueue is what waits for a broker. Protected by producer.mu.
type brokerQueue struct {
	ready    []*lane
	inflight int // requests
}

const (
	brokerInflight = 2
	requestBytes   = 16 << 20 // of batches in a request; one batch always fits
	produceTimeout = 10 * time.Second
)

// lane is the way of one assigned partition to the output.
type lane struct {
	partition int32
	acked     func(b *batch, base int64)       // called without locks, in order
	split     func(b *batch) ([]*batch, error) // the same; for a batch of several records

	// Owned by the worker.
	producerID int64
	epoch      int16
	sequence   int32 // of the next batch

	// Protected by producer.mu.
	queue   []*batch
	busy    bool // queue[0] is under way, or waits to be tried again, or the lane is in a ready list
	dead    bool // the partition is gone: send nothing more, tell nobody
	retries int  // of queue[0]
	sent    bool // with transactions: queue[0] may be in the output
}

func newProducer(cl *kgo.Client, topic string, log *slog.Logger, fail func(error)) *producer {
	p := &producer{cl: cl, top: &topology{cl: cl, topic: topic}, log: log, fail: fail}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.mu.brokers, p.mu.underway = make(map[int32]*brokerQueue), make(map[int32]int)
	return p
}

// newID asks for a producer id. Every assignment gets its own, so that sequences start at 0 and a batch that a lane
// left behind can never be mistaken for a later lane's.
func (p *producer) newID(ctx context.Context) (id int64, epoch int16, err error) {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionTimeoutMillis = 60_000 // must be positive, means nothing without a transaction
	resp, err := req.RequestWith(ctx, p.cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("kafka: producer id: %w", err)
	}
	return resp.ProducerID, resp.ProducerEpoch, nil
}

// enqueue hands a batch over. Batches of a lane are sent in this order.
func (p *producer) enqueue(l *lane, b *batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.dead || p.mu.stopped {
		return
	}
	l.queue = append(l.queue, b)
	if !l.busy {
		p.readyLocked(l)
	}
}

// abandon forgets what a lane has not sent. A request under way cannot be called back; its answer tells nobody.
func (p *producer) abandon(l *lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.dead, l.queue = true, nil
	if l.sent {
		p.knownLocked(l)
		p.txn.spoil()
	}
}

// idle says whether no request for a partition is under way. A partition that was lost and comes back must wait for that:
// what its old lane has sent may still land, behind the end that its restore would find.
func (p *producer) idle(partition int32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.underway[partition] == 0
}

// halt sends nothing more, and ends what is under way.
func (p *producer) halt() {
	p.mu.Lock()
	p.mu.stopped = true
	p.mu.Unlock()
	p.cancel()
}

// close halts, and returns when no request and no back-off is running.
func (p *producer) close() {
	p.halt()
	p.running.Wait()
}

// readyLocked puts the lane in its broker's queue and sends what may be sent.
func (p *producer) readyLocked(l *lane) {
	l.busy = true
	if p.mu.closed && !l.sent {
		p.mu.held = append(p.mu.held, l)
		return
	}
	leader, _, version := p.top.leader(l.partition)
	if leader < 0 {
		p.laterLocked(l, version, kerr.LeaderNotAvailable)
		return
	}
	q := p.mu.brokers[leader]
	if q == nil {
		q = &brokerQueue{}
		p.mu.brokers[leader] = q
	}
	q.ready = append(q.ready, l)
	p.sendLocked(leader, q)
}

// sendLocked starts requests while there is something to send and room under way.
func (p *producer) sendLocked(leader int32, q *brokerQueue) {
	for q.inflight < brokerInflight && !p.mu.stopped && len(q.ready) > 0 && p.allowedLocked() {
		lanes, size, taken := []*lane(nil), 0, 0
		for _, l := range q.ready {
			if !l.dead {
				size += len(l.queue[0].wire)
				if size > requestBytes && len(lanes) > 0 {
					break
				}
				lanes = append(lanes, l)
				p.mu.underway[l.partition]++
				p.sentLocked(l)
			}
			taken++
		}
		q.ready = append(q.ready[:0], q.ready[taken:]...)
		if len(lanes) == 0 {
			return
		}
		q.inflight++
		req, version := p.request(lanes)
		p.running.Go(func() { p.send(leader, q, lanes, req, version) })
	}
}

// request builds the request for the first batch of each lane. Called under mu.
func (p *producer) request(lanes []*lane) (*kmsg.ProduceRequest, uint64) {
	_, id, version := p.top.leader(0)
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic, rt.TopicID = p.top.topic, id
	rt.Partitions = make([]kmsg.ProduceRequestTopicPartition, len(lanes))
	for i, l := range lanes {
		rt.Partitions[i].Partition = l.partition
		rt.Partitions[i].Records = l.queue[0].wire
	}
	req := kmsg.NewPtrProduceRequest()
	if p.txn != nil {
		req.TransactionID = &p.txn.id
	}
	req.Acks = -1
	req.TimeoutMillis = int32(produceTimeout.Milliseconds())
	req.Topics = []kmsg.ProduceRequestTopic{rt}
	return req, version
}

// send issues one request and deals with the answer for each lane.
func (p *producer) send(leader int32, q *brokerQueue, lanes []*lane, req *kmsg.ProduceRequest, version uint64) {
	var kresp kmsg.Response
	err := p.join(lanes)
	if err == nil {
		kresp, err = p.cl.Broker(int(leader)).Request(p.ctx, req)
	}
	if p.ctx.Err() != nil {
		return // stopped: whether the broker has it is found out at the next start
	}
	answers := make(map[int32]*kmsg.ProduceResponseTopicPartition, len(lanes))
	if err == nil {
		resp := kresp.(*kmsg.ProduceResponse)
		for i := range resp.Topics {
			for j := range resp.Topics[i].Partitions {
				answers[resp.Topics[i].Partitions[j].Partition] = &resp.Topics[i].Partitions[j]
			}
		}
	}
	for _, l := range lanes {
		laneErr, base := err, int64(-1)
		if answer := answers[l.partition]; answer != nil {
			laneErr, base = kerr.ErrorForCode(answer.ErrorCode), answer.BaseOffset
		} else if err == nil {
			laneErr = errNoAnswer
		}
		p.answered(l, laneErr, base, version)
	}
	p.mu.Lock()
	for _, l := range lanes {
		if p.mu.underway[l.partition]--; p.mu.underway[l.partition] == 0 {
			delete(p.mu.underway, l.partition)
		}
	}
	q.inflight--
	p.sendLocked(leader, q)
	p.mu.Unlock()
}

// errNoAnswer: the response leaves a partition out. Whether the batch was stored is open; the resend will tell.
var errNoAnswer = errors.New("the broker's answer leaves the partition out")

// answered takes the answer for the first batch of l.
func (p *producer) answered(l *lane, err error, base int64, version uint64) {
	p.mu.Lock()
	if l.dead {
		p.mu.Unlock()
		return
	}
	b := l.queue[0]
	switch {
	case err == nil && base >= 0:
		l.queue = slices.Delete(l.queue, 0, 1)
		l.retries = 0
		p.mu.Unlock()
		l.acked(b, base)
		p.mu.Lock()
		p.knownLocked(l) // not before acked: whoever waits for that looks at positions
		if l.busy = false; len(l.queue) > 0 && !l.dead {
			p.readyLocked(l)
		}
		p.mu.Unlock()
	case err != nil && retriable(err):
		p.laterLocked(l, version, err)
		p.mu.Unlock()
	case tooLarge(err) && b.records > 1:
		p.knownLocked(l)
		p.mu.Unlock()
		p.splitFirst(l, b, err)
	default:
		if err == nil {
			err = fmt.Errorf("the broker stored it without saying at which offset (%d)", base)
		}
		p.mu.Unlock()
		p.fail(p.refused(l, b, err))
	}
}

// splitFirst sends the first batch of l in two parts.
func (p *producer) splitFirst(l *lane, b *batch, cause error) {
	p.log.Warn("produce: the batch is too large for the output; sending it in two", "topic", p.top.topic, "partition", l.partition,
		"bytes", len(b.wire), "records", b.records, "cause", cause)
	parts, err := l.split(b)
	if err != nil {
		p.fail(&ProduceError{Topic: p.top.topic, Partition: l.partition, First: b.first, Last: b.last, Bytes: len(b.wire), Err: errors.Join(cause, err)})
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !l.dead && !p.mu.stopped {
		l.queue = slices.Replace(l.queue, 0, 1, parts...)
		p.readyLocked(l)
	}
}

// retriable says whether sending the same batch again can help. The sequence errors cannot happen to a lane with one
// batch under way unless the broker has lost data or another producer uses our id: stop, and let the next start look
// what the output really holds. Some brokers call them retriable.
func retriable(err error) bool {
	for _, final := range []error{
		kerr.OutOfOrderSequenceNumber, kerr.DuplicateSequenceNumber, kerr.UnknownProducerID,
		kerr.InvalidProducerEpoch, kerr.InvalidProducerIDMapping, kerr.CorruptMessage,
	} {
		if errors.Is(err, final) {
			return false
		}
	}
	return !permanent(err)
}

// laterLocked tries the lane's first batch again after a pause, with fresh metadata. There is no limit: while the broker
// is away the queue fills, fetching pauses, and nothing is lost.
func (p *producer) laterLocked(l *lane, version uint64, cause error) {
	if p.mu.stopped {
		return
	}
	l.retries++
	n := p.retries.Add(1)
	if l.retries == 1 || l.retries%10 == 0 {
		p.log.Warn("produce: trying again", "topic", p.top.topic, "partition", l.partition, "tries", l.retries, "total", n, "cause", cause)
	}
	pause := min(50*time.Millisecond<<min(l.retries-1, 6), 2*time.Second)
	p.running.Go(func() {
		select {
		case <-time.After(pause):
		case <-p.ctx.Done():
			return
		}
		if err := p.top.refresh(p.ctx, version); err != nil && permanent(err) && p.ctx.Err() == nil {
			p.fail(err)
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if !l.dead && !p.mu.stopped {
			p.readyLocked(l)
		}
	})
}
