package engine

import (
	"time"

	"noecho/bloom"
	"noecho/internal/index"
	"noecho/wal"
)

// Metrics is a snapshot of an engine. Counters start at Open.
type Metrics struct {
	Partitions  []PartitionMetrics
	WAL         wal.Metrics
	Index       index.Metrics
	Keys        int64  // marks in the live buckets of all partitions
	TableBytes  int64  // memory of all tables
	FilterBytes int64  // memory of all filters
	Unsealed    int64  // bytes of tables that wait for the disk
	Seals       uint64 // writes into the index
	SealedMarks uint64
	Shrunk      uint64 // buckets dropped early because of MaxKeys or MaxBytes
	Full        bool   // nothing is taken in (OnFull=Fail)
	Poisoned    error  // nil while the store is sound
}

// PartitionMetrics is the state of one partition.
type PartitionMetrics struct {
	Topic           string
	Partition       int32
	LogID           LogID // zero: not known
	Claimed         bool
	Start, To       int64 // coverage [Start, To); both 0 when empty
	Committed       int64 // -1: never
	StreamTime      int64 // milliseconds
	Keys            uint64
	Buckets         []BucketMetrics
	EffectiveWindow time.Duration // below Options.Window when the bounds shrank it
	FilterBytes     int64
	SecondBytes     int64 // of the second opinions on buckets that are not merged yet (bloom.Second)
	Rebuilding      bool  // the filter is being rebuilt: answers are exact, lookups slow
	Rereading       bool  // that, or the second opinion on the current bucket is being read from the index: lookups in that take longer

	Unique, Redelivery, Duplicate uint64
	FalsePositives                uint64 // the filter said maybe, and there was no mark
	IndexLookups                  uint64
	LookupsAhead                  uint64 // done side by side before those, because lookups are slow
	TrailHits, TrailBlocks        uint64 // marks found in the trail, without a lookup each; blocks read for that
	ClockLead                     uint64 // timestamps too far ahead, treated as missing
}

// BucketMetrics is one live bucket of time.
type BucketMetrics struct {
	Number  int64 // floor(stream time / bucket width)
	StartMs int64 // milliseconds since the epoch, by the records' timestamps
	First   int64 // first offset taken in while it was current
	Keys    uint64
}

// Metrics takes a snapshot. It waits for the batches in flight, partition by partition, so poll it, some seconds apart.
func (e *Engine) Metrics() Metrics {
	m := Metrics{
		Keys: e.keys.Load(), TableBytes: e.tableBytes(), Unsealed: e.unsealed.Load(),
		Seals: e.seals.Load(), SealedMarks: e.sealedMarks.Load(), Shrunk: e.shrunk.Load(), Full: e.full.Load(),
		WAL: e.log.Metrics(), Index: e.index.Metrics(),
	}
	if p := e.poison.Load(); p != nil {
		m.Poisoned = p
	}
	for _, s := range e.shards() {
		p := s.metrics()
		m.FilterBytes += p.FilterBytes + p.SecondBytes
		m.Partitions = append(m.Partitions, p)
	}
	return m
}

// Metrics of this partition alone.
func (p *Partition) Metrics() PartitionMetrics { return p.s.metrics() }

func (s *shard) metrics() PartitionMetrics {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := PartitionMetrics{
		Topic: s.topic, Partition: s.partition, LogID: s.logID, Claimed: s.claimed,
		Committed: s.committed, StreamTime: s.streamTime, EffectiveWindow: s.effectiveWindow(), Rebuilding: s.maybe != 0, Rereading: s.rebuild != nil || s.rebuilt != nil,
		Unique: s.counts.unique, Redelivery: s.counts.redelivery, Duplicate: s.counts.duplicate,
		FalsePositives: s.counts.falsePositives, IndexLookups: s.counts.indexLookups, LookupsAhead: s.counts.lookupsAhead,
		TrailHits: s.counts.trailHits, TrailBlocks: s.counts.trailBlocks, ClockLead: s.counts.clockLead,
	}
	if !s.empty {
		m.Start, m.To = s.start, s.to
	}
	if s.filter != nil {
		m.FilterBytes = s.filter.Bytes()
	}
	for i := range s.buckets {
		b := &s.buckets[i]
		m.Keys += b.keys
		for _, second := range []*bloom.Second{b.second, b.later} {
			if second != nil {
				m.SecondBytes += second.Bytes()
			}
		}
		m.Buckets = append(m.Buckets, BucketMetrics{Number: b.num, StartMs: b.num * s.e.delta, First: b.first, Keys: b.keys})
	}
	return m
}
