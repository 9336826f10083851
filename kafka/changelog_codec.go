package kafka

import (
	"encoding/binary"
	"hash/crc32"

	"noecho/engine"
)

// The value of a record of the changelog. Numbers are varints, zigzag where they may fall:
//
//	"nc" | version 1 | id of the hash 8 | id of the input topic 16 | len input | len group | partition
//	| from | to - from | before | time | marks n
//	| n * (offset - the one before it << 2 | kind, time - the one before it (zigzag), offset - first if a copy, hash 16)
//	| CRC-32C of all that 4
//
// Fixed-size numbers are little endian. The first offset is relative to from, the first time to before.
const (
	packMagic   = "nc"
	packVersion = 1
	markBytes   = 18 // of a mark at the least
	hashBytes   = 16

	kindOriginal  = 0
	kindForgotten = 1
	kindCopy      = 2 // a duplicate that opened a bucket, or renewed its mark
	kindBits      = 2
)

// pack is what a commit of a partition took in: what another store has to be told to know the offsets [from, to) as the writer does.
type pack struct {
	hashID       uint64
	topic        topicID
	input, group string
	part         int32
	from, to     int64
	// before is a time that the stream had not passed when from was the next to take in: all that lies below from was taken in by
	// then. May be later than that (inside the same bucket, or the time of a bound on learning), never earlier. math.MaxInt64: the writer
	// did not know all of it.
	before int64
	time   int64 // the largest of marks; 0: there are none
	marks  []told
}

// told is a mark, or a key that was forgotten when Offset was the next to take in. They ascend by offset; at the same one what was
// forgotten comes first, and marks have each offset once.
type told struct {
	engine.Mark
	forgotten bool
}

func (m *told) kind() uint64 {
	switch {
	case m.forgotten:
		return kindForgotten
	case m.First != m.Offset:
		return kindCopy
	}
	return kindOriginal
}

// appendPack encodes p.
func appendPack(dst []byte, p *pack) []byte {
	begin := len(dst)
	dst = append(dst, packMagic...)
	dst = append(dst, packVersion)
	dst = binary.LittleEndian.AppendUint64(dst, p.hashID)
	dst = append(dst, p.topic[:]...)
	for _, name := range [...]string{p.input, p.group} {
		dst = binary.AppendUvarint(dst, uint64(len(name)))
		dst = append(dst, name...)
	}
	for _, n := range [...]int64{int64(p.part), p.from, p.to - p.from, p.before, p.time, int64(len(p.marks))} {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	offset, ms := p.from, p.before
	for i := range p.marks {
		m := &p.marks[i]
		dst = binary.AppendUvarint(dst, uint64(m.Offset-offset)<<kindBits|m.kind())
		dst = binary.AppendVarint(dst, m.Time-ms)
		if m.kind() == kindCopy {
			dst = binary.AppendUvarint(dst, uint64(m.Offset-m.First))
		}
		dst = binary.LittleEndian.AppendUint64(dst, m.Hash.Hi)
		dst = binary.LittleEndian.AppendUint64(dst, m.Hash.Lo)
		offset, ms = m.Offset, m.Time
	}
	return sealPack(dst, begin)
}

// sealPack appends the checksum of what was appended since begin.
func sealPack(dst []byte, begin int) []byte {
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[begin:], castagnoli))
}

// decode fills p, whose marks it uses again, from a record's value. The error is a *PackError.
func (p *pack) decode(value []byte) error {
	fixed := len(packMagic) + 1
	if len(value) < fixed+crc32.Size || string(value[:len(packMagic)]) != packMagic {
		return &PackError{Reason: "it is none of noecho's"}
	}
	if value[len(packMagic)] != packVersion {
		return &PackError{Reason: "unknown version"}
	}
	body := value[:len(value)-crc32.Size]
	if binary.LittleEndian.Uint32(value[len(body):]) != crc32.Checksum(body, castagnoli) {
		return &PackError{Reason: "its checksum does not hold"}
	}
	r := packReader{b: body[fixed:]}
	p.hashID = binary.LittleEndian.Uint64(r.bytes(8))
	copy(p.topic[:], r.bytes(uint64(len(p.topic))))
	p.input = string(r.bytes(r.uvarint()))
	p.group = string(r.bytes(r.uvarint()))
	part := r.number()
	p.part = int32(part)
	p.from = r.number()
	p.to = p.from + r.number()
	p.before, p.time = r.number(), r.number()
	n := r.uvarint()
	if r.bad || int64(p.part) != part || p.to < p.from || n > uint64(len(r.b)/markBytes) {
		return &PackError{Reason: "truncated, or impossible numbers"}
	}
	p.marks = p.marks[:0]
	return p.decodeMarks(&r, int(n))
}

func (p *pack) decodeMarks(r *packReader, n int) error {
	offset, ms, last := p.from, p.before, p.from-1 // last: the offset of the last mark
	for range n {
		delta := r.uvarint()
		kind := delta & (1<<kindBits - 1)
		m := told{forgotten: kind == kindForgotten}
		offset += int64(delta >> kindBits)
		ms += r.varint()
		m.Offset, m.First, m.Time = offset, offset, ms
		if kind == kindCopy {
			back := r.number()
			m.First -= back
			r.bad = r.bad || back == 0 || m.First < 0
		}
		r.bad = r.bad || kind > kindCopy
		hash := r.bytes(hashBytes)
		m.Hash.Hi, m.Hash.Lo = binary.LittleEndian.Uint64(hash), binary.LittleEndian.Uint64(hash[8:])
		switch {
		case r.bad:
			return &PackError{Reason: "truncated, or impossible numbers"}
		case ms < 0 || offset < p.from || offset > p.to, !m.forgotten && (offset <= last || offset == p.to):
			return &PackError{Reason: "marks out of order"}
		}
		if !m.forgotten {
			last = offset
		}
		p.marks = append(p.marks, m)
	}
	if len(r.b) > 0 {
		return &PackError{Reason: "bytes left over"}
	}
	return nil
}

// packReader reads until the first failure; then it gives zeros.
type packReader struct {
	b   []byte
	bad bool
}

var zeros [hashBytes]byte

func (r *packReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *packReader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// number reads one that is not negative.
func (r *packReader) number() int64 {
	v := int64(r.uvarint())
	if v < 0 {
		r.bad = true
		return 0
	}
	return v
}

// bytes returns the next n, or, after a failure, zeros where n is the length of something of fixed size.
func (r *packReader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return zeros[:min(n, uint64(len(zeros)))]
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

// eachPart calls f with parts of p that have at most so many bytes, one after the other. A part ends where a mark begins that it
// has no room for; each says which offsets it covers.
func (p *pack) eachPart(limit int, f func(part *pack)) {
	head := len(appendPack(nil, &pack{input: p.input, group: p.group})) + 6*binary.MaxVarintLen64
	most := max(1, (limit-head)/(hashBytes+3*binary.MaxVarintLen64))
	part := *p
	for len(part.marks) > 0 || part.from < p.to {
		n := len(part.marks)
		part.to = p.to
		rest := part.marks[n:]
		if n > most {
			n = most
			part.to, rest, part.marks = part.marks[n].Offset, part.marks[n:], part.marks[:n]
		}
		part.time = 0
		for i := range part.marks {
			part.time = max(part.time, part.marks[i].Time)
		}
		f(&part)
		part.from, part.before, part.marks = part.to, max(part.before, part.time), rest
	}
}
