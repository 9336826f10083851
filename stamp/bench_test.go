package stamp

import (
	"crypto/md5"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/dchest/siphash"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/zeebo/xxh3"
)

// BenchmarkRecord is what stamping costs a producer, all of it.
func BenchmarkRecord(b *testing.B) {
	for _, size := range []int{100, 1000} {
		b.Run(fmt.Sprintf("payload=%d", size), func(b *testing.B) {
			s, r := stamper(b, "payload"), &kgo.Record{Key: []byte("order-1"), Value: make([]byte, size)}
			b.ReportAllocs()
			for b.Loop() {
				r.Headers = nil
				if err := s.Record(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHash is the hash alone, and those that were not chosen (docs/decisions/0012-stamp-hash.md).
func BenchmarkHash(b *testing.B) {
	for _, size := range []int{100, 1000} {
		data := make([]byte, size)
		for name, sum := range map[string]func([]byte) byte{
			"sha256":      func(p []byte) byte { s := sha256.Sum256(p); return s[0] },
			"md5":         func(p []byte) byte { s := md5.Sum(p); return s[0] },
			"xxh3-128":    func(p []byte) byte { return byte(xxh3.Hash128(p).Lo) },
			"siphash-2-4": func(p []byte) byte { lo, _ := siphash.Hash128(0, 0, p); return byte(lo) },
		} {
			b.Run(fmt.Sprintf("%s/size=%d", name, size), func(b *testing.B) {
				for b.Loop() {
					sum(data)
				}
			})
		}
	}
}
