package index

// Metrics is a snapshot of the state of the index. Counters start at Open.
type Metrics struct {
	DiskBytes         uint64 // all files of the store
	Tables            int64  // live tables
	TableBytes        uint64 // of live tables
	VirtualTables     int64  // tables that are a part of a file; the rest of it is dead
	ObsoleteBytes     uint64 // of dead tables not unlinked yet, or held by readers
	L0Files           int64
	L0Sublevels       int
	ReadAmp           int // runs a lookup may have to look at
	Compactions       int64
	CompactionsActive int64
	CompactionDebt    uint64 // bytes to compact until the shape is steady; estimate
	CacheBytes        int64
	CacheHits         int64
	CacheMisses       int64
	BackgroundErrors  uint64 // failed compactions and the like, tried again
}

// Metrics returns the zero value when the index is closed or has failed. It
// takes Pebble's central lock for a moment: poll it, don't call it for each
// batch.
func (x *Index) Metrics() Metrics {
	if x.enter() != nil {
		return Metrics{}
	}
	defer x.leave()
	m, _ := x.metrics() // zero on an error, which the next call that matters returns
	return m
}

func (x *Index) metrics() (Metrics, error) {
	result := make(chan Metrics, 1)
	err := x.call(func() error {
		p := x.db.Metrics()
		total := p.Total()
		m := Metrics{
			DiskBytes:         p.DiskSpaceUsage(),
			Tables:            total.TablesCount,
			TableBytes:        uint64(total.TablesSize),
			VirtualTables:     int64(total.VirtualTablesCount),
			ObsoleteBytes:     p.Table.ObsoleteSize + p.Table.ZombieSize,
			L0Files:           p.Levels[0].TablesCount,
			L0Sublevels:       int(p.Levels[0].Sublevels),
			ReadAmp:           p.ReadAmp(),
			Compactions:       p.Compact.Count,
			CompactionsActive: p.Compact.NumInProgress,
			CompactionDebt:    p.Compact.EstimatedDebt,
			CacheBytes:        p.BlockCache.Size,
			CacheHits:         p.BlockCache.Hits,
			CacheMisses:       p.BlockCache.Misses,
			BackgroundErrors:  x.backgroundErrors.Load(),
		}
		result <- m
		return nil
	})
	if err != nil {
		return Metrics{}, err
	}
	return <-result, nil
}
