package wal

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// change is one call of a Visitor, or of an Encoder.
type change struct {
	kind           byte
	bucket, hi, lo uint64
	offset         int64
}

// recorder keeps what it is visited with, and fails at change number failAt.
type recorder struct {
	changes []change
	failAt  int
}

var errStop = errors.New("stop")

func (r *recorder) add(c change) error {
	if r.failAt > 0 && len(r.changes) == r.failAt {
		return errStop
	}
	r.changes = append(r.changes, c)
	return nil
}

func (r *recorder) Boundary(bucket uint64, first int64) error {
	return r.add(change{kind: sectionBoundary, bucket: bucket, offset: first})
}

func (r *recorder) Mark(bucket, hi, lo uint64, offset int64) error {
	return r.add(change{sectionMarks, bucket, hi, lo, offset})
}

func (r *recorder) Forget(bucket, hi, lo uint64) error {
	return r.add(change{kind: sectionForget, bucket: bucket, hi: hi, lo: lo})
}

func (r *recorder) Floor(bucket uint64) error {
	return r.add(change{kind: sectionFloor, bucket: bucket})
}

// encode makes the payload of a frame with these changes. The body of f is not looked at.
func encode(e *Encoder, f Frame, changes []change) []byte {
	e.Begin(f.Partition, f.Seq, f.From)
	for _, c := range changes {
		switch c.kind {
		case sectionBoundary:
			e.Boundary(c.bucket, c.offset)
		case sectionMarks:
			e.Mark(c.bucket, c.hi, c.lo, c.offset)
		case sectionForget:
			e.Forget(c.bucket, c.hi, c.lo)
		case sectionFloor:
			e.Floor(c.bucket)
		}
	}
	return e.Finish(f.To, f.Committed, f.StreamTime)
}

func drawFrame(t *rapid.T) (Frame, []change) {
	f := Frame{
		Partition:  rapid.Uint32().Draw(t, "partition"),
		Seq:        rapid.Uint64().Draw(t, "seq"),
		From:       rapid.Int64().Draw(t, "from"),
		To:         rapid.Int64().Draw(t, "to"),
		Committed:  rapid.Int64().Draw(t, "committed"),
		StreamTime: rapid.Int64().Draw(t, "time"),
	}
	// Few buckets and offsets, so that sections are shared; extreme ones, so that deltas wrap.
	bucket := rapid.OneOf(rapid.Uint64Range(0, 2), rapid.Uint64())
	offset := rapid.OneOf(rapid.Int64Range(0, 300), rapid.Int64(), rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64}))
	changes := rapid.SliceOf(rapid.Custom(func(t *rapid.T) change {
		c := change{kind: rapid.SampledFrom([]byte{1, 2, 2, 2, 2, 3, 4}).Draw(t, "kind"), bucket: bucket.Draw(t, "bucket")}
		if c.kind == sectionBoundary || c.kind == sectionMarks {
			c.offset = offset.Draw(t, "offset")
		}
		if c.kind == sectionForget || c.kind == sectionMarks {
			c.hi, c.lo = rapid.Uint64().Draw(t, "hi"), rapid.Uint64().Draw(t, "lo")
		}
		return c
	})).Draw(t, "changes")
	return f, changes
}

func TestCodecRoundTrip(t *testing.T) {
	var e Encoder // one for all: nothing of a frame may leak into the next
	rapid.Check(t, func(t *rapid.T) {
		want, changes := drawFrame(t)
		payload := encode(&e, want, changes)
		require.Equal(t, len(payload), e.Len())
		require.Equal(t, len(changes) == 0, e.Empty())
		got, err := Decode(payload)
		require.NoError(t, err)
		var r recorder
		require.NoError(t, got.Visit(&r))
		require.Equal(t, changes, append([]change{}, r.changes...))
		got.body = nil
		require.Equal(t, want, got)
	})
}

// Every prefix of a payload either reads as a prefix of its changes, where it ends between two
// sections, or is refused.
func TestCutPayloadIsRefused(t *testing.T) {
	var e Encoder
	changes := []change{
		{kind: sectionBoundary, bucket: 300, offset: 1000},
		{sectionMarks, 300, 1, 2, 1000}, {sectionMarks, 300, 3, 4, 5000}, {sectionMarks, 301, 5, 6, 5001},
		{kind: sectionForget, bucket: 301, hi: 7, lo: 8}, {kind: sectionFloor, bucket: 299},
	}
	payload := encode(&e, Frame{From: 900}, changes)
	whole := 0
	for n := range len(payload) {
		f, err := Decode(payload[:n])
		var malformed *FrameError
		if n < payloadHeaderSize {
			require.ErrorAs(t, err, &malformed)
			continue
		}
		require.NoError(t, err)
		var r recorder
		if err = f.Visit(&r); err == nil {
			whole++
		} else {
			require.ErrorAs(t, err, &malformed)
			require.LessOrEqual(t, malformed.Offset, n)
		}
		require.Equal(t, changes[:len(r.changes)], append([]change{}, r.changes...))
	}
	require.Equal(t, 5, whole, "no sections, and after each of four more")
}

func TestVisitorErrorEndsVisit(t *testing.T) {
	var e Encoder
	changes := []change{{sectionMarks, 1, 1, 1, 1}, {sectionMarks, 1, 2, 2, 2}, {kind: sectionFloor, bucket: 1}}
	f, err := Decode(encode(&e, Frame{}, changes))
	require.NoError(t, err)
	for n := 1; n < len(changes); n++ {
		r := recorder{failAt: n}
		require.ErrorIs(t, f.Visit(&r), errStop)
		require.Len(t, r.changes, n)
	}
}

func TestMalformedPayloads(t *testing.T) {
	header := func(body ...byte) []byte {
		b := make([]byte, payloadHeaderSize)
		binary.LittleEndian.PutUint32(b, payloadVersion)
		return append(b, body...)
	}
	f := func(payload []byte, want string) {
		t.Helper()
		frame, err := Decode(payload)
		if err == nil {
			err = frame.Visit(&recorder{})
		}
		require.EqualError(t, err, "wal: malformed frame payload at "+want)
	}
	f(nil, "byte 0: shorter than its header")
	f(make([]byte, payloadHeaderSize), "byte 0: payload version 0x0, this build reads 1")
	f(header(9, 1), "byte 48: section kind 9")
	f(header(sectionFloor), "byte 48: bucket of a section is cut or too long")
	f(header(sectionFloor, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2), "byte 48: bucket of a section is cut or too long")
	f(header(sectionBoundary, 1), "byte 48: offset of a boundary is cut or too long")
	f(header(sectionForget, 1, 2), "byte 48: hash of a forget is cut")
	f(header(sectionMarks, 1, 2), "byte 48: count of marks is cut")
	f(header(sectionMarks, 1, 0xff, 0xff, 0xff, 0xff), "byte 48: 4294967295 marks do not fit")
	f(append(header(sectionMarks, 1, 1, 0, 0, 0), make([]byte, 16)...), "byte 48: 1 marks do not fit")
	f(append(append(header(sectionMarks, 1, 1, 0, 0, 0), make([]byte, 16)...), 0x80), "byte 54: offset of a mark is cut or too long")
}

// A mark is 17 bytes as long as offsets are dense.
func TestMarksAreCompact(t *testing.T) {
	var e Encoder
	e.Begin(1, 1, 1_000_000)
	e.Mark(5, 1, 2, 1_000_000)
	before := e.Len()
	for i := range int64(1000) {
		e.Mark(5, uint64(i), 2, 1_000_000+i*3)
	}
	require.Equal(t, 17*1000, e.Len()-before)
}

func FuzzVisit(f *testing.F) {
	var e Encoder
	f.Add(append([]byte{}, encode(&e, Frame{From: 900}, []change{
		{kind: sectionBoundary, bucket: 300, offset: 1000}, {sectionMarks, 300, 1, 2, 1000},
		{kind: sectionForget, bucket: 301, hi: 7, lo: 8}, {kind: sectionFloor, bucket: 299},
	})...))
	f.Fuzz(func(t *testing.T, payload []byte) {
		frame, err := Decode(payload)
		var malformed *FrameError
		if err != nil {
			require.ErrorAs(t, err, &malformed)
			return
		}
		var first, second recorder
		if err := frame.Visit(&first); err != nil {
			require.ErrorAs(t, err, &malformed)
			return
		}
		// What was understood is said again, and must be understood the same.
		again, err := Decode(encode(new(Encoder), frame, first.changes))
		require.NoError(t, err)
		require.NoError(t, again.Visit(&second))
		require.Equal(t, first.changes, second.changes)
	})
}
