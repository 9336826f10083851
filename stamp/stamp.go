package stamp

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Header is the name of the header that carries the id: `noecho run --key header:noecho-id` reads it.
const Header = "noecho-id"

// Options of a Stamper.
type Options struct {
	// Fields is what makes two records the same message: one or more of
	//
	//	payload    the record's key and value together (the default)
	//	key        the record's key
	//	value      the record's value
	//	json:PATH  a member of the value, which must be JSON; PATH is names joined with dots ("order.id", "items.0.sku")
	//
	// joined with '+'. A '+' inside a name is written `\+`. It must name the message, not the entity that it is about: with
	// the customer's number, every customer's second order is a copy of the first.
	//
	// payload fits where a message is encoded once and sent again. A message that is built anew for the retry, with a fresh
	// timestamp or an attempt counter in it, is another payload: there, name the members that stay.
	Fields string
}

// Stamper puts ids into records. Any number of goroutines may use it.
type Stamper struct {
	fields []field
	prefix []byte
	pool   sync.Pool // of *hasher
}

// New makes a Stamper. The error is a *FieldsError.
func New(o Options) (*Stamper, error) {
	if o.Fields == "" {
		o.Fields = "payload"
	}
	fields, err := parseFields(o.Fields)
	if err != nil {
		return nil, err
	}
	return &Stamper{fields: fields, prefix: prefix(o.Fields), pool: sync.Pool{New: func() any { return newHasher() }}}, nil
}

// Record puts the id into the record's headers, unless it has one: a record that is produced again, or passed on from
// another topic, keeps its id. The error is a *MissingError, and then the record is as it was.
//
// It allocates the header: its value, and a new list of headers. The old list is never appended to in place, because
// records may share it.
func (s *Stamper) Record(r *kgo.Record) error {
	if stamped(r) {
		return nil
	}
	h := s.pool.Get().(*hasher)
	defer s.put(h)
	for i := range s.fields {
		var ok bool
		if h.parts, ok = s.fields[i].append(h.parts, r); !ok {
			return &MissingError{Topic: r.Topic, Part: s.fields[i].text}
		}
	}
	text := make([]byte, idText)
	h.id(text, s.prefix, h.parts)
	headers := make([]kgo.RecordHeader, len(r.Headers)+1)
	headers[copy(headers, r.Headers)] = kgo.RecordHeader{Key: Header, Value: text}
	r.Headers = headers
	return nil
}

// put gives the scratch back, without the record's memory in it.
func (s *Stamper) put(h *hasher) {
	clear(h.parts)
	h.parts = h.parts[:0]
	s.pool.Put(h)
}

// stamped reports whether the reader would find an id: the last header of that name, and not empty.
func stamped(r *kgo.Record) bool {
	for i := len(r.Headers) - 1; i >= 0; i-- {
		if r.Headers[i].Key == Header {
			return len(r.Headers[i].Value) > 0
		}
	}
	return false
}

// Hook stamps every record that the client produces, for kgo.WithHooks. The client calls it once a Produce, before the
// record's size is counted and its partition is chosen; the client's own retries send the stamped record again.
//
// A hook cannot refuse a record. One that cannot be stamped is given to missing with its *MissingError and then sent as it
// is; the reader's on_missing_key says what becomes of it, and by default it and its copies pass. Where it must not be sent,
// call Record before Produce instead. missing may be nil; it is called on the goroutine that produces.
func (s *Stamper) Hook(missing func(*kgo.Record, error)) kgo.Hook {
	return &hook{stamper: s, missing: missing}
}

type hook struct {
	stamper *Stamper
	missing func(*kgo.Record, error)
}

var _ kgo.HookProduceRecordBuffered = (*hook)(nil)

// OnProduceRecordBuffered is the client's call.
func (h *hook) OnProduceRecordBuffered(r *kgo.Record) {
	if err := h.stamper.Record(r); err != nil && h.missing != nil {
		h.missing(r, err)
	}
}
