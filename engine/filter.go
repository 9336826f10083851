package engine

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/errors/oserror"

	"noecho/bloom"
)

// filterDir holds one file a partition, written when the store is closed.
const filterDir = "filters"

func filterName(id uint32) string { return fmt.Sprintf("%08d.bloom", id) }

func (e *Engine) newFilter() bloom.Filter {
	o := bloom.Options{BitsPerKey: e.opt.FilterBits}
	if e.opt.Filter == FilterRing {
		return bloom.NewRing(o)
	}
	return bloom.NewSliced(o)
}

// filterTag is what ties a saved filter to the state it stands for: the partition, the generation of its state in the
// index (every seal raises it, so a file older than the last seal never matches), and which bucket has which plane. The
// number of frames would not do: a recovery may seal a part of a frame, and the number stays what it was.
//
//	partition id | gen | n | n * (bucket number, plane)
func (s *shard) filterTag() []byte {
	b := binary.AppendUvarint(nil, uint64(s.id))
	b = binary.AppendUvarint(b, s.indexGen)
	var pairs []byte
	n := uint64(0)
	for i := range s.buckets {
		if x := &s.buckets[i]; x.bit != 0 {
			pairs = binary.AppendVarint(pairs, x.num)
			pairs = binary.AppendUvarint(pairs, uint64(x.plane()))
			n++
		}
	}
	return append(binary.AppendUvarint(b, n), pairs...)
}

// planesOf reads a tag; ok=false when it is not of this partition in this state.
func (s *shard) planesOf(tag []byte) (planes map[int64]int, ok bool) {
	r := metaReader{b: tag}
	id, gen, n := r.uvarint(), r.uvarint(), r.uvarint()
	if r.bad || id != uint64(s.id) || gen != s.indexGen || n > uint64(len(r.b)) {
		return nil, false
	}
	planes = make(map[int64]int, n)
	for range n {
		num, p := r.varint(), r.uvarint()
		if p >= bloom.Planes {
			return nil, false
		}
		planes[num] = int(p)
	}
	return planes, !r.bad
}

// attachFilter gives the shard its filter when it is claimed for the first time. A saved one is taken when it belongs to
// exactly what the index holds. Otherwise a fresh one starts, the planes of what the index holds answer "maybe" to every
// key, which is exact and slow, and a second filter is built from the index in the background and adopted when it
// is complete. Marks in the tables are bare either way: the planter adds them. Called with mu held.
func (s *shard) attachFilter() {
	if s.filter != nil {
		return
	}
	loaded := s.loadFilter()
	if !loaded {
		s.filter = s.e.newFilter()
		for i := range s.buckets {
			if b := &s.buckets[i]; b.cold {
				plane, _ := s.nextPlane() // nothing is being cleared
				b.bit = 1 << plane
			}
		}
		for i := range s.buckets {
			s.maybe |= s.buckets[i].bit
		}
	}
	s.startRebuild(loaded)
	for i := range s.buckets {
		s.bare = append(s.bare, s.buckets[i].tables...)
	}
	s.e.sow()
	s.freePlanes()
	s.see()
}

// loadFilter takes the saved filter when it holds.
func (s *shard) loadFilter() bool {
	f, planes, err := s.readFilter()
	switch {
	case err != nil:
		s.e.logger.Warn("saved filter not used, rebuilding it from the index", "topic", s.topic, "partition", s.partition, "reason", err)
		return false
	case f == nil:
		return false
	}
	s.filter = f
	for i := range s.buckets {
		// One that was emptied since has nothing in the index, and begins anew; what its plane holds is cleared.
		if p, ok := planes[s.buckets[i].num]; ok && s.buckets[i].cold {
			s.buckets[i].bit = 1 << p
		}
	}
	return true
}

var errStale = errors.New("it is older than the index")

// readFilter returns a nil filter where none was saved.
func (s *shard) readFilter() (bloom.Filter, map[int64]int, error) {
	fs := s.e.opt.FS
	f, err := fs.Open(fs.PathJoin(s.e.dir, filterDir, filterName(s.id)))
	if oserror.IsNotExist(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	filter, tag, err := bloom.Load(bufio.NewReaderSize(f, 1<<20), info.Size())
	if err != nil {
		return nil, nil, err
	}
	if filter.Kind() != s.e.opt.Filter {
		return nil, nil, fmt.Errorf("it is of kind %s, the options say %s", filter.Kind(), s.e.opt.Filter)
	}
	planes, ok := s.planesOf(tag)
	if !ok {
		return nil, nil, errStale
	}
	return filter, planes, nil
}

// saveFilter writes the filter of a shard whose tables are all in the index.
func (s *shard) saveFilter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.filter == nil || s.maybe != 0 || s.gen != s.indexGen || len(s.bare) > 0 {
		return nil // never claimed, or not complete: what is on disk stays what it is, right or stale
	}
	fs := s.e.opt.FS
	return writeFile(fs, fs.PathJoin(s.e.dir, filterDir), filterName(s.id), func(w io.Writer) error {
		b := bufio.NewWriterSize(w, 1<<20)
		if err := bloom.Save(b, s.filter, s.filterTag()); err != nil {
			return err
		}
		return b.Flush()
	})
}
