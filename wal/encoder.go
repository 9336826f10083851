package wal

import "encoding/binary"

// Layout of a payload; doc.go draws it.
const (
	payloadVersion    = 1
	payloadHeaderSize = 48

	sectionBoundary = 1
	sectionMarks    = 2
	sectionForget   = 3
	sectionFloor    = 4

	hashSize    = 16
	minMarkSize = hashSize + 1
	maxMarkSize = hashSize + binary.MaxVarintLen64
)

// Encoder builds the payload of a frame: what changed in one partition's state. The zero value is
// ready; it keeps its memory from frame to frame. It is not safe for concurrent use.
//
// Begin, then any of Boundary, Mark, Forget, Floor in the order they happened, then Finish. The
// payload must not pass MaxFrame: look at Len.
type Encoder struct {
	buf    []byte
	last   int64  // the offset before, which the next one is a delta to
	bucket uint64 // of the open section of marks
	count  uint32 // marks in the open section
	patch  int    // where in buf that count belongs; 0: no section is open
}

// Begin starts a payload. from is the first offset it covers; seq is the caller's.
func (e *Encoder) Begin(partition uint32, seq uint64, from int64) {
	if cap(e.buf) < payloadHeaderSize {
		e.buf = make([]byte, 4<<10)
	}
	e.buf = e.buf[:payloadHeaderSize]
	clear(e.buf)
	e.buf[0] = payloadVersion
	binary.LittleEndian.PutUint32(e.buf[4:], partition)
	binary.LittleEndian.PutUint64(e.buf[8:], seq)
	binary.LittleEndian.PutUint64(e.buf[16:], uint64(from))
	e.last = from
	e.patch = 0
}

// Boundary says that bucket was opened, and that first was the first offset taken in while it was
// current.
func (e *Encoder) Boundary(bucket uint64, first int64) {
	e.section(sectionBoundary, bucket)
	e.buf = binary.AppendVarint(e.buf, first-e.last)
	e.last = first
}

// Mark says that the record at offset became the owner of the hash in bucket. Consecutive marks
// of a bucket share a section: 16 bytes and a varint each, mostly 17 bytes. It allocates only to
// grow the buffer.
func (e *Encoder) Mark(bucket uint64, hi, lo uint64, offset int64) {
	if e.patch == 0 || bucket != e.bucket {
		e.openMarks(bucket)
	}
	n := len(e.buf)
	if cap(e.buf)-n < maxMarkSize {
		e.grow()
	}
	b := e.buf[n : n+maxMarkSize]
	binary.LittleEndian.PutUint64(b, hi)
	binary.LittleEndian.PutUint64(b[8:], lo)
	d := offset - e.last // wraps for far offsets; so does the decoder
	e.last = offset
	e.count++
	u := uint64(d)<<1 ^ uint64(d>>63)
	if u < 0x80 {
		b[hashSize] = byte(u)
		e.buf = e.buf[:n+minMarkSize]
		return
	}
	e.buf = e.buf[:n+hashSize+binary.PutUvarint(b[hashSize:], u)]
}

// Forget says that the hash's mark in bucket was removed.
func (e *Encoder) Forget(bucket uint64, hi, lo uint64) {
	e.section(sectionForget, bucket)
	e.buf = binary.LittleEndian.AppendUint64(e.buf, hi)
	e.buf = binary.LittleEndian.AppendUint64(e.buf, lo)
}

// Floor says that the buckets below bucket were dropped early.
func (e *Encoder) Floor(bucket uint64) { e.section(sectionFloor, bucket) }

// Len is the size of the payload so far, in bytes.
func (e *Encoder) Len() int { return len(e.buf) }

// Empty says that nothing was added since Begin.
func (e *Encoder) Empty() bool { return len(e.buf) <= payloadHeaderSize }

// Finish ends the payload and returns it: every offset below to is covered. The memory is the
// Encoder's and holds until the next Begin.
func (e *Encoder) Finish(to, committed, streamTime int64) []byte {
	e.closeMarks()
	binary.LittleEndian.PutUint64(e.buf[24:], uint64(to))
	binary.LittleEndian.PutUint64(e.buf[32:], uint64(committed))
	binary.LittleEndian.PutUint64(e.buf[40:], uint64(streamTime))
	return e.buf
}

// section begins a section of any kind.
func (e *Encoder) section(kind byte, bucket uint64) {
	e.closeMarks()
	e.buf = append(e.buf, kind)
	e.buf = binary.AppendUvarint(e.buf, bucket)
}

// openMarks begins a section of marks. Its count is not known yet, so it has a fixed width and
// closeMarks fills it in: a varint would have to move the marks.
func (e *Encoder) openMarks(bucket uint64) {
	e.section(sectionMarks, bucket)
	e.patch = len(e.buf)
	e.bucket = bucket
	e.count = 0
	e.buf = append(e.buf, 0, 0, 0, 0)
}

func (e *Encoder) closeMarks() {
	if e.patch == 0 {
		return
	}
	binary.LittleEndian.PutUint32(e.buf[e.patch:], e.count)
	e.patch = 0
}

// grow doubles the buffer; apart, so that Mark stays small.
func (e *Encoder) grow() {
	buf := make([]byte, len(e.buf), 2*cap(e.buf)+maxMarkSize)
	copy(buf, e.buf)
	e.buf = buf
}
