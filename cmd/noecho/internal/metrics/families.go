package metrics

import "github.com/prometheus/client_golang/prometheus"

// A family is one metric name: its description, and whether it only goes up.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func counter(name, help string, labels ...string) family {
	return family{prometheus.NewDesc("noecho_"+name, help, labels, nil), prometheus.CounterValue}
}

func gauge(name, help string, labels ...string) family {
	return family{prometheus.NewDesc("noecho_"+name, help, labels, nil), prometheus.GaugeValue}
}

// The metrics, in the order of the documentation.
var (
	records = counter("records_total", "Records of the input by what became of them.", "topic", "result")

	mode     = gauge("mode", "1 for what the relay does with its verdicts.", "topic", "mode")
	tagged   = counter("tagged_records_total", "Duplicates passed to the output with evidence in headers.", "topic")
	evidence = counter("duplicates_produced_total", "Records acknowledged by the duplicates' topic.", "topic")

	windowSet       = gauge("window_seconds", "Window that is configured.")
	windowEffective = gauge("window_effective_seconds", "Window that holds; below noecho_window_seconds when a bound shrank it.", "topic", "partition")
	windowShrunk    = counter("window_shrunk_total", "Buckets of time dropped early because of max_keys or max_bytes.")
	keys            = gauge("keys", "Keys remembered.", "topic", "partition")
	buckets         = gauge("buckets", "Live buckets of time.", "topic", "partition")
	clockLead       = counter("clock_lead_total", "Timestamps ignored because they were more than max_clock_lead ahead.", "topic", "partition")

	falsePositives = counter("filter_false_positives_total", "Keys the filter could not rule out that were not there.", "topic", "partition")
	indexLookups   = counter("index_lookups_total", "Lookups in the index on disk.", "topic", "partition")
	lookupsAhead   = counter("index_lookups_ahead_total", "Lookups that were done side by side before a batch was decided, because the disk is slow.", "topic", "partition")
	trailHits      = counter("trail_hits_total", "Old copies found in the trail, without a lookup in the index.", "topic", "partition")
	rebuilding     = gauge("filter_rebuilding", "1 while a filter is rebuilt: answers are exact, lookups slow.", "topic", "partition")

	state     = gauge("partition_state", "1 for the state the assigned partition is in.", "topic", "partition", "state")
	paused    = gauge("partition_paused", "1 while fetching is paused because the output is slower than the input.", "topic", "partition")
	next      = gauge("next_offset", "Everything below is in the output, or dropped.", "topic", "partition")
	committed = gauge("committed_offset", "Offset that Kafka acknowledged last.", "topic", "partition")
	lag       = gauge("lag_records", "Offsets from noecho_next_offset to the end of the input.", "topic", "partition")
	pauses    = counter("pauses_total", "Times a partition's fetching was paused.")
	queued    = gauge("queue_records", "Records that wait for a verdict.", "topic", "partition")
	queuedB   = gauge("queue_bytes", "Bytes of the records that wait for a verdict.", "topic", "partition")

	restored        = counter("restore_records_total", "Records taken in again because the store was missing them.", "topic")
	restoreLeft     = gauge("restore_left_offsets", "Offsets that are still to be learned before the partition runs.", "topic", "partition")
	stateMissing    = counter("state_missing_total", "Partitions that came without the state of what the group has handled.", "topic", "reason")
	retentionPassed = counter("retention_lost_offsets_total", "Offsets that retention removed before they were handled.", "topic")

	logRecords  = counter("changelog_records_total", "Records acknowledged by the changelog.", "topic")
	logBytes    = counter("changelog_bytes_total", "Bytes of the records acknowledged by the changelog.", "topic")
	logMarks    = counter("changelog_marks_total", "Marks in the records acknowledged by the changelog.", "topic")
	logFailures = counter("changelog_failures_total", "Commits of a partition that the changelog did not acknowledge; the next one tries again.", "topic")
	logRestored = counter("changelog_restored_marks_total", "Marks taken in from the changelog, by restores and as a standby.", "topic")
	logPassed   = counter("changelog_passed_records_total", "Records of the changelog that could not be used, or were known already.", "topic")
	standbyLag  = gauge("standby_lag_records", "Records of the changelog that a standby has not taken in yet.", "topic", "partition")

	leaseHeld = gauge("lease_held", "1 while the group's coordinator confirms that this member's partitions are nobody else's.", "topic")
	added     = counter("partitions_added_total", "Partitions added to the input while this process ran, or while the group was away.", "topic")

	alreadyThere = counter("already_in_output_total", "Records found in the output's tail after a restart and not produced again.", "topic")
	produced     = counter("output_records_total", "Records acknowledged by the output.", "topic")
	producedB    = counter("output_bytes_total", "Bytes produced, compressed.", "topic")
	retries      = counter("produce_retries_total", "Batches sent to the output again.")
	commits      = counter("commits_total", "Offset commits.")
	commitFails  = counter("commit_failures_total", "Offset commits that Kafka did not acknowledge; the next one makes good.")

	memory      = gauge("memory_bytes", "Memory held by tables, filters and the index's cache.", "part")
	disk        = gauge("disk_bytes", "Disk space of the log and the index.", "part")
	unsealed    = gauge("unsealed_bytes", "Tables that wait for the disk.")
	seals       = counter("seals_total", "Tables written into the index.")
	sealedMarks = counter("sealed_marks_total", "Marks written into the index.")
	fsyncs      = counter("wal_groups_total", "Groups of frames made durable, one fsync each.")
	frames      = counter("wal_frames_total", "Frames made durable; divided by noecho_wal_groups_total: commits that shared an fsync.")
	walBytes    = counter("wal_written_bytes_total", "Bytes written to the log.")
	l0          = gauge("index_l0_sublevels", "Sublevels of the index's level 0.")
	readAmp     = gauge("index_read_amplification", "Runs that a lookup may have to look at.")
	debt        = gauge("index_compaction_debt_bytes", "Bytes to compact until the index is in shape.")
	compactions = counter("index_compactions_total", "Compactions of the index.")
	cacheHits   = counter("index_cache_hits_total", "Blocks of the index found in memory.")
	cacheMisses = counter("index_cache_misses_total", "Blocks of the index read from disk.")
	background  = counter("index_background_errors_total", "Failed compactions and the like, tried again.")
	full        = gauge("store_full", "1 while nothing is taken in because the store is full (on_full: fail).")
	poisoned    = gauge("store_poisoned", "1 after the store failed: nothing is acknowledged any more, restart after mending the cause.")

	families = []family{
		records, mode, tagged, evidence, windowSet, windowEffective, windowShrunk, keys, buckets, clockLead, falsePositives, indexLookups, lookupsAhead, trailHits, rebuilding,
		state, paused, pauses, next, committed, lag, queued, queuedB, restored, restoreLeft, stateMissing, retentionPassed, logRecords, logBytes, logMarks, logFailures, logRestored, logPassed, standbyLag, leaseHeld, added,
		alreadyThere, produced, producedB, retries, commits, commitFails,
		memory, disk, unsealed, seals, sealedMarks, fsyncs, frames, walBytes, l0, readAmp, debt, compactions, cacheHits,
		cacheMisses, background, full, poisoned,
	}
)
