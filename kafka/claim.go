package kafka

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const restoreRetryPause = 200 * time.Millisecond // between two tries whose cause of failure may pass

// retryRestore carries out step on newly assigned partitions, which lets them run, each as soon as it can. It tries
// again with those that step returns, whose cause of failure may pass, and gives up when the member stops; partitions that go
// meanwhile are left out.
func (m *member) retryRestore(as []*assignment, step func(ctx context.Context, as []*assignment, try int) (left []*assignment, cause error)) {
	for try := 0; m.stop.Err() == nil; try++ {
		as = slices.DeleteFunc(as, (*assignment).isKilled)
		if len(as) == 0 {
			return
		}
		left, err := step(m.stop, as, try)
		if m.stop.Err() != nil {
			return
		}
		if final(err) {
			m.fail(err)
			return
		}
		if as = left; len(left) == 0 {
			return
		}
		m.warnAgain(try, "restore: trying again", len(left), err)
		select {
		case <-time.After(restoreRetryPause):
		case <-m.stop.Done():
		}
	}
}

// claim commits the starts of the partitions whose plan asks for it, and lets those go on, to learn and then to run, that need
// none or whose claim Kafka has acknowledged; it returns the others. Nothing may be produced before: see decide.
func (m *member) claim(ctx context.Context, as []*assignment) (left []*assignment, err error) {
	m.commitMu.Lock()
	defer m.commitMu.Unlock()
	at := make(map[int32]position)
	var claimed, ready []*assignment
	for _, a := range as {
		switch {
		case a.isKilled():
		case a.plan.claim:
			at[a.part] = a.stand()
			claimed = append(claimed, a)
		default:
			ready = append(ready, a)
		}
	}
	if len(claimed) > 0 {
		ctx, cancel := context.WithTimeout(ctx, m.cfg.RebalanceTimeout/4)
		defer cancel()
		m.mu.Lock()
		m.mu.cancelTick = cancel
		m.mu.Unlock()
		err = m.commitOffsets(ctx, claimed, at, false)
	}
	for _, a := range claimed {
		if a.last == at[a.part] {
			ready = append(ready, a)
			continue
		}
		left = append(left, a)
		err = worse(err, fmt.Errorf("kafka: %s/%d: the claim of offset %d was not acknowledged", m.cfg.Input, a.part, at[a.part].next))
	}
	for _, a := range ready {
		close(a.claimed)
	}
	return left, err
}
