package wal

import (
	"encoding/binary"
	"fmt"
)

// Frame is a decoded payload: the state changes of one partition over the offsets [From, To).
type Frame struct {
	Partition  uint32
	Seq        uint64
	From       int64
	To         int64
	Committed  int64
	StreamTime int64 // milliseconds

	body []byte // the sections; part of the payload given to Decode
}

// Visitor gets the changes of a frame, in the order they were encoded. An error ends the visit and
// is returned by it.
type Visitor interface {
	Boundary(bucket uint64, first int64) error
	Mark(bucket, hi, lo uint64, offset int64) error
	Forget(bucket, hi, lo uint64) error
	Floor(bucket uint64) error
}

// Decode reads the fixed part of a payload. The Frame refers to the payload's memory. The error is
// a *FrameError.
func Decode(payload []byte) (Frame, error) {
	if len(payload) < payloadHeaderSize {
		return Frame{}, &FrameError{Offset: len(payload), Reason: "shorter than its header"}
	}
	if head := binary.LittleEndian.Uint32(payload); head != payloadVersion {
		return Frame{}, &FrameError{Reason: fmt.Sprintf("payload version %#x, this build reads %d", head, payloadVersion)}
	}
	return Frame{
		Partition:  binary.LittleEndian.Uint32(payload[4:]),
		Seq:        binary.LittleEndian.Uint64(payload[8:]),
		From:       int64(binary.LittleEndian.Uint64(payload[16:])),
		To:         int64(binary.LittleEndian.Uint64(payload[24:])),
		Committed:  int64(binary.LittleEndian.Uint64(payload[32:])),
		StreamTime: int64(binary.LittleEndian.Uint64(payload[40:])),
		body:       payload[payloadHeaderSize:],
	}, nil
}

// Visit calls v for each change. The error is v's, or a *FrameError where the payload is
// malformed; v has then seen what stood before. It does not allocate.
func (f *Frame) Visit(v Visitor) error {
	d := decoder{rest: f.body, size: payloadHeaderSize + len(f.body), last: f.From}
	for len(d.rest) > 0 {
		if err := d.section(v); err != nil {
			return err
		}
	}
	return nil
}

// decoder walks the sections of a payload. Every length is held against what is left of it.
type decoder struct {
	rest []byte
	size int // of the payload, to tell where an error is
	last int64
}

func (d *decoder) fail(reason string) error {
	return &FrameError{Offset: d.size - len(d.rest), Reason: reason}
}

func (d *decoder) section(v Visitor) error {
	kind := d.rest[0]
	bucket, n := binary.Uvarint(d.rest[1:])
	if n <= 0 {
		return d.fail("bucket of a section is cut or too long")
	}
	switch kind {
	case sectionBoundary:
		delta, m := binary.Varint(d.rest[1+n:])
		if m <= 0 {
			return d.fail("offset of a boundary is cut or too long")
		}
		d.rest = d.rest[1+n+m:]
		d.last += delta
		return v.Boundary(bucket, d.last)
	case sectionMarks:
		return d.marks(v, bucket, 1+n)
	case sectionForget:
		if len(d.rest) < 1+n+hashSize {
			return d.fail("hash of a forget is cut")
		}
		hash := d.rest[1+n:]
		d.rest = hash[hashSize:]
		return v.Forget(bucket, binary.LittleEndian.Uint64(hash), binary.LittleEndian.Uint64(hash[8:]))
	case sectionFloor:
		d.rest = d.rest[1+n:]
		return v.Floor(bucket)
	}
	return d.fail(fmt.Sprintf("section kind %d", kind))
}

// marks reads a section of marks whose count stands at rest[skip:].
func (d *decoder) marks(v Visitor, bucket uint64, skip int) error {
	if len(d.rest) < skip+4 {
		return d.fail("count of marks is cut")
	}
	count := binary.LittleEndian.Uint32(d.rest[skip:])
	if uint64(count)*minMarkSize > uint64(len(d.rest)-skip-4) {
		return d.fail(fmt.Sprintf("%d marks do not fit", count))
	}
	d.rest = d.rest[skip+4:]
	for ; count > 0; count-- {
		if len(d.rest) < minMarkSize {
			return d.fail("mark is cut")
		}
		delta, n := binary.Varint(d.rest[hashSize:])
		if n <= 0 {
			return d.fail("offset of a mark is cut or too long")
		}
		hi, lo := binary.LittleEndian.Uint64(d.rest), binary.LittleEndian.Uint64(d.rest[8:])
		d.rest = d.rest[hashSize+n:]
		d.last += delta
		if err := v.Mark(bucket, hi, lo, d.last); err != nil {
			return err
		}
	}
	return nil
}
