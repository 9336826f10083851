package bloom

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Load reads a filter that Save wrote, from a file of exactly size bytes. It takes at most about size bytes of memory, and
// only after the length in question was held against what is left of size: a forged length can't make it allocate more.
//
// Whatever is wrong with the bytes (damage, truncation, another format) is a *CorruptError; errors of r are wrapped. With
// an error there is no filter: fill a new one from the index.
func Load(r io.Reader, size int64) (f Filter, tag []byte, err error) {
	d := &decoder{r: r, size: size}
	h, tag, err := d.header()
	if err != nil {
		return nil, nil, err
	}
	switch h.kind {
	case kindSliced:
		f, err = d.sliced(h)
	case kindRing:
		f, err = d.ring(h)
	default:
		err = d.corrupt("kind %d is none of ours", h.kind)
	}
	if err == nil {
		err = d.finish()
	}
	if err != nil {
		return nil, nil, err
	}
	return f, tag, nil
}

type header struct {
	kind   uint8
	opts   Options
	layers int
}

// decoder reads, sums up what it reads, and keeps count of what may still come.
type decoder struct {
	r    io.Reader
	size int64 // of the file
	off  int64 // read so far
	sum  uint32
	buf  [slicedLayerBytes]byte // the largest header
}

// left is the number of bytes before the checksum; lengths are held against it before memory is taken.
func (d *decoder) left() uint64 { return uint64(max(d.size-sumBytes-d.off, 0)) }

func (d *decoder) corrupt(format string, args ...any) error {
	return &CorruptError{Offset: d.off, Reason: fmt.Sprintf(format, args...)}
}

// raw fills p and leaves the checksum alone.
func (d *decoder) raw(p []byte) error {
	n, err := io.ReadFull(d.r, p)
	d.off += int64(n)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return d.corrupt("the file ends here, and should have %d bytes", d.size)
	default:
		return fmt.Errorf("bloom: load filter at offset %d: %w", d.off, err)
	}
}

// fill reads into p in chunks: each is summed up while it is in the cache.
func (d *decoder) fill(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), chunkBytes)
		if err := d.raw(p[:n]); err != nil {
			return err
		}
		d.sum = crc32.Update(d.sum, castagnoli, p[:n])
		p = p[n:]
	}
	return nil
}

// fixed reads n bytes of a header; they are valid until the next call.
func (d *decoder) fixed(n int) ([]byte, error) {
	if uint64(n) > d.left() {
		return nil, d.corrupt("a header of %d bytes does not fit into what is left, %d", n, d.left())
	}
	p := d.buf[:n]
	return p, d.fill(p)
}

func (d *decoder) header() (header, []byte, error) {
	var h header
	p, err := d.fixed(headerBytes)
	if err != nil {
		return h, nil, err
	}
	if string(p[:8]) != magic {
		return h, nil, d.corrupt("it does not begin with %q", magic)
	}
	if v := binary.LittleEndian.Uint16(p[8:]); v != formatVersion {
		return h, nil, d.corrupt("format version %d, this build reads %d", v, formatVersion)
	}
	h.kind = p[10]
	h.opts = Options{BitsPerKey: int(p[11]), MinKeys: binary.LittleEndian.Uint64(p[16:])}
	if h.opts != h.opts.withDefaults() {
		return h, nil, d.corrupt("%d bits a key, at least %d keys: out of range", p[11], h.opts.MinKeys)
	}
	// Any layer takes more than the smaller of the two layer headers, so the file bounds the loops over layers.
	layers := binary.LittleEndian.Uint32(p[12:])
	if uint64(layers) > d.left()/ringLayerBytes {
		return h, nil, d.corrupt("%d layers do not fit into what is left, %d bytes", layers, d.left())
	}
	h.layers = int(layers)
	n := binary.LittleEndian.Uint64(p[24:])
	if n > d.left() {
		return h, nil, d.corrupt("a tag of %d bytes does not fit into what is left, %d", n, d.left())
	}
	tag := make([]byte, n)
	return h, tag, d.fill(tag)
}

func (d *decoder) sliced(h header) (Filter, error) {
	if h.layers == 0 {
		return nil, d.corrupt("a sliced filter without a layer")
	}
	f := &sliced{opts: h.opts}
	for i := range h.layers {
		l, err := d.slicedLayer()
		if err != nil {
			return nil, err
		}
		last := i == h.layers-1
		if !last && l.planes()&^l.spare == 0 {
			return nil, d.corrupt("layer %d holds nothing and is not the last", i)
		}
		if last && l.spare != 0 {
			return nil, d.corrupt("the last layer has spare planes, %08b", l.spare)
		}
		f.layers = append(f.layers, l)
	}
	p, err := d.fixed(8)
	if err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(p)
	if n > d.left()/narrowBytes {
		return nil, d.corrupt("%d narrow layers do not fit into what is left, %d bytes", n, d.left())
	}
	for range n {
		l, err := d.narrow()
		if err != nil {
			return nil, err
		}
		f.chain(l)
	}
	return f, nil
}

func (d *decoder) narrow() (narrow, error) {
	var l narrow
	p, err := d.fixed(narrowBytes)
	if err != nil {
		return l, err
	}
	plane, n := binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:])
	l.capacity, l.adds = binary.LittleEndian.Uint64(p[16:]), binary.LittleEndian.Uint64(p[24:])
	const size = uint64(len(slim{}))
	switch {
	case plane >= Planes:
		return l, d.corrupt("a narrow layer of plane %d", plane)
	case n == 0 || n > d.left()/size || n > maxLayerBits/blockSlots:
		return l, d.corrupt("a narrow layer of %d blocks; %d bytes are left", n, d.left())
	case l.capacity == 0 || l.capacity > n*blockSlots/minBits:
		return l, d.corrupt("a narrow layer of %d blocks for %d keys", n, l.capacity)
	case l.adds > l.capacity:
		return l, d.corrupt("%d keys in a narrow layer for %d", l.adds, l.capacity)
	}
	l.plane = int(plane)
	l.blocks, l.mem = newSlims(int(n))
	return l, d.fill(slimBytes(l.blocks))
}

func (d *decoder) slicedLayer() (layer, error) {
	var l layer
	p, err := d.fixed(slicedLayerBytes)
	if err != nil {
		return l, err
	}
	n := binary.LittleEndian.Uint64(p)
	if n == 0 || n > d.left()/blockSlots || n > maxLayerBits/blockSlots {
		return l, d.corrupt("a layer of %d blocks; %d bytes are left", n, d.left())
	}
	l.capacity = binary.LittleEndian.Uint64(p[8:])
	if l.capacity == 0 || l.capacity > n*blockSlots/minBits {
		return l, d.corrupt("a layer of %d blocks for %d keys", n, l.capacity)
	}
	spare := binary.LittleEndian.Uint64(p[16:])
	for i := range l.adds {
		l.adds[i] = binary.LittleEndian.Uint64(p[24+8*i:])
		if l.adds[i] > l.capacity {
			return l, d.corrupt("plane %d has %d keys in a layer for %d", i, l.adds[i], l.capacity)
		}
	}
	if spare&^uint64(l.planes()) != 0 {
		return l, d.corrupt("spare planes %b, keys in planes %08b", spare, l.planes())
	}
	l.spare = Mask(spare)
	l.blocks, l.mem = newBlocks(int(n))
	if err := d.fill(blockBytes(l.blocks)); err != nil {
		return l, err
	}
	// A bit of a plane without adds would never be cleared, see layer.adds.
	var have Mask
	for i := range l.blocks {
		have |= l.blocks[i].planes()
	}
	if have&^l.planes() != 0 {
		return l, d.corrupt("slots of planes %08b, keys in planes %08b", have, l.planes())
	}
	return l, nil
}

func (d *decoder) ring(h header) (Filter, error) {
	f := &ring{opts: h.opts, probes: ringProbes(h.opts.BitsPerKey)}
	prev := 0
	for range h.layers {
		plane, l, err := d.ringLayer()
		if err != nil {
			return nil, err
		}
		if plane < prev || plane >= Planes {
			return nil, d.corrupt("a layer of plane %d after one of plane %d", plane, prev)
		}
		if last := f.newest(plane); last != nil && last.adds == 0 {
			return nil, d.corrupt("plane %d has a layer that holds nothing and is not the last", plane)
		}
		f.planes[plane] = append(f.planes[plane], l)
		f.probes = max(f.probes, l.probes)
		prev = plane
	}
	return f, nil
}

func (d *decoder) ringLayer() (plane int, l ringLayer, err error) {
	p, err := d.fixed(ringLayerBytes)
	if err != nil {
		return 0, l, err
	}
	plane, probes := int(p[0]), int(p[1])
	m := binary.LittleEndian.Uint64(p[8:])
	capacity, adds := binary.LittleEndian.Uint64(p[16:]), binary.LittleEndian.Uint64(p[24:])
	switch {
	case binary.LittleEndian.Uint64(p)>>16 != 0:
		return 0, l, d.corrupt("reserved bytes are not zero")
	case probes < 1 || probes > ringMaxProbes:
		return 0, l, d.corrupt("%d probes a key", probes)
	case m == 0 || m%64 != 0 || m/8 > d.left() || m > maxLayerBits:
		return 0, l, d.corrupt("a layer of %d bits; %d bytes are left", m, d.left())
	case capacity == 0 || capacity > m/minBits:
		return 0, l, d.corrupt("a layer of %d bits for %d keys", m, capacity)
	case adds > capacity:
		return 0, l, d.corrupt("%d keys in a layer for %d", adds, capacity)
	}
	words := make([]uint64, m/64)
	if err := d.words(words); err != nil {
		return 0, l, err
	}
	return plane, ringLayerOf(words, probes, capacity, adds), nil
}

// words reads through a chunk: a file is little endian whatever the machine is.
func (d *decoder) words(dst []uint64) error {
	chunk := make([]byte, min(len(dst)*8, chunkBytes))
	for len(dst) > 0 {
		p := chunk[:min(len(dst)*8, len(chunk))]
		if err := d.fill(p); err != nil {
			return err
		}
		for i := range len(p) / 8 {
			dst[i] = binary.LittleEndian.Uint64(p[8*i:])
		}
		dst = dst[len(p)/8:]
	}
	return nil
}

// finish holds the checksum against all that was read, and the end of the layers against the end of the file.
func (d *decoder) finish() error {
	if d.left() != 0 {
		return d.corrupt("%d bytes more than the layers take", d.left())
	}
	want := d.sum
	p := d.buf[:sumBytes]
	if err := d.raw(p); err != nil {
		return err
	}
	if got := binary.LittleEndian.Uint32(p); got != want {
		return d.corrupt("checksum %08x, the bytes have %08x", got, want)
	}
	return nil
}
