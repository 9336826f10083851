package kafka

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// maxLetterBytes bounds a batch of dead letters; the client's requests are no larger than 100 MiB.
const maxLetterBytes = 32 << 20

// Consumer reads a topic as a member of a group and gives its handler the records that are no duplicates. See the package
// comment for its guarantees. Run is called once; Preflight and Stats may be called at any time, from any goroutine.
type Consumer struct {
	member // the group's half

	// Immutable after NewConsumer.
	cfg   ConsumerConfig // member.cfg is the part of it that the group's half knows, with its defaults
	slots chan struct{}  // cap: handler calls at a time; nil: no bound

	maxLetter atomic.Int64 // max.message.bytes of the dead-letter topic; 0: not known

	totals ConsumerTotals // of assignments that are gone; protected by member.mu
}

// NewConsumer checks the configuration, all of it at once: the error is a *ConfigError. It asks no broker; Preflight does.
func NewConsumer(cfg ConsumerConfig) (*Consumer, error) {
	if cfg.Engine == nil {
		return nil, &ConfigError{Problems: []string{"engine is missing"}}
	}
	return newConsumer(cfg, cfg.Scope.open(cfg.Engine, cfg.Topic))
}

func newConsumer(cfg ConsumerConfig, s store) (*Consumer, error) {
	cfg.ensureDefaults()
	m := cfg.member()
	m.ensureDefaults(s.ID())
	if err := cfg.validate(&m); err != nil {
		return nil, err
	}
	if err := checkSeed(cfg.ChangelogTopic, s); err != nil {
		return nil, err
	}
	c := &Consumer{cfg: cfg}
	if cfg.Recycle {
		c.pool = newRecordPool()
	}
	if cfg.Concurrency > 0 {
		c.slots = make(chan struct{}, cfg.Concurrency)
	}
	c.init(m, s, c)
	return c, nil
}

// Preflight asks the brokers what can be asked before anything starts, and returns the first thing that is wrong, in one
// sentence with the remedy: *BrokerError, *TopicError, *GroupError or *ScopeError. It writes nothing and takes at most 15 s.
func (c *Consumer) Preflight(ctx context.Context) error {
	return c.preflight(ctx, func(ctx context.Context, adm *kadm.Client) error {
		n, err := partitionsOf(ctx, adm, c.cfg.Topic, "create it, or name the topic to read")
		if err != nil {
			return err
		}
		if err := c.checkLearnFrom(n); err != nil {
			return err
		}
		if err := c.checkChangelog(ctx, adm); err != nil {
			return err
		}
		if c.cfg.OnError != OnErrorDeadLetter {
			return nil
		}
		if _, err := partitionsOf(ctx, adm, c.cfg.DeadLetterTopic, "create it, or name another dead-letter topic"); err != nil {
			return err
		}
		return c.checkSizes(ctx, adm)
	})
}

// checkSizes compares the largest batch that the topics take, and notes the dead-letter topic's. Where that one takes as much, a letter may still be
// too large by its headers; see omissions.
func (c *Consumer) checkSizes(ctx context.Context, adm *kadm.Client) error {
	limits, err := messageLimits(ctx, adm, c.cfg.Topic, c.cfg.DeadLetterTopic)
	in, letters := limits[c.cfg.Topic], limits[c.cfg.DeadLetterTopic]
	if err != nil || in == 0 || letters == 0 {
		c.log.Info("topic configs are not known; sizes are not compared", "cause", err)
		return nil
	}
	c.maxLetter.Store(int64(letters))
	if letters < in {
		return &TopicError{Topic: c.cfg.DeadLetterTopic, Err: fmt.Errorf("it takes batches of at most %d bytes, %q of %d", letters, c.cfg.Topic, in),
			Hint: fmt.Sprintf("a large dead letter would be written without its value; set its max.message.bytes to %d or more", in+2*maxErrorText)}
	}
	return nil
}

// Run consumes until ctx ends. Then the handler calls that are under way are waited for, what they have done is
// committed, and Run returns nil. On a fatal error what is under way is cancelled, nothing more is committed, and the
// error is returned: *HandlerError, *DeadLetterError, *MissingKeyError, *FencedError, *GroupError, *ScopeError, *TopicError, *OffsetError, or the
// engine's. The next start goes on at the last commit. It may be called once.
//
// Run, like a rebalance, waits for the handler to return, however long that takes: a handler must return when its context ends.
func (c *Consumer) Run(ctx context.Context) error {
	return c.run(ctx, func(context.Context) {
		if n := c.maxLetter.Load(); n > 0 { // the client refuses by itself what is larger than its largest batch
			c.member.cfg.Client = append([]kgo.Opt{kgo.ProducerBatchMaxBytes(int32(min(n, maxLetterBytes)))}, c.member.cfg.Client...)
		}
	})
}

// joining implements role.
func (c *Consumer) joining(*kgo.Client) {}

// leaving implements role.
func (c *Consumer) leaving() {}

// share implements role: a consumer holds nothing beyond its queues.
func (c *Consumer) share(int64) {}

// restoreAll implements role: the start of each partition is known, and only has to be claimed.
func (c *Consumer) restoreAll(as []*assignment) {
	for _, a := range as {
		c.log.Info("resume", "topic", c.cfg.Topic, "partition", a.part, "start", a.resume.start, "group", a.group.offset,
			"store", a.resume.state, "operator", a.plan.obeyed)
	}
	c.retryRestore(as, func(ctx context.Context, as []*assignment, _ int) ([]*assignment, error) { return c.claim(ctx, as) })
}

// newTask implements role.
func (c *Consumer) newTask(a *assignment) task {
	h := &handling{assignment: a, c: c, held: -1}
	// What the caller's context carries reaches the handler; its end does not: a stop lets the handler finish.
	h.ctx, h.cancel = context.WithCancel(context.WithoutCancel(c.stop))
	return h
}

// gone implements role.
func (c *Consumer) gone(a *assignment) {
	a.task.(*handling).count.addTo(&c.totals)
	a.task.abandon() // the goroutine has returned; its context is of no use any more
}
