package bloom

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Layout of a plane's file, little endian:
//
//	| "NOECHOPL" 8 | version 1 2 | zero 2 | tag length 4 | blocks 8 | capacity 8 | keys 8 | tag | blocks x 32 bytes | CRC-32C of all before 4 |
const (
	planeMagic       = "NOECHOPL"
	planeVersion     = 1
	planeHeaderBytes = 40
	maxPlaneTag      = 1 << 10
)

// SavePlane writes a plane's bits, which next gives piece by piece, in order, whole blocks each. tag is opaque. It syncs nothing. Errors are
// those of w and next, wrapped, or say that next gave another number of blocks.
func SavePlane(w io.Writer, shape PlaneShape, tag []byte, next func() ([]byte, error)) error {
	e := &encoder{w: w, buf: make([]byte, 0, chunkBytes)}
	e.bytes([]byte(planeMagic))
	e.u16(planeVersion)
	e.u16(0)
	e.u32(uint32(len(tag)))
	e.u64(uint64(shape.Blocks))
	e.u64(shape.Capacity)
	e.u64(shape.Keys)
	e.bytes(tag)
	for left := shape.Blocks * PlaneBlockBytes; left > 0; {
		p, err := next()
		if err == nil && (len(p) == 0 || len(p) > left) {
			err = fmt.Errorf("a piece of %d bytes, where %d are left", len(p), left)
		}
		if err == nil {
			e.bytes(p)
			err = e.err
		}
		if err != nil {
			return fmt.Errorf("bloom: save plane: %w", err)
		}
		left -= len(p)
	}
	if err := e.finish(); err != nil {
		return fmt.Errorf("bloom: save plane: %w", err)
	}
	return nil
}

// PlaneReader reads what SavePlane wrote.
type PlaneReader struct {
	Shape PlaneShape
	Tag   []byte
	d     *decoder
}

// ReadPlane reads the head of a plane's file of exactly size bytes, and trusts none of it. Errors: *CorruptError, and those of r, wrapped.
func ReadPlane(r io.Reader, size int64) (*PlaneReader, error) {
	d := &decoder{r: r, size: size}
	p, err := d.fixed(planeHeaderBytes)
	if err != nil {
		return nil, err
	}
	if string(p[:8]) != planeMagic {
		return nil, d.corrupt("it does not begin with %q", planeMagic)
	}
	if v := binary.LittleEndian.Uint16(p[8:]); v != planeVersion || p[10] != 0 || p[11] != 0 {
		return nil, d.corrupt("format version %d, this build reads %d", v, planeVersion)
	}
	n := binary.LittleEndian.Uint32(p[12:])
	blocks, capacity, keys := binary.LittleEndian.Uint64(p[16:]), binary.LittleEndian.Uint64(p[24:]), binary.LittleEndian.Uint64(p[32:])
	switch {
	case n > maxPlaneTag || uint64(n) > d.left():
		return nil, d.corrupt("a tag of %d bytes", n)
	case blocks == 0 || blocks > maxLayerBits/blockSlots || blocks*PlaneBlockBytes != d.left()-uint64(n):
		return nil, d.corrupt("%d blocks; %d bytes are left", blocks, d.left())
	case capacity == 0 || capacity > blocks*blockSlots/minBits || keys == 0 || keys > capacity:
		return nil, d.corrupt("%d keys in %d blocks for %d", keys, blocks, capacity)
	}
	tag := make([]byte, n)
	if err := d.fill(tag); err != nil {
		return nil, err
	}
	return &PlaneReader{Shape: PlaneShape{Blocks: int(blocks), Capacity: capacity, Keys: keys}, Tag: tag, d: d}, nil
}

// Each calls f for the bits of all blocks, piece by piece, in order; f must not keep them. Whether they are what was saved is
// known at the end: an error says that bits may be missing, and then none of them counts.
func (r *PlaneReader) Each(f func(from int, bits []byte) error) error {
	buf := make([]byte, chunkBytes)
	for from := 0; from < r.Shape.Blocks; {
		p := buf[:min(len(buf), (r.Shape.Blocks-from)*PlaneBlockBytes)]
		if err := r.d.fill(p); err != nil {
			return err
		}
		if err := f(from, p); err != nil {
			return err
		}
		from += len(p) / PlaneBlockBytes
	}
	return r.d.finish()
}
