package workload

import (
	"math"
	"math/bits"

	"noecho/engine"
)

// Record is what peers are given; the form of noecho's engine, so that it needs no conversion, and the others read Key.
type Record = engine.Record

// epoch is the stream time of the first record, in milliseconds: a bucket begins there.
const epoch = int64(1_700_006_400_000)

// Batch is a buffer of records. The records and their keys are overwritten by the next fill.
type Batch struct {
	Records    []Record
	Duplicates int // how many of the records are copies of earlier ones
	all        []Record
}

// NewBatch returns a buffer for at most n records.
func (w Workload) NewBatch(n int) *Batch {
	size := w.Key.Len()
	buf := make([]byte, n*size)
	b := &Batch{all: make([]Record, n)}
	for i := range b.all {
		b.all[i].Key = buf[i*size : (i+1)*size : (i+1)*size]
		w.Key.prepare(b.all[i].Key)
	}
	return b
}

// Source makes the records of one partition. It has one user.
type Source struct {
	w       Workload
	seed    uint64 // of the keys: differs by partition, so that no key is in two partitions
	rng     uint64
	share   uint64 // a random number below it makes a copy
	total   int64  // records that span the window
	offset  int64  // of the next record
	next    uint64 // ids below are taken
	again   uint64 // Replay: the next id to come again; below next
	until   uint64 // Replay: ids below come again
	seen    []uint64
	logKeys float64 // Zipf: log2 of the number of keys
}

// NewSource makes the source of a partition that will be asked for about total records, past included; their stream time
// spans 1.1 windows: all seven buckets that a window of six can see are there, the last one 60 % full, as in a store that has run for
// days, and nothing expires.
func (w Workload) NewSource(partition int32, total int64) *Source {
	s := &Source{w: w, seed: mix(uint64(partition) + 0x6e6f6563686f), total: max(total, 1)}
	s.rng = s.seed
	s.share = uint64(w.Percent / 100 * (1 << 63) * 2)
	if w.Mix == Zipf {
		s.seen = make([]uint64, s.total/64+1)
		s.logKeys = math.Log2(float64(s.total))
	}
	return s
}

// At moves the source to where a store stands that has taken in records up to offset, each new, so that id and offset
// are the same.
func (s *Source) At(offset int64) { s.offset, s.next = offset, uint64(offset) }

// Offset is the offset of the next record.
func (s *Source) Offset() int64 { return s.offset }

// Known is the number of ids handed out: all below it are known.
func (s *Source) Known() uint64 { return s.next }

// Past fills the batch with n new keys, whatever the mix: what was there before the clock.
func (s *Source) Past(b *Batch, n int) {
	s.open(b, n)
	for i := range b.Records {
		s.put(&b.Records[i], s.next)
		s.next++
	}
}

// Again fills the batch with copies of the ids from..from+n, in order.
func (s *Source) Again(b *Batch, from uint64, n int) {
	s.open(b, n)
	b.Duplicates = n
	for i := range b.Records {
		s.put(&b.Records[i], from+uint64(i))
	}
}

// Fill makes the next records of the mix, at most n. It leaves the batch empty where a replay has reached its end.
func (s *Source) Fill(b *Batch, n int) {
	switch s.w.Mix {
	case Replay:
		if s.again == 0 {
			s.until = s.next
		}
		n = int(min(uint64(n), s.until-s.again))
		s.Again(b, s.again, n)
		s.again += uint64(n)
	case Zipf:
		s.zipf(b, n)
	default:
		s.fresh(b, n)
	}
}

func (s *Source) fresh(b *Batch, n int) {
	if s.share == 0 {
		s.Past(b, n)
		return
	}
	s.open(b, n)
	for i := range b.Records {
		id := s.next
		if s.next > 0 && s.random() < s.share {
			reach := s.next
			if !s.w.Far {
				reach = min(reach, Near)
			}
			id = s.next - 1 - s.below(reach)
			b.Duplicates++
		} else {
			s.next++
		}
		s.put(&b.Records[i], id)
	}
}

// zipf draws id k with a probability of log2(1 + 1/k) / log2(keys), which is Zipf's law with exponent 1 but for the first
// few ids: the integer part of keys^u for uniform u. Tables of the exact law would cost a cache miss a key.
func (s *Source) zipf(b *Batch, n int) {
	s.open(b, n)
	for i := range b.Records {
		u := float64(s.random()>>11) / (1 << 53)
		id := uint64(math.Exp2(u*s.logKeys)) - 1
		word, bit := &s.seen[id/64], uint64(1)<<(id%64)
		if *word&bit != 0 {
			b.Duplicates++
		}
		*word |= bit
		s.put(&b.Records[i], id)
	}
}

// open starts a batch. Its records share a timestamp: a division a record would cost more than the key.
func (s *Source) open(b *Batch, n int) {
	b.Records, b.Duplicates = b.all[:n], 0
	span := float64(Window.Milliseconds()) * Windows
	ms := epoch + int64(float64(min(s.offset, s.total))/float64(s.total)*span)
	for i := range b.Records {
		b.Records[i].Timestamp = ms
	}
}

func (s *Source) put(r *Record, id uint64) {
	s.w.Key.write(r.Key, s.seed, id)
	r.Offset = s.offset
	s.offset++
}

func (s *Source) random() uint64 {
	s.rng += 0x9e3779b97f4a7c15
	return mix(s.rng)
}

// below gives a number in [0, n). The bias is n / 2^64.
func (s *Source) below(n uint64) uint64 {
	hi, _ := bits.Mul64(s.random(), n)
	return hi
}
