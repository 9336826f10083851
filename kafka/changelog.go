package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The changelog is a topic beside the input, same partition numbers, that holds what each commit took in: hashes and offsets, and
// no payloads. A store that lacks a stretch of the input takes it from there.
//
//	changelog acknowledged -> engine.Commit (fsync) -> offset commit
//
// The naive order writes the changelog after the engine's commit. A crash between the two leaves a stretch that no member will
// ever tell: the next start goes on at what the store has committed, so these records are not asked for again. In our order a
// crash repeats the stretch, and a record that tells again what is told already is passed over.
//
// The records need no order among writers, and no fencing: each says which offsets it covers, and who restores takes them in by the
// rule, which does not mind hearing the same twice. So they are sent without idempotence: an attempt that is given up then
// holds nothing back.

const (
	packBytes      = 256 << 10 // of a record at the most
	smallestPack   = 8 << 10
	changelogPause = 10 * time.Second // for which a commit waits for the changelog at the most
)

// changelog is a member's side of the topic.
type changelog struct {
	topic string

	// Immutable while run runs.
	cl     *kgo.Client
	tail   *tailReader
	hashID uint64

	limit atomic.Int64 // bytes of a record; lowered where the topic refuses them

	records, bytes, marks, failures, restored, passed atomic.Uint64
}

// ChangelogStats are counters of what is written to and read from the changelog. All zero where there is none.
type ChangelogStats struct {
	Records, Bytes uint64 // acknowledged by the changelog
	Marks          uint64 // in them: hashes of records that were taken in
	Pending        int64  // marks that were taken in and are not acknowledged by it, now
	Failures       uint64 // attempts that failed; the next commit tries again, and no offset is committed before
	Restored       uint64 // marks taken in from it
	Passed         uint64 // its records that could not be used: damaged, of another hash or topic, or behind a hole
}

// openChangelog makes the client; nothing happens where there is no changelog.
func (m *member) openChangelog() error {
	if m.cfg.ChangelogTopic == "" || m.stateless.Load() {
		return nil
	}
	cl, err := kgo.NewClient(append(append([]kgo.Opt(nil), m.cfg.Client...),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.UnknownTopicRetries(-1))...)
	if err != nil {
		return &ConfigError{Problems: []string{"client: " + err.Error()}}
	}
	c := &changelog{topic: m.cfg.ChangelogTopic, cl: cl}
	c.hashID, _ = m.store.HashID()
	c.tail = &tailReader{cl: cl, top: &topology{cl: cl, topic: c.topic}, decompress: kgo.DefaultDecompressor()}
	c.limit.Store(packBytes)
	m.changelog.Store(c)
	return nil
}

// closeChangelog is called when no assignment is left.
func (m *member) closeChangelog() {
	if c := m.changelog.Load(); c != nil {
		c.cl.Close()
	}
}

// changelogStats returns a snapshot.
func (m *member) changelogStats() ChangelogStats {
	c := m.changelog.Load()
	if c == nil {
		return ChangelogStats{}
	}
	s := ChangelogStats{Records: c.records.Load(), Bytes: c.bytes.Load(), Marks: c.marks.Load(), Failures: c.failures.Load(),
		Restored: c.restored.Load(), Passed: c.passed.Load()}
	for _, a := range m.assignments() {
		s.Pending += a.changes.pending()
	}
	return s
}

// writing is what one commit has to tell of a partition.
type writing struct {
	a      *assignment
	pack   pack
	breaks uint64
	ours   []*kgo.Record
	marks  int
}

// commitChanges has the changelog take what lies below the positions, and returns the assignments of which it has. The others are
// tried again with the next commit. Only what cannot pass is returned. Called with commitMu held.
func (m *member) commitChanges(ctx context.Context, as []*assignment, at map[int32]position) ([]*assignment, error) {
	c := m.changelog.Load()
	if c == nil || m.bypass.Load() {
		return as, nil
	}
	var todo []*writing
	var all []*kgo.Record
	for _, a := range as {
		if w := m.pack(c, a, at[a.part].next); w != nil {
			todo = append(todo, w)
			all = append(all, w.ours...)
		}
	}
	if len(todo) == 0 {
		return as, nil
	}
	failed := c.send(ctx, min(changelogPause, m.cfg.RebalanceTimeout/8), all)
	done := as[:0]
	for _, a := range as {
		err := failed[a.part]
		if err == nil {
			done = append(done, a)
			continue
		}
		c.failures.Add(1)
		delete(at, a.part)
		if ctx.Err() != nil {
			continue
		}
		if err := c.refused(a.part, err); err != nil {
			return nil, err
		}
		m.log.Warn("the changelog does not take marks: no offset is committed before it does", "topic", c.topic, "partition", a.part, "cause", err)
	}
	for _, w := range todo {
		if failed[w.a.part] == nil {
			w.a.changes.trim(&w.pack, w.breaks)
			c.marks.Add(uint64(w.marks))
		}
	}
	return done, nil
}

// pack encodes what is to be told before an offset is committed; nil: nothing.
func (m *member) pack(c *changelog, a *assignment, next int64) *writing {
	p, breaks, ok := a.changes.below(next)
	if !ok {
		return nil
	}
	p.hashID, p.topic, p.input, p.group, p.part = c.hashID, m.input.topicID(), m.cfg.Input, m.cfg.Group, a.part
	w := &writing{a: a, pack: p, breaks: breaks, marks: len(p.marks)}
	p.eachPart(int(c.limit.Load()), func(part *pack) {
		ms := max(part.before, part.time)
		if part.before == math.MaxInt64 {
			ms = part.time
		}
		w.ours = append(w.ours, &kgo.Record{Topic: c.topic, Partition: a.part, Value: appendPack(nil, part), Timestamp: time.UnixMilli(ms)})
	})
	return w
}

// send returns the partitions of which not all was acknowledged in time, with a cause. It does not wait for a request that is under
// way and is not answered, as the client would: a revocation may be waiting for us. What lands later is told twice.
func (c *changelog) send(ctx context.Context, most time.Duration, all []*kgo.Record) map[int32]error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	answers := make(chan kgo.ProduceResult, len(all))
	left := make(map[int32]int, 1) // records without an answer
	for _, r := range all {
		left[r.Partition]++
	}
	for _, r := range all {
		c.cl.Produce(ctx, r, func(r *kgo.Record, err error) { answers <- kgo.ProduceResult{Record: r, Err: err} })
	}
	failed := make(map[int32]error)
	for range all {
		select {
		case answer := <-answers:
			part := answer.Record.Partition
			if answer.Err != nil {
				failed[part] = worse(failed[part], answer.Err)
				continue
			}
			left[part]--
			c.records.Add(1)
			c.bytes.Add(uint64(len(answer.Record.Value)))
		case <-ctx.Done():
			for part, n := range left {
				if n > 0 {
					failed[part] = worse(failed[part], ctx.Err())
				}
			}
			return failed
		}
	}
	return failed
}

// refused returns the error to stop with where the changelog's refusal cannot pass.
func (c *changelog) refused(part int32, err error) error {
	if errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge) {
		if limit := c.limit.Load(); limit > smallestPack {
			c.limit.Store(limit / 2)
			return nil
		}
		return &ChangelogError{Topic: c.topic, Partition: part, Err: err}
	}
	if permanent(err) {
		return &ChangelogError{Topic: c.topic, Partition: part, Err: err}
	}
	return nil
}

// tellChanges has the changelog take what lies below next, of one assignment. Called with commitMu held.
func (a *assignment) tellChanges(ctx context.Context, next int64) error {
	if a.changes == nil {
		return nil
	}
	done, err := a.m.commitChanges(ctx, []*assignment{a}, map[int32]position{a.part: {next: next}})
	if err == nil && len(done) == 0 {
		err = fmt.Errorf("kafka: changelog of %s/%d: %w", a.m.cfg.Input, a.part, errChangelog)
	}
	return err
}

// errChangelog: it will be tried again.
var errChangelog = errors.New("the changelog did not take the marks")
