package kafka

// Where a partition goes on. Two numbers are known: C, the offset the group has committed in Kafka, with the metadata
// that went with it, and D, the engine's (-1: never committed). Both name a point below which all was done; D is durable
// first, so after a crash D >= C, and the work between need not be done twice. But an operator may have moved C.
//
//	C committed by         start            records already there              claim
//	1 us                   max(C, D)        scan the output from out           only after a clean stop
//	2 us, "rewound"        C                scan the output from out           only after a clean stop
//	3 somebody else        C                none: they shall pass again        yes, out = the output's end
//	  us, "txn"            C                none: the output holds what is below      yes without transactions
//	4 nobody               D, or StartAt    scan backwards from the end        yes, out = where that scan ended
//
// A claim is a commit of the start with our metadata before anything is produced. It turns 3 and 4 into 1 or 2, so
// that a crash at any later moment is recovered exactly. After a clean stop it takes the word "clean" back.

// committedOffset is what the group holds for a partition.
type committedOffset struct {
	offset int64 // -1: none
	meta   metadata
	ours   bool // meta could be decoded
}

type scanKind uint8

const (
	scanNone     scanKind = iota // take the output's end as it is
	scanForward                  // from plan.out to the end
	scanBackward                 // from the end until a record of ours, or the start
)

// plan is what follows from C and D alone.
type plan struct {
	start  int64 // -1: StartAt says
	obeyed bool  // an operator's offset: what the output holds is not looked at
	scan   scanKind
	out    int64 // of scanForward
	claim  bool
	// clean: no predecessor can have a request under way, so there is no need to wait for the output to settle. It stopped
	// cleanly, or there was none: a relay claims before it produces, so without any offset and any state nobody has.
	clean bool
}

// decide is the table above.
func decide(c committedOffset, d int64) plan {
	switch {
	case c.offset >= 0 && c.ours && c.meta.txn:
		return plan{start: c.offset, scan: scanNone, claim: true, clean: true}
	case c.offset >= 0 && c.ours:
		p := plan{start: c.offset, scan: scanForward, out: c.meta.out, claim: c.meta.clean, clean: c.meta.clean}
		if !c.meta.rewound && d > c.offset {
			p.start = d
		}
		return p
	case c.offset >= 0:
		return plan{start: c.offset, obeyed: true, scan: scanNone, claim: true}
	}
	return plan{start: d, scan: scanBackward, claim: true, clean: d < 0}
}

// resume is the plan carried out: what the worker has to know.
type resume struct {
	start int64 // the first offset to handle
	state int64 // D when the partition was assigned
	there int64 // passing records up to this source offset are in the output already; -1: none
	low   int64 // output offset from which a scan finds all records in (next, there]
	end   int64 // the output's end when the partition was restored
	input span  // the input's log when the partition was assigned
}

// out returns the output offset that goes with next in the commit metadata.
//
// While next is still at or below there, records above it lie in the output between low and end, so a restart has to
// look from low on. After that only what this assignment produced is above next, and that lies at end or later, from the
// last acknowledged record on.
func (s *resume) out(next, lastOut int64) int64 {
	switch {
	case next <= s.there:
		return s.low
	case lastOut >= 0:
		return lastOut
	}
	return s.end
}
