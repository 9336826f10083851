package engine

import "runtime"

// Turns at a shard's lock. Check is the one with a deadline; the planter, the keeper and the commits have time.
//
// The naive way is the mutex alone. It is fair in a way that costs milliseconds: who has waited for one gets the lock handed over at
// the next Unlock, together with the processor (goyield in sync.runtime_Semrelease): the goroutine that was deciding records is put
// back in the queue, behind one that may go on for 10 ms. And a Check that finds the lock taken goes to sleep, though the piece of
// work that holds it takes 20 us. So nobody sleeps here unless it takes long: the background tries, and lets others run between two
// tries; a Check tries and keeps its processor. A Check that has just given back the lock leaves a gap where the background wants it.

const (
	backgroundTries = 4000 // of a fraction of a microsecond each, and more where others want the processor
	checkTries      = 4000 // some 20 us
	gapTries        = 1000 // some us
)

// lockCheck locks the shard for a Check.
func (s *shard) lockCheck() {
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	for range checkTries {
		if s.mu.TryLock() {
			return
		}
	}
	s.mu.Lock()
}

// unlockCheck gives the lock back, and the background the chance to take it.
func (s *shard) unlockCheck() {
	s.mu.Unlock()
	for i := 0; i < gapTries && s.wanted.Load() > 0; i++ {
	}
}

// lockAfterChecks locks the shard for work that has time: Checks that wait go first.
func (s *shard) lockAfterChecks() {
	s.wanted.Add(1)
	defer s.wanted.Add(-1)
	for range backgroundTries {
		if s.waiting.Load() == 0 && s.mu.TryLock() {
			return
		}
		runtime.Gosched()
	}
	s.mu.Lock()
}
