package wal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// MaxFrame is the largest payload of a frame, in bytes.
const MaxFrame = 16 << 20

const (
	formatVersion     = 1
	segmentMagic      = "noechoWL"
	segmentHeaderSize = 32
	frameHeaderSize   = 24
	frameAlign        = 8

	frameData    = 1 // a payload of the caller
	frameTrailer = 2 // the log was closed cleanly here
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// segmentHeader is the start of each segment file; doc.go draws it.
type segmentHeader struct {
	version  uint32
	number   uint32
	previous Position // where the log ended in the segment before; zero in segment 1
}

// put writes the header to b[:segmentHeaderSize].
func (h segmentHeader) put(b []byte) {
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint32(b[8:], h.version)
	binary.LittleEndian.PutUint32(b[12:], h.number)
	binary.LittleEndian.PutUint64(b[16:], uint64(h.previous))
	binary.LittleEndian.PutUint32(b[24:], 0)
	binary.LittleEndian.PutUint32(b[28:], crc32.Checksum(b[:28], castagnoli))
}

// parseSegmentHeader reads the header of the segment called number. It gives a reason where there
// is none. A recycled file starts with the header of the segment it was before: sound, but of
// another number.
func parseSegmentHeader(b []byte, number uint32) (h segmentHeader, reason string) {
	if len(b) < segmentHeaderSize {
		return h, fmt.Sprintf("file ends in the segment header, after %d bytes", len(b))
	}
	if string(b[:8]) != segmentMagic {
		return h, "segment header has no magic"
	}
	if sum := crc32.Checksum(b[:28], castagnoli); sum != binary.LittleEndian.Uint32(b[28:]) {
		return h, "segment header checksum does not match"
	}
	h.version = binary.LittleEndian.Uint32(b[8:])
	h.number = binary.LittleEndian.Uint32(b[12:])
	h.previous = Position(binary.LittleEndian.Uint64(b[16:]))
	if h.number != number {
		return h, fmt.Sprintf("segment header is of segment %d", h.number)
	}
	return h, ""
}

// frameHeader stands before each payload; doc.go draws it.
type frameHeader struct {
	payloadSum uint32
	length     uint32
	kind       byte
	durable    Position
}

// size is what the frame takes in the file: header, payload, padding.
func (h frameHeader) size() int64 { return frameSize(int(h.length)) }

func frameSize(payload int) int64 {
	return frameHeaderSize + (int64(payload)+frameAlign-1)&^(frameAlign-1)
}

// checkScratch is what a frame header's checksum is computed over: its position, then its bytes
// from 4 on. It lives in its user, since what crc32 is handed escapes to the heap.
type checkScratch [8 + frameHeaderSize - 4]byte

func (s *checkScratch) sum(pos Position, header []byte) uint32 {
	binary.LittleEndian.PutUint64(s[:], uint64(pos))
	copy(s[8:], header[4:frameHeaderSize])
	return crc32.Checksum(s[:], castagnoli)
}

// putFrame prepares the header of a frame in b; seal makes it valid.
func putFrame(b []byte, kind byte, length int) {
	clear(b[:frameHeaderSize])
	binary.LittleEndian.PutUint32(b[8:], uint32(length))
	b[12] = kind
}

// seal fills in both checksums and the durable position of the frame b starts with, which will
// stand at pos, and returns the size of the frame.
func (s *checkScratch) seal(b []byte, pos, durable Position) int64 {
	length := int(binary.LittleEndian.Uint32(b[8:]))
	payload := b[frameHeaderSize : frameHeaderSize+length]
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(payload, castagnoli))
	binary.LittleEndian.PutUint64(b[16:], uint64(durable))
	binary.LittleEndian.PutUint32(b, s.sum(pos, b))
	return frameSize(length)
}

// parse reads the header of a frame at pos from b[:frameHeaderSize], and gives a reason where
// there is none. The cheap questions come first: the search for frames behind a damaged one asks
// them at each eighth byte of the segment.
func (s *checkScratch) parse(b []byte, pos Position) (h frameHeader, reason string) {
	h.length = binary.LittleEndian.Uint32(b[8:])
	kind := binary.LittleEndian.Uint32(b[12:])
	h.durable = Position(binary.LittleEndian.Uint64(b[16:]))
	if kind != frameData && kind != frameTrailer {
		return h, "no frame header"
	}
	if h.length > MaxFrame || h.durable > pos {
		return h, "frame header out of range"
	}
	if s.sum(pos, b) != binary.LittleEndian.Uint32(b) {
		return h, "frame header checksum does not match"
	}
	h.kind = byte(kind)
	h.payloadSum = binary.LittleEndian.Uint32(b[4:])
	return h, ""
}
