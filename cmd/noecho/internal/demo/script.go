package demo

import (
	"fmt"
	"time"
)

// step is something that happens at a moment of the demo, a share of its length.
type step struct {
	at float64
	do func(*show) error
}

// script is the story. The relay dies while a replay is running, so that the batch in flight holds originals and copies
// both; the last replay sends again what was ordered around that moment, so that marks from before the kill must still
// be known after it.
var script = []step{
	{0.20, func(s *show) error { return s.replay(0, 0.10, "an operator replays the first orders of the day") }},
	{0.45, func(s *show) error { return s.replay(0.10, 0.32, "another replay, a longer one") }},
	{0.50, (*show).murder},
	{0.54, (*show).revive},
	{0.70, func(s *show) error { return s.restartShop(0.08) }},
	{0.84, func(s *show) error {
		return s.replay(0.46, 0.58, "once more the orders from around the kill: their marks must have survived it")
	}},
}

// replay sends the orders that were made between two moments again.
func (s *show) replay(from, to float64, why string) error {
	a, b := s.madeAt(from), s.madeAt(to)
	s.event(s.color.echo("echo") + fmt.Sprintf("   %s: %s records", why, count(b-a)))
	s.shop.Replay(a, b)
	return nil
}

// restartShop restarts the producer, which does not know what it had sent and repeats the last moments.
func (s *show) restartShop(share float64) error {
	from := s.madeAt(s.now().Seconds()/s.total.Seconds() - share)
	s.event(s.color.echo("echo") + fmt.Sprintf("   the producer restarts and sends its last %s records again", count(s.shop.Sent().Orders-from)))
	s.shop.Restart(from, min(500*time.Millisecond, s.total/20))
	return nil
}

// murder kills the relay without warning.
func (s *show) murder() error {
	if s.relay.ended() {
		return s.relay.failure("the relay has ended by itself")
	}
	s.relay.kill()
	s.kills++
	s.sampler.watch(nil)
	s.event(s.color.bad("kill") + fmt.Sprintf("   SIGKILL to the relay (pid %d), no warning, in the middle of that replay", s.relay.pid))
	return nil
}

// revive starts the relay again on the same directory.
func (s *show) revive() error {
	if err := s.startRelay(); err != nil {
		return err
	}
	s.event(fmt.Sprintf("relay  started again on the same directory (pid %d)", s.relay.pid))
	return nil
}
