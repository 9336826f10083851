package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"noecho/engine"
	"noecho/kafka"
)

// Collector turns snapshots of the engine and the relay into metrics. Its fields are set once, before it is registered.
type Collector struct {
	Input, Output string
	Duplicates    string // their topic; "": they have none
	Changelog     string // likewise
	Window        time.Duration
	Engine        func() engine.Metrics
	Relay         func() kafka.Stats
}

var states = []kafka.State{kafka.StateRestoring, kafka.StateRunning, kafka.StateDraining}

// Describe sends the descriptions of all metrics.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range families {
		ch <- f.desc
	}
}

// Collect takes one snapshot and sends it.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	put := func(f family, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(f.desc, f.kind, v, labels...)
	}
	m, r := c.Engine(), c.Relay()
	put(windowSet, c.Window.Seconds())
	for i := range m.Partitions {
		putPartition(put, &m.Partitions[i])
	}
	for i := range r.Partitions {
		putAssigned(put, c.Input, &r.Partitions[i])
	}
	c.putRelay(put, &r)
	putStore(put, &m)
}

type putFunc func(f family, v float64, labels ...string)

// putPartition shows what the store knows of a partition. The window only counts where this process is at work: the
// state of a partition that another member has now is old.
func putPartition(put putFunc, p *engine.PartitionMetrics) {
	topic, part := p.Topic, strconv.Itoa(int(p.Partition))
	if p.Claimed {
		put(windowEffective, p.EffectiveWindow.Seconds(), topic, part)
	}
	put(keys, float64(p.Keys), topic, part)
	put(buckets, float64(len(p.Buckets)), topic, part)
	put(clockLead, float64(p.ClockLead), topic, part)
	put(falsePositives, float64(p.FalsePositives), topic, part)
	put(indexLookups, float64(p.IndexLookups), topic, part)
	put(lookupsAhead, float64(p.LookupsAhead), topic, part)
	put(trailHits, float64(p.TrailHits), topic, part)
	put(rebuilding, oneIf(p.Rebuilding), topic, part)
}

// putAssigned shows the relay's work on a partition.
func putAssigned(put putFunc, topic string, p *kafka.PartitionStats) {
	part := strconv.Itoa(int(p.Partition))
	for _, s := range states {
		put(state, oneIf(p.State == s), topic, part, s.String())
	}
	put(paused, oneIf(p.Paused), topic, part)
	put(queued, float64(p.Queued), topic, part)
	put(queuedB, float64(p.QueuedBytes), topic, part)
	put(restoreLeft, float64(p.LearnTarget-p.LearnAt), topic, part)
	if p.State == kafka.StateRestoring && !p.Passing {
		return // where to go on is not known yet
	}
	put(next, float64(p.Next), topic, part)
	if p.Committed >= 0 {
		put(committed, float64(p.Committed), topic, part)
	}
	if p.Lag >= 0 {
		put(lag, float64(p.Lag), topic, part)
	}
}

func (c *Collector) putRelay(put putFunc, r *kafka.Stats) {
	for _, n := range []struct {
		result string
		value  uint64
	}{
		{"unique", r.Totals.Unique}, {"redelivery", r.Totals.Redelivery}, {"duplicate", r.Totals.Duplicate},
		{"no_key", r.Totals.NoKey}, {"bypassed", r.Totals.Bypassed}, {"unjudged", r.Totals.Unjudged},
	} {
		put(records, float64(n.value), c.Input, n.result)
	}
	put(restored, float64(r.Learned), c.Input)
	put(stateMissing, float64(r.Missing.None), c.Input, "none")
	put(stateMissing, float64(r.Missing.Behind), c.Input, "behind")
	put(stateMissing, float64(r.Missing.Retention), c.Input, "retention")
	put(stateMissing, float64(r.Missing.Bounded), c.Input, "bounded")
	put(retentionPassed, float64(r.Missing.Removed), c.Input)
	put(leaseHeld, oneIf(r.LeaseHeld), c.Input)
	put(added, float64(r.Added), c.Input)
	for _, m := range kafka.Modes() {
		put(mode, oneIf(r.Mode == m), c.Input, string(m))
	}
	put(tagged, float64(r.Totals.Tagged), c.Output)
	if c.Duplicates != "" {
		put(evidence, float64(r.Totals.DuplicatesProduced), c.Duplicates)
	}
	c.putChangelog(put, r)
	put(alreadyThere, float64(r.Totals.AlreadyThere), c.Output)
	put(produced, float64(r.Totals.Produced), c.Output)
	put(producedB, float64(r.Totals.ProducedBytes), c.Output)
	put(retries, float64(r.ProduceRetries))
	put(pauses, float64(r.Pauses))
	put(commits, float64(r.Commits))
	put(commitFails, float64(r.CommitFailures))
}

// putChangelog shows what is written to the changelog and read from it, where there is one.
func (c *Collector) putChangelog(put putFunc, r *kafka.Stats) {
	if c.Changelog == "" {
		return
	}
	put(logRecords, float64(r.Changelog.Records), c.Changelog)
	put(logBytes, float64(r.Changelog.Bytes), c.Changelog)
	put(logMarks, float64(r.Changelog.Marks), c.Changelog)
	put(logFailures, float64(r.Changelog.Failures), c.Changelog)
	put(logRestored, float64(r.Changelog.Restored), c.Changelog)
	put(logPassed, float64(r.Changelog.Passed), c.Changelog)
	for _, s := range r.Standby {
		put(standbyLag, float64(s.Lag), c.Changelog, strconv.Itoa(int(s.Partition)))
	}
}

func putStore(put putFunc, m *engine.Metrics) {
	put(windowShrunk, float64(m.Shrunk))
	put(memory, float64(m.TableBytes), "tables")
	put(memory, float64(m.FilterBytes), "filters")
	put(memory, float64(m.Index.CacheBytes), "cache")
	put(disk, float64(m.Index.DiskBytes), "index")
	put(disk, float64(m.WAL.Bytes), "wal")
	put(unsealed, float64(m.Unsealed))
	put(seals, float64(m.Seals))
	put(sealedMarks, float64(m.SealedMarks))
	put(fsyncs, float64(m.WAL.Syncs))
	put(frames, float64(m.WAL.SyncedFrames))
	put(walBytes, float64(m.WAL.Appended))
	put(l0, float64(m.Index.L0Sublevels))
	put(readAmp, float64(m.Index.ReadAmp))
	put(debt, float64(m.Index.CompactionDebt))
	put(compactions, float64(m.Index.Compactions))
	put(cacheHits, float64(m.Index.CacheHits))
	put(cacheMisses, float64(m.Index.CacheMisses))
	put(background, float64(m.Index.BackgroundErrors))
	put(full, oneIf(m.Full))
	put(poisoned, oneIf(m.Poisoned != nil))
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
