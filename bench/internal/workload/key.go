package workload

import "encoding/binary"

// Form of a key.
type Form uint8

// The forms.
const (
	Raw16  Form = iota // 16 random bytes: a hash, a binary UUID
	UUID36             // a UUID in its text form
	URL200             // 168 bytes that all keys share, and 32 hexadecimal digits
)

// Len is the length of a key in bytes.
func (f Form) Len() int { return [...]int{16, 36, 200}[f] }

// urlPrefix is shared by all long keys, as it would be in a log of requests. Stores that compress prefixes may profit.
const urlPrefix = "https://events.example.com/v2/tenants/0f8fad5b-d9cb-469f-a165-70867728950e/streams/orders/" +
	"regions/eu-central-1/producers/checkout-service/messages?format=avro&schema=17&signature=00&id="

// mix is the finalizer of SplitMix64: a bijection, so different ids have different keys.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// prepare writes the bytes that all keys of the form share.
func (f Form) prepare(key []byte) {
	switch f {
	case URL200:
		for n := 0; n < 168; {
			n += copy(key[n:168], urlPrefix)
		}
	case UUID36:
		key[8], key[13], key[18], key[23] = '-', '-', '-', '-'
	}
}

// write writes the key of an id into prepared bytes.
func (f Form) write(key []byte, seed, id uint64) {
	hi := mix(seed + id*0x9e3779b97f4a7c15)
	lo := mix(hi + 0x9e3779b97f4a7c15)
	switch f {
	case Raw16:
		_ = key[15]
		binary.LittleEndian.PutUint64(key, hi)
		binary.LittleEndian.PutUint64(key[8:], lo)
	case UUID36:
		_ = key[35]
		le := binary.LittleEndian
		b, c := hex8(uint32(hi)), hex8(uint32(lo>>32))
		le.PutUint64(key, hex8(uint32(hi>>32)))
		le.PutUint32(key[9:], uint32(b))
		le.PutUint32(key[14:], uint32(b>>32))
		le.PutUint32(key[19:], uint32(c))
		le.PutUint32(key[24:], uint32(c>>32))
		le.PutUint64(key[28:], hex8(uint32(lo)))
	case URL200:
		_ = key[199]
		le := binary.LittleEndian
		le.PutUint64(key[168:], hex8(uint32(hi>>32)))
		le.PutUint64(key[176:], hex8(uint32(hi)))
		le.PutUint64(key[184:], hex8(uint32(lo>>32)))
		le.PutUint64(key[192:], hex8(uint32(lo)))
	}
}

// hex8 gives the eight hexadecimal digits of v as eight bytes, lowest digit first: one multiplication instead of eight lookups.
func hex8(v uint32) uint64 {
	x := uint64(v)
	x = (x | x<<16) & 0x0000ffff0000ffff
	x = (x | x<<8) & 0x00ff00ff00ff00ff
	x = (x | x<<4) & 0x0f0f0f0f0f0f0f0f
	letters := (x + 0x0606060606060606) >> 4 & 0x0101010101010101
	return x + 0x3030303030303030 + letters*('a'-'0'-10)
}
