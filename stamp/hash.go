package stamp

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
)

const (
	domain  = "noecho-id/1"
	idBytes = 16
	idText  = 2 * idBytes
)

// ID is the id of a message whose parts the application has in its hands: the same that a Stamper with these fields
// finds in a record. fields names what the parts are; it need not be a specification that New accepts, so a producer of
// Protobuf or Avro can say "order/2", or whatever no other kind of message in the topic says. A nil part is null.
func ID(fields string, parts ...[]byte) string {
	var text [idText]byte
	newHasher().id(text[:], prefix(fields), parts)
	return string(text[:])
}

// prefix is what all messages with these fields begin with.
func prefix(fields string) []byte {
	dst := binary.BigEndian.AppendUint32(nil, uint32(len(domain)))
	dst = append(dst, domain...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(fields)))
	return append(dst, fields...)
}

// hasher holds what one id takes, so that the next one allocates nothing. One goroutine uses it at a time.
type hasher struct {
	sha    hash.Hash
	length [4]byte
	sum    [sha256.Size]byte
	parts  [][]byte // scratch of Stamper.Record; empty between two
}

func newHasher() *hasher { return &hasher{sha: sha256.New()} }

// id writes the id to dst, which has idText bytes. Parts are written one by one, not joined first: they are not copied.
func (h *hasher) id(dst, prefix []byte, parts [][]byte) {
	h.sha.Reset()
	h.sha.Write(prefix)
	for _, part := range parts {
		length := uint32(len(part)) // a record is smaller than 2 GiB, as Kafka's own lengths are 32 bits
		if part == nil {
			length = 1<<32 - 1 // -1
		}
		binary.BigEndian.PutUint32(h.length[:], length)
		h.sha.Write(h.length[:])
		h.sha.Write(part)
	}
	hex.Encode(dst, h.sha.Sum(h.sum[:0])[:idBytes])
}
