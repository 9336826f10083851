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
	Ready           bool        `json:"ready"`
	Reason          string      `json:"reason,omitempty"` // why it is not ready
	Records         Records     `json:"records"`
	Partitions      []Partition `json:"partitions"` // assigned to this process; ascending
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

// Partition is the state of one assigned partition.
type Partition struct {
	Partition int32  `json:"partition"`
	State     string `json:"state"`
	Paused    bool   `json:"paused"`
	Next      int64  `json:"next"`
	Committed *int64 `json:"committed"` // null: nothing yet
	Lag       *int64 `json:"lag"`       // null: not known yet
	Queued    int64  `json:"queued"`
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
	s.Partitions = make([]Partition, 0, len(r.Partitions))
	known := func(n int64) *int64 {
		if n < 0 {
			return nil
		}
		return &n
	}
	for i := range r.Partitions {
		p := &r.Partitions[i]
		s.Partitions = append(s.Partitions, Partition{
			Partition: p.Partition, State: p.State.String(), Paused: p.Paused, Next: p.Next, Committed: known(p.Committed), Lag: known(p.Lag), Queued: p.Queued,
		})
	}
}
