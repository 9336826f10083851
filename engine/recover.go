package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"noecho/bloom"
	"noecho/internal/index"
	"noecho/wal"
)

// loadShards reads the state of all partitions from the index.
func (e *Engine) loadShards() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	logs := map[uint32]LogID{}
	err := e.index.EachMeta(func(key, value []byte) error {
		switch {
		case bytes.Equal(key, nextIDKey) && len(value) == 4:
			e.nextID = binary.BigEndian.Uint32(value)
		case len(key) == 5 && key[0] == 'l' && len(value) == len(LogID{}):
			logs[binary.BigEndian.Uint32(key[1:])] = LogID(value)
		case len(key) == 5 && key[0] == 'p':
			s := newShard(e, binary.BigEndian.Uint32(key[1:]), "", 0)
			if err := s.decodeMeta(value); err != nil {
				return err
			}
			s.indexGen = s.gen
			e.addLocked(s)
		case len(key) == 5 && key[0] == 'd':
			e.halfDropped = append(e.halfDropped, binary.BigEndian.Uint32(key[1:]))
		default:
			return &StateError{Where: "index metadata", Reason: fmt.Sprintf("unknown key %q", key)}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("engine: reading the state: %w", err)
	}
	for id, log := range logs {
		if e.byID[id] == nil {
			return &StateError{Where: "index metadata", Reason: fmt.Sprintf("a log's id for partition id %d, which is not there", id)}
		}
		e.byID[id].logID = log
	}
	slices.SortFunc(e.list, func(a, b *shard) int { return compare(uint64(a.id), uint64(b.id)) })
	for _, s := range e.list {
		for i := range s.buckets {
			e.keys.Add(int64(s.buckets[i].keys))
		}
		if s.id >= e.nextID {
			return &StateError{Where: "index metadata", Reason: fmt.Sprintf("partition id %d was never given out", s.id)}
		}
	}
	return nil
}

// recover opens the log and replays what the index does not hold yet. Replaying is idempotent: a frame that is applied
// again writes the same marks.
func (e *Engine) recover() error {
	for _, s := range e.list {
		s.replaying = true
	}
	fs := e.opt.FS
	log, err := wal.Open(fs.PathJoin(e.dir, walDir), wal.Options{
		FS: fs, SegmentBytes: e.opt.SegmentBytes, Logger: e.logger, OnSync: e.opt.Events.Fsync,
	}, e.replay)
	if err != nil {
		return fmt.Errorf("engine: opening the log: %w", err)
	}
	e.log = log
	for _, s := range e.list {
		s.replaying = false
		s.durable = s.committed
		if err := s.trimIndex(); err != nil {
			return err
		}
		s.expire()
	}
	for _, id := range e.halfDropped {
		if err := e.dropMarks(id); err != nil {
			return fmt.Errorf("engine: finishing the drop of a partition: %w", err)
		}
	}
	e.halfDropped = nil
	return nil
}

// trimIndex notes what the index holds below the oldest live bucket: an excise that a crash forestalled. It is looked for
// by one seek, because an excise writes to the disk and a thousand partitions would each do so at every start.
func (s *shard) trimIndex() error {
	low := uint64(0)
	if len(s.buckets) > 0 {
		low = uint64(s.buckets[0].num)
	}
	found := errors.New("found")
	err := s.e.index.Scan(context.Background(), s.id, 0, low, func(uint64, index.Entry) error { return found })
	switch {
	case errors.Is(err, found):
		s.drops = append(s.drops, dropRange{to: int64(low)})
		return nil
	case err != nil:
		return fmt.Errorf("engine: looking for dead buckets: %w", err)
	}
	return nil
}

// replay applies one frame of the log.
func (e *Engine) replay(pos wal.Position, payload []byte) error {
	f, err := wal.Decode(payload)
	if err != nil {
		return err
	}
	s := e.byID[f.Partition]
	if s == nil && f.Partition >= e.nextID {
		// Dropped partitions had an id below. Going on would look like a new store, and forget the window without a word.
		return &StateError{Where: fmt.Sprintf("log at %v", pos),
			Reason: fmt.Sprintf("partition id %d, which the index never gave out: the index is not the one this log belongs to", f.Partition)}
	}
	if s == nil || f.Seq < s.seq {
		return nil // dropped, or in the index already
	}
	err = s.apply(pos, &f, (*replayer)(s))
	s.countFresh()
	if err != nil {
		return err
	}
	if len(s.notes) >= maxForgets {
		if err := s.freeze(); err != nil {
			return err
		}
	}
	// Long logs fill more tables than memory should hold.
	for e.unsealed.Load() > e.memory.Load()/2 {
		if _, err := e.seal(context.Background()); err != nil {
			return err
		}
		e.evict()
	}
	return nil
}

// apply moves the shard's state over one frame, whose parts go to v.
func (s *shard) apply(pos wal.Position, f *wal.Frame, v wal.Visitor) error {
	if f.Seq > s.seq {
		return &StateError{Where: fmt.Sprintf("log at %v", pos),
			Reason: fmt.Sprintf("%s/%d: frame %d follows frame %d: frames are missing", s.topic, s.partition, f.Seq, s.seq)}
	}
	if s.firstPos == 0 {
		s.firstPos = pos
	}
	s.replayPos, s.lastPos = pos, pos
	if s.empty && f.From >= 0 {
		s.empty, s.start, s.to = false, f.From, f.From
	}
	if err := f.Visit(v); err != nil {
		return err
	}
	if !s.empty {
		s.to = max(s.to, f.To)
	}
	s.committed = max(s.committed, f.Committed)
	s.streamTime = max(s.streamTime, f.StreamTime)
	s.seq++
	return nil
}

// replayer applies the parts of a frame to a shard. The keeper does not run yet: no lock is needed.
type replayer shard

// Boundary opens a bucket.
func (r *replayer) Boundary(num uint64, first int64) error {
	return (*shard)(r).openBucket(int64(num), first)
}

// Mark stores a mark. Marks go into the current bucket only; one for an older bucket would be of a frame applied again
// after a table of it was sealed, and is in the index.
//
// A frame never holds marks of two buckets, because the end of a bucket freezes its table, and a freeze (or the emptying of a
// bucket) cuts the frame. So a frame that is applied again, over what a recovery before this one sealed of it, meets no newer bucket of its own:
// forgetting and emptying again, and marking again, in the same order, give the same state.
func (r *replayer) Mark(num, hi, lo uint64, offset int64) error {
	s := (*shard)(r)
	if len(s.buckets) == 0 || int64(num) > s.current().num {
		return &StateError{Where: fmt.Sprintf("log at %v", s.replayPos), Reason: fmt.Sprintf("a mark in bucket %d, which was never opened", num)}
	}
	if int64(num) < s.current().num {
		return nil
	}
	return s.remember(bloom.Hash{Hi: hi, Lo: lo}, offset)
}

// Forget hides a mark.
func (r *replayer) Forget(num, hi, lo uint64) error {
	return (*shard)(r).forget(bucketHash{int64(num), bloom.Hash{Hi: hi, Lo: lo}})
}

// Floor drops the buckets below, as was done early in the life before, and what the current one holds when it is below, too.
func (r *replayer) Floor(num uint64) error {
	s := (*shard)(r)
	s.dropBelow(int64(num))
	if len(s.buckets) == 0 || s.current().num >= int64(num) {
		return nil
	}
	s.emptyCurrent()
	// At once: what the log has of this bucket from here on may be sealed before the keeper comes to it.
	return s.e.cutDrops(context.Background())
}

// dropBelow raises the floor and drops what is below, the current bucket excepted.
func (s *shard) dropBelow(num int64) {
	s.floor = max(s.floor, num)
	if len(s.buckets) > 0 {
		s.dropOldest(min(s.lowest(num), len(s.buckets)-1))
	}
}
