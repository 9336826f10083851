package admin

import (
	"noecho/kafka"
)

// Status is the answer to GET /v1/status. Field names are a promise to scripts.
type Status struct {
	Mode            string      `json:"mode"`
	OnDuplicate     string      `json:"on_duplicate"`
	Input           string      `json:"input"`
	Output          string      `json:"output"`
	DuplicatesTopic string      `json:"duplicates_topic,omitempty"`
	Group           string      `json:"group"`
	GroupProtocol   string      `json:"group_protocol"`
	SessionMillis   int64       `json:"session_timeout_ms"`                // of the group; with the protocol "consumer" 0 until the brokers have told it
	SessionAssumed  bool        `json:"session_timeout_assumed,omitempty"` // it may not be read, and this is what is taken for it
	Fencing         string      `json:"fencing"`
	LeaseHeld       bool        `json:"lease_held"` // the group's coordinator confirms that this member's partitions are nobody else's
	Ready           bool        `json:"ready"`
	Reason          string      `json:"reason,omitempty"` // why it is not ready
	Records         Records     `json:"records"`
	Missing         Missing     `json:"missing"`
	Changelog       *Changelog  `json:"changelog,omitempty"` // absent: there is none
	Partitions      []Partition `json:"partitions"`          // assigned to this process; ascending
}

// Records are counters since the start of the process.
type Records struct {
	Unique             uint64 `json:"unique"`
	Redelivery         uint64 `json:"redelivery"`
	Duplicate          uint64 `json:"duplicate"`
	NoKey              uint64 `json:"no_key"`
	Bypassed           uint64 `json:"bypassed"`
	Unjudged           uint64 `json:"unjudged"`
	Tagged             uint64 `json:"tagged"`
	Produced           uint64 `json:"produced"`
	DuplicatesProduced uint64 `json:"duplicates_produced"`
}

// Missing counts what was found missing when partitions were assigned, since the start of the process: see kafka.Missing.
type Missing struct {
	None      uint64 `json:"none"`
	Behind    uint64 `json:"behind"`
	Retention uint64 `json:"retention"`
	Bounded   uint64 `json:"bounded"`
	Removed   uint64 `json:"removed_offsets"`
}

// Changelog is what is written to the changelog and read from it. Counters are since the start of the process.
type Changelog struct {
	Topic    string     `json:"topic"`
	Records  uint64     `json:"records"`  // acknowledged by it
	Marks    uint64     `json:"marks"`    // in them
	Pending  int64      `json:"pending"`  // marks that it does not have yet
	Failures uint64     `json:"failures"` // commits of a partition that it did not acknowledge
	Restored uint64     `json:"restored"` // marks taken in from it
	Passed   uint64     `json:"passed"`   // its records that could not be used, or were known already
	Standby  bool       `json:"standby"`  // it is followed for the partitions of others
	Followed []Followed `json:"followed"` // those of which that has begun; ascending
}

// Followed is a partition that another member has, or nobody, and that this one follows in the changelog.
type Followed struct {
	Partition int32 `json:"partition"`
	Known     int64 `json:"known"` // offset of the input: the store knows what lies below
	Lag       int64 `json:"lag"`   // records of the changelog that are not taken in
	Warm      bool  `json:"warm"`  // a takeover would have next to nothing to restore
}

// Learn is how far a partition has come with taking in what its store was missing.
type Learn struct {
	From    int64  `json:"from"`    // the offset where it began
	Why     string `json:"why"`     // why there: see kafka.LearnReason
	At      int64  `json:"at"`      // the offset where it is
	Target  int64  `json:"target"`  // the offset where it ends
	Records uint64 `json:"records"` // taken in from the input
}

// Partition is the state of one assigned partition.
type Partition struct {
	Partition int32  `json:"partition"`
	State     string `json:"state"`
	Passing   bool   `json:"passing"` // records pass without a verdict while its store learns
	Paused    bool   `json:"paused"`
	Next      int64  `json:"next"`
	Committed *int64 `json:"committed"` // null: nothing yet
	Lag       *int64 `json:"lag"`       // null: not known yet
	Queued    int64  `json:"queued"`
	Learn     *Learn `json:"learn,omitempty"` // absent: its store was missing nothing, or where to begin is not known yet
}

// Change is the body of PUT /v1/mode.
type Change struct {
	Mode string `json:"mode"`
}

// Changed is the answer to it.
type Changed struct {
	Mode string `json:"mode"`
	Was  string `json:"was"`
}

// failure is the answer to what is refused.
type failure struct {
	Error string `json:"error"`
}

// fill takes in a snapshot of the relay.
func (s *Status) fill(r *kafka.Stats) {
	s.Mode = string(r.Mode)
	t := &r.Totals
	s.Records = Records{
		Unique: t.Unique, Redelivery: t.Redelivery, Duplicate: t.Duplicate, NoKey: t.NoKey, Bypassed: t.Bypassed,
		Unjudged: t.Unjudged, Tagged: t.Tagged, Produced: t.Produced, DuplicatesProduced: t.DuplicatesProduced,
	}
	s.LeaseHeld, s.SessionMillis, s.SessionAssumed = r.LeaseHeld, r.SessionTimeout.Milliseconds(), r.SessionAssumed
	m := &r.Missing
	s.Missing = Missing{None: m.None, Behind: m.Behind, Retention: m.Retention, Bounded: m.Bounded, Removed: m.Removed}
	s.fillChangelog(r)
	s.Partitions = make([]Partition, 0, len(r.Partitions))
	known := func(n int64) *int64 {
		if n < 0 {
			return nil
		}
		return &n
	}
	for i := range r.Partitions {
		p := &r.Partitions[i]
		var learn *Learn
		if p.LearnWhy != "" {
			learn = &Learn{From: p.LearnFrom, Why: string(p.LearnWhy), At: p.LearnAt, Target: p.LearnTarget, Records: p.Learned}
		}
		s.Partitions = append(s.Partitions, Partition{
			Partition: p.Partition, State: p.State.String(), Passing: p.Passing, Paused: p.Paused, Next: p.Next, Committed: known(p.Committed), Lag: known(p.Lag), Queued: p.Queued,
			Learn: learn,
		})
	}
}

// fillChangelog takes in what a snapshot tells of the changelog, where About says that there is one. About's own is left as it is: it is
// shared by all requests.
func (s *Status) fillChangelog(r *kafka.Stats) {
	if s.Changelog == nil {
		return
	}
	c := &r.Changelog
	s.Changelog = &Changelog{
		Topic: s.Changelog.Topic, Standby: s.Changelog.Standby, Records: c.Records, Marks: c.Marks, Pending: c.Pending, Failures: c.Failures,
		Restored: c.Restored, Passed: c.Passed, Followed: make([]Followed, 0, len(r.Standby)),
	}
	for _, f := range r.Standby {
		s.Changelog.Followed = append(s.Changelog.Followed, Followed{Partition: f.Partition, Known: f.Known, Lag: f.Lag, Warm: f.Warm})
	}
}
