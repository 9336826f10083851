package main

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"noecho/cmd/noecho/internal/admin"
	"noecho/kafka"
)

// statusTable writes lines of cells under each other.
type statusTable struct {
	w   io.Writer
	tab *tabwriter.Writer
}

func newStatusTable(w io.Writer) *statusTable {
	return &statusTable{w, tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
}

func (t *statusTable) out(format string, args ...any) {
	_, _ = fmt.Fprintf(t.tab, format, args...) // Flush returns the error
}

// writeStatus writes a status for people to read. What is not in use has no line.
func writeStatus(w io.Writer, s *admin.Status) error {
	t := newStatusTable(w)
	t.head(s)
	t.records(s)
	if err := t.tab.Flush(); err != nil {
		return err
	}
	if len(s.Partitions) == 0 {
		if _, err := fmt.Fprintln(w, "\nno partition is assigned to this process"); err != nil {
			return err
		}
	} else {
		t.partitions(s)
	}
	if s.Changelog != nil && len(s.Changelog.Followed) > 0 {
		t.followed(s.Changelog)
	}
	return t.tab.Flush()
}

func (t *statusTable) head(s *admin.Status) {
	t.out("mode\t%s\n", s.Mode)
	t.out("on duplicate\t%s\n", s.OnDuplicate)
	t.out("relays\t%s to %s, group %s\n", s.Input, s.Output, s.Group)
	if s.GroupProtocol == string(kafka.ProtocolConsumer) {
		t.out("partitions\tassigned by the brokers; %s\n", sessionOf(s))
	}
	if s.DuplicatesTopic != "" {
		t.out("duplicates\tto %s\n", s.DuplicatesTopic)
	}
	if s.Fencing != "" && s.Fencing != string(kafka.FencingNone) {
		t.out("fencing\t%s\n", s.Fencing)
	}
	if s.LeaseHeld {
		t.out("lease\theld\n")
	} else {
		t.out("lease\tnot held: nothing is sent until the group's coordinator confirms this member\n")
	}
	if s.Ready {
		t.out("ready\tyes\n")
	} else {
		t.out("ready\tno: %s\n", s.Reason)
	}
}

// sessionOf says how long the brokers wait for a member.
func sessionOf(s *admin.Status) string {
	if s.SessionMillis == 0 {
		return "the group's session timeout is not known yet"
	}
	timeout := (time.Duration(s.SessionMillis) * time.Millisecond).String()
	if s.SessionAssumed {
		return "the session timeout may not be read, and is taken for " + timeout
	}
	return "session timeout " + timeout
}

func (t *statusTable) records(s *admin.Status) {
	r := &s.Records
	t.out("judged\t%d unique, %d redelivery, %d duplicate\n", r.Unique, r.Redelivery, r.Duplicate)
	t.out("not judged\t%d without a key passed, %d without a key dropped or tagged, %d in bypass or while restoring\n", r.Bypassed, r.NoKey, r.Unjudged)
	t.out("produced\t%d to the output, %d of them duplicates; %d to the duplicates' topic\n", r.Produced, r.Tagged, r.DuplicatesProduced)
	if m := &s.Missing; *m != (admin.Missing{}) {
		t.out("missing\t%d partitions without state, %d behind; of them cut short by retention %d, by learn_from %d; %d offsets lost\n",
			m.None, m.Behind, m.Retention, m.Bounded, m.Removed)
	}
	c := s.Changelog
	if c == nil {
		return
	}
	t.out("changelog\t%s: %d records with %d marks written, %d marks wait, %d failures; %d marks restored, %d records passed over\n",
		c.Topic, c.Records, c.Marks, c.Pending, c.Failures, c.Restored, c.Passed)
	if c.Standby {
		warm := 0
		for _, f := range c.Followed {
			if f.Warm {
				warm++
			}
		}
		t.out("standby\tfollows %d partitions, %d warm\n", len(c.Followed), warm)
	}
}

func (t *statusTable) partitions(s *admin.Status) {
	t.out("\nPARTITION\tSTATE\tNEXT\tCOMMITTED\tLAG\tQUEUED\n")
	for i := range s.Partitions {
		p := &s.Partitions[i]
		state := p.State
		if l := p.Learn; l != nil && l.At < l.Target {
			state += fmt.Sprintf(" (from %d by %s, at %d of %d)", l.From, l.Why, l.At, l.Target)
		}
		if p.Passing {
			state += ", records pass"
		}
		if p.Paused {
			state += ", paused"
		}
		t.out("%d\t%s\t%d\t%s\t%s\t%d\n", p.Partition, state, p.Next, orDash(p.Committed), orDash(p.Lag), p.Queued)
	}
}

func (t *statusTable) followed(c *admin.Changelog) {
	t.out("\nFOLLOWED\tKNOWN\tLAG\tWARM\n")
	for _, f := range c.Followed {
		warm := "no"
		if f.Warm {
			warm = "yes"
		}
		t.out("%d\t%d\t%d\t%s\n", f.Partition, f.Known, f.Lag, warm)
	}
}

func orDash(n *int64) string {
	if n == nil {
		return "-"
	}
	return strconv.FormatInt(*n, 10)
}
