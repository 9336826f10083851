package main

import (
	"os/exec"
	"path/filepath"

	"noecho/bench/internal/relays"
)

// where is what a relay's command line needs.
type where struct {
	bench         *relays.Bench
	output, group string
	linger        string
}

// rival is a relay that is measured.
type rival struct {
	name    string
	slow    bool // so slow that a part of the records is enough
	drops   bool // copies
	markers bool // in the output
	skip    string
	command func(w where) *exec.Cmd
}

// setup is what all rivals are started with.
type setup struct {
	dir       string // theirs, for stores
	noecho    string // binary
	classpath string // of the Streams deduplicator; empty: skipNote says why
	noStreams string
	redis     string // address of the server; empty: noRedis says why
	noRedis   string
}

func (s *setup) rivals() []rival {
	bare := func(filter string) func(w where) *exec.Cmd {
		return func(w where) *exec.Cmd {
			return exec.Command(w.bench.Self, relays.BareRole, w.bench.Brokers, w.bench.Topic, w.output, w.group, filter, w.linger)
		}
	}
	txn := func(interval string) func(w where) *exec.Cmd {
		return func(w where) *exec.Cmd {
			return exec.Command(w.bench.Self, "txn-relay", w.bench.Brokers, w.bench.Topic, w.output, w.group, interval, w.linger)
		}
	}
	return []rival{
		{name: "bare", command: bare("none")},
		{name: "noecho", drops: true, command: s.runNoecho},
		{name: "txn-100ms", markers: true, command: txn("100ms")},
		{name: "txn-1s", markers: true, command: txn("1s")},
		{name: "redis-single", drops: true, slow: true, skip: s.noRedis, command: bare("redis:" + s.redis)},
		{name: "redis-pipe", drops: true, skip: s.noRedis, command: bare("redis-pipe:" + s.redis)},
		{name: "streams-alo", drops: true, slow: true, skip: s.noStreams, command: s.streams("at_least_once")},
		{name: "streams-eos", drops: true, slow: true, markers: true, skip: s.noStreams, command: s.streams("exactly_once_v2")},
	}
}

// runNoecho has a data directory of its own each time: every run starts with an empty window.
func (s *setup) runNoecho(w where) *exec.Cmd {
	return exec.Command(s.noecho, "run", "--brokers", w.bench.Brokers, "--input", w.bench.Topic, "--output", w.output, "--group", w.group,
		"--key", "key", "--data-dir", filepath.Join(s.dir, w.output), "--window", "24h", "--metrics-addr", "off", "--log-level", "warn")
}

func (s *setup) streams(guarantee string) func(w where) *exec.Cmd {
	return func(w where) *exec.Cmd {
		millis := linger(w.linger).Milliseconds()
		return exec.Command("java", "-Xmx1g", "-cp", s.classpath, "Dedup", w.bench.Brokers, w.bench.Topic, w.output, w.group, guarantee,
			filepath.Join(s.dir, w.output), itoa(millis))
	}
}
