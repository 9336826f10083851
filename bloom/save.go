package bloom

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// Layout of a file; doc.go has the picture.
const (
	magic         = "NOECHOBF"
	formatVersion = 3

	headerBytes      = 32
	slicedLayerBytes = 24 + 8*Planes // in front of the slots
	narrowBytes      = 32            // in front of the blocks
	ringLayerBytes   = 32            // in front of the words
	sumBytes         = 4

	kindSliced = 1
	kindRing   = 2
)

// castagnoli is the polynomial of CRC-32C: any damage within 32 neighbouring bits is found for sure, and processors compute it.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Save writes f to w: header, tag, layers, checksum. tag is opaque; Load gives it back. Save buffers by itself, and syncs nothing: a
// file is good once the caller has synced it. A clearing under way is not saved: the plane loads as one that
// is not cleared, so clear it again.
//
// Errors are those of w, wrapped.
func Save(w io.Writer, f Filter, tag []byte) error {
	e := &encoder{w: w, buf: make([]byte, 0, chunkBytes)}
	kind, o, layers := f.shape()
	e.bytes([]byte(magic))
	e.u16(formatVersion)
	e.u8(kind)
	e.u8(uint8(o.BitsPerKey))
	e.u32(uint32(layers))
	e.u64(o.MinKeys)
	e.u64(uint64(len(tag)))
	e.bytes(tag)
	f.encode(e)
	if err := e.finish(); err != nil {
		return fmt.Errorf("bloom: save %s filter: %w", f.Kind(), err)
	}
	return nil
}

func (f *sliced) shape() (uint8, Options, int) { return kindSliced, f.opts, len(f.layers) }

func (f *sliced) encode(e *encoder) {
	for i := range f.layers {
		l := &f.layers[i]
		e.u64(uint64(len(l.blocks)))
		e.u64(l.capacity)
		e.u64(uint64(l.spare))
		for _, n := range l.adds {
			e.u64(n)
		}
		e.bytes(blockBytes(l.blocks))
	}
	e.u64(uint64(len(f.narrow)))
	for i := range f.narrow {
		l := &f.narrow[i]
		e.u64(uint64(l.plane))
		e.u64(uint64(len(l.blocks)))
		e.u64(l.capacity)
		e.u64(l.adds)
		e.bytes(slimBytes(l.blocks))
	}
}

func (f *ring) shape() (uint8, Options, int) {
	var n int
	for p := range f.planes {
		n += len(f.planes[p])
	}
	return kindRing, f.opts, n
}

func (f *ring) encode(e *encoder) {
	for p := range f.planes {
		for i := range f.planes[p] {
			l := &f.planes[p][i]
			e.u8(uint8(p))
			e.u8(uint8(l.probes))
			e.u16(0)
			e.u32(0)
			e.u64(uint64(len(l.words)) * 64)
			e.u64(l.capacity)
			e.u64(l.adds)
			for _, w := range l.words {
				e.u64(w)
			}
		}
	}
}

// chunkBytes is what goes to the writer, or comes from the reader, at once: few calls, and still in the second-level cache for the
// checksum.
const chunkBytes = 64 << 10

// encoder writes through a buffer of its own and sums up what it writes. The slots themselves are never handed to the writer:
// some file systems for tests scribble over the buffer of a Write to find who keeps it, and a scribbled filter has false negatives.
type encoder struct {
	w   io.Writer
	buf []byte
	sum uint32
	err error // the first one; nothing is written after it
}

func (e *encoder) flush() {
	e.sum = crc32.Update(e.sum, castagnoli, e.buf)
	e.write()
}

func (e *encoder) write() {
	if e.err == nil {
		_, e.err = e.w.Write(e.buf)
	}
	e.buf = e.buf[:0]
}

// reserve makes room for n more bytes in the buffer; n <= chunkBytes.
func (e *encoder) reserve(n int) {
	if len(e.buf)+n > cap(e.buf) {
		e.flush()
	}
}

func (e *encoder) bytes(p []byte) {
	for len(p) > 0 && e.err == nil {
		e.reserve(1)
		n := min(len(p), cap(e.buf)-len(e.buf))
		e.buf = append(e.buf, p[:n]...)
		p = p[n:]
	}
}

func (e *encoder) u8(v uint8) { e.reserve(1); e.buf = append(e.buf, v) }

func (e *encoder) u16(v uint16) { e.reserve(2); e.buf = binary.LittleEndian.AppendUint16(e.buf, v) }

func (e *encoder) u32(v uint32) { e.reserve(4); e.buf = binary.LittleEndian.AppendUint32(e.buf, v) }

func (e *encoder) u64(v uint64) { e.reserve(8); e.buf = binary.LittleEndian.AppendUint64(e.buf, v) }

// finish writes what is buffered and the checksum, and returns the first error.
func (e *encoder) finish() error {
	e.flush()
	e.buf = binary.LittleEndian.AppendUint32(e.buf, e.sum)
	e.write()
	return e.err
}
