package index

// Sealing (Ingest writes tables) and merging (Pebble's compactions) each keep a
// processor busy. Both at once leave none of two to those who wait for a Check,
// so they share one: while an Ingest writes, merges wait, with the next part of
// their table in hand.
//
// Why not the other way round: a seal is short, and what it seals is in memory
// until it is done. Why merges cannot starve: a stack that is deeper than
// mergeDepth makes them run beside the seals (behind), and one of twice that
// holds the seals back (WaitL0).

// seal begins the writing of an Ingest's tables; the function returned ends it.
// Only the holder of x.writer.
func (x *Index) seal() (end func()) {
	done := make(chan struct{})
	x.sealing.Store(&done)
	return func() {
		x.sealing.Store(nil)
		close(done)
	}
}

// pace holds a merge back. It runs inside of Pebble, on the goroutine that writes
// a compaction's table, which holds no lock then.
func (x *Index) pace() {
	for !x.behind.Load() {
		done := x.sealing.Load()
		if done == nil {
			return
		}
		select {
		case <-*done:
		case <-x.ctx.Done():
			return
		case <-x.failed:
			return
		}
	}
}
