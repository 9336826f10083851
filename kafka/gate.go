package kafka

import (
	"context"
	"time"
)

// The gate of a producer that writes in transactions. At a commit no batch may be under way: the broker would take it into
// the transaction, or into the next, and the offsets would not say which. So the gate is closed, what was sent is waited for
// (and sent again where its fate is not known), and what was not stays in its lane. Without transactions it is never closed.

const gatePause = time.Millisecond // between two looks whether all is answered

// closeGate sends no batch that has not been sent before.
func (p *producer) closeGate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.closed = true
	for _, q := range p.mu.brokers {
		ready := q.ready[:0]
		for _, l := range q.ready {
			if l.sent {
				ready = append(ready, l)
			} else {
				p.mu.held = append(p.mu.held, l)
			}
		}
		clear(q.ready[len(ready):])
		q.ready = ready
	}
}

// openGate sends what was held back.
func (p *producer) openGate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	held := p.mu.held
	p.mu.closed, p.mu.held = false, nil
	for _, l := range held {
		if !l.dead && !p.mu.stopped {
			p.readyLocked(l)
		}
	}
}

// quiet waits until the fate of all that was sent is known.
func (p *producer) quiet(ctx context.Context) bool {
	for {
		p.mu.Lock()
		unknown := p.mu.unknown
		requests := len(p.mu.underway)
		p.mu.Unlock()
		if unknown == 0 && requests == 0 {
			return true
		}
		select {
		case <-time.After(gatePause):
		case <-ctx.Done():
			return false
		}
	}
}

// sentLocked notes that the first batch of l is sent: its fate is not known until it is answered.
func (p *producer) sentLocked(l *lane) {
	if p.txn != nil && !l.sent {
		l.sent = true
		p.mu.unknown++
	}
}

// knownLocked notes that the fate of the first batch of l is known.
func (p *producer) knownLocked(l *lane) {
	if l.sent {
		l.sent = false
		p.mu.unknown--
	}
}
