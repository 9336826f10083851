package engine

import (
	"context"

	"noecho/internal/index"
)

// LogID tells a log from another of the same topic and partition: of a topic that was deleted and made again, offsets mean
// other records, and a state that goes by them would skip some and drop others without a word. The engine only keeps it; what
// it is, and what to do where it is another, is the caller's. Zero: not known.
type LogID [16]byte

// LogID returns what SetLogID was given, in this life of the store or an earlier one; zero: nothing yet.
func (p *Partition) LogID() LogID {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	return p.s.logID
}

// SetLogID notes which log the partition's offsets are of, and returns when that is on stable storage. To set what is set already costs nothing.
//
// It has a key of its own in the index, and is not part of the partition's state: that one is as of the frames that the index
// holds, and can only be written down together with the marks of a seal.
func (p *Partition) SetLogID(id LogID) error {
	s := p.s
	if err := s.e.healthy(); err != nil {
		return err
	}
	s.mu.Lock()
	closed, same := p.closed, s.logID == id
	s.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case same:
		return nil
	}
	s.e.keeperMu.Lock() // before the shard's; a partition that is claimed is not dropped meanwhile
	defer s.e.keeperMu.Unlock()
	meta := index.Meta{Key: logIDKey(s.id), Value: id[:], Delete: id == LogID{}}
	if err := s.e.index.Ingest(context.Background(), nil, []index.Meta{meta}); err != nil {
		return s.e.fail(err)
	}
	s.mu.Lock()
	s.logID = id
	s.mu.Unlock()
	return nil
}
