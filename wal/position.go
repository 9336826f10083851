package wal

import "fmt"

// Position is the place of a frame in the log: segment number<<32 | byte offset in the segment.
//
// Positions ascend in the order of Append and stay what they are for the life of the log, over
// restarts too. The zero Position is below every frame.
type Position uint64

func at(segment uint32, offset int64) Position {
	return Position(segment)<<32 | Position(uint32(offset))
}

// Segment is the number of the segment file the position is in.
func (p Position) Segment() uint32 { return uint32(p >> 32) }

// Offset is the byte offset in the segment file.
func (p Position) Offset() int64 { return int64(uint32(p)) }

// String gives "segment:offset", both decimal.
func (p Position) String() string { return fmt.Sprintf("%d:%d", p.Segment(), p.Offset()) }
