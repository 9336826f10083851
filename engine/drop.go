package engine

import (
	"context"
	"fmt"

	"github.com/cockroachdb/errors/oserror"

	"noecho/internal/index"
)

// Drop removes all state of a partition, at once and for good. The partition must not be claimed; one that is not known
// is no error.
func (e *Engine) Drop(topic string, partition int32) error {
	if err := e.healthy(); err != nil {
		return err
	}
	e.keeperMu.Lock()
	defer e.keeperMu.Unlock()
	e.mu.Lock()
	s := e.parts[partitionName{topic, partition}]
	e.mu.Unlock()
	if s == nil {
		return nil
	}
	s.mu.Lock()
	if s.claimed {
		s.mu.Unlock()
		return fmt.Errorf("%w (%s/%d)", ErrClaimed, topic, partition)
	}
	s.claimed = true // nobody else may from here on
	s.mu.Unlock()
	s.stopRebuild()
	// The state first, with a note that the marks must follow: the next open goes on where a crash comes between.
	metas := []index.Meta{{Key: droppedKey(s.id)}, {Key: logIDKey(s.id), Delete: true}, {Key: partitionKey(s.id), Delete: true}}
	if err := e.index.Ingest(context.Background(), nil, metas); err != nil {
		return e.fail(err)
	}
	if err := e.dropMarks(s.id); err != nil {
		return e.fail(err)
	}
	e.mu.Lock()
	delete(e.parts, partitionName{topic, partition})
	delete(e.byID, s.id)
	list := make([]*shard, 0, len(e.list))
	for _, x := range e.list {
		if x != s {
			list = append(list, x)
		}
	}
	e.list = list
	e.sizeTables(len(list))
	e.mu.Unlock()
	s.mu.Lock()
	s.discard()
	s.mu.Unlock()
	s.stopGather()
	s.stopKeep()
	e.wakeRoom()
	if err := e.sweepPlanesOf(s.id); err != nil {
		e.logger.Warn("files of the filter of a dropped partition are left until the next start", "topic", topic, "partition", partition, "err", err)
	}
	e.wake() // there is room now: OnFull=Fail may let records in again
	return nil
}

// dropMarks removes the marks of a partition whose state is gone, then the note of it, then its saved filter.
func (e *Engine) dropMarks(id uint32) error {
	ctx := context.Background()
	if err := e.index.DropPartition(ctx, id); err != nil {
		return err
	}
	if err := e.index.Ingest(ctx, nil, []index.Meta{{Key: droppedKey(id), Delete: true}}); err != nil {
		return err
	}
	err := e.opt.FS.Remove(e.opt.FS.PathJoin(e.dir, filterDir, filterName(id)))
	if err != nil && !oserror.IsNotExist(err) {
		return err
	}
	return nil
}

// discard gives back all memory of a shard that is not in the engine's maps any more. Called with mu held.
func (s *shard) discard() {
	for i := range s.buckets {
		s.empties(&s.buckets[i])
	}
	for _, t := range s.dead {
		t.release()
	}
	for _, t := range s.unsealed {
		s.e.unsealed.Add(-t.bytes())
		t.dropTrail(s.e.trails)
		t.release()
	}
	if s.active != nil {
		s.active.dropTrail(s.e.trails)
		s.active.release()
	}
	s.buckets, s.unsealed, s.dead, s.active, s.filter = nil, nil, nil, nil, nil
}
