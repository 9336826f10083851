package index

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/stretchr/testify/require"
)

// TestRunFilter: no key that was added is missed, whatever its kind, and few of
// the others come through.
func TestRunFilter(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{1, 63, 64, 65, 1000, 100_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w := runFilter{}.NewWriter(sstable.TableFilter)
			var keys [][]byte
			for i := range n {
				key := markKey(1, 1, rng.Uint64(), rng.Uint64())
				if i%100 == 99 {
					key = appendMetaKey(nil, key[:i%20])
				}
				keys = append(keys, key)
				w.AddKey(key)
			}
			filter := w.Finish([]byte("before"))
			require.Equal(t, "before", string(filter[:6]))
			filter = filter[6:]
			require.Len(t, filter, (n+63)/64*64)
			for _, k := range keys {
				require.True(t, runFilter{}.MayContain(sstable.TableFilter, filter, k))
			}
			wrong := 0
			for range 100_000 {
				if (runFilter{}).MayContain(sstable.TableFilter, filter, markKey(1, 1, rng.Uint64(), rng.Uint64())) {
					wrong++
				}
			}
			require.Less(t, wrong, 4500, "of 100000")
			if n >= 1000 {
				require.Greater(t, wrong, 500, "of 100000: too good for 8 bits a key")
			}
		})
	}
}

// TestRunFilterEmpty: a filter without lines says maybe, it must never say no.
func TestRunFilterEmpty(t *testing.T) {
	require.Empty(t, runFilter{}.NewWriter(sstable.TableFilter).Finish(nil))
	require.True(t, runFilter{}.MayContain(sstable.TableFilter, nil, markKey(1, 1, 1, 1)))
}
