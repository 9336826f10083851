//go:build !race

package stamp

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestAllocs: the header's value and the list of headers, nothing else; a record that has its id costs nothing. A member
// of a JSON value costs its text too, once for gjson and once for us.
func TestAllocs(t *testing.T) {
	r := &kgo.Record{Key: []byte("k"), Value: []byte(`{"id":"o-17"}`), Headers: []kgo.RecordHeader{{Key: "a"}}}
	headers := r.Headers
	for fields, want := range map[string]float64{"payload": 2, "key+value": 2} {
		s := stamper(t, fields)
		require.Equal(t, want, testing.AllocsPerRun(1000, func() {
			r.Headers = headers
			if err := s.Record(r); err != nil {
				panic(err)
			}
		}), fields)
		require.Zero(t, testing.AllocsPerRun(100, func() { _ = s.Record(r) }), fields)
	}
}
