package wal

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Random use of a log, without crashes, against a slice.
func TestLogAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		disk := vfs.NewMem()
		segmentBytes := rapid.Int64Range(minSegmentBytes, 3000).Draw(t, "segment")
		type frame struct {
			pos     Position
			payload string
		}
		var model []frame
		l, err := Open(testDir, Options{FS: disk, SegmentBytes: segmentBytes}, ignore)
		require.NoError(t, err)
		defer func() { require.NoError(t, l.Close()) }()
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				payload := rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "payload")
				pos := mustAppend(t, l, payload)
				model = append(model, frame{pos, string(payload)})
				require.Less(t, pos, l.End())
			},
			"sync": func(t *rapid.T) {
				pos := Position(rapid.Uint64Range(0, 2*uint64(l.End())).Draw(t, "pos"))
				require.NoError(t, l.Sync(ctx, pos))
			},
			"truncate": func(t *rapid.T) {
				if len(model) == 0 {
					t.Skip("empty")
				}
				before := model[rapid.IntRange(0, len(model)-1).Draw(t, "before")].pos
				require.NoError(t, l.Truncate(before))
				require.LessOrEqual(t, l.Oldest(), before)
				for len(model) > 0 && model[0].pos < l.Oldest() {
					model = model[1:]
				}
			},
			"restart": func(t *rapid.T) {
				require.NoError(t, l.Close())
				var got []frame
				l, err = Open(testDir, Options{FS: disk, SegmentBytes: segmentBytes}, func(pos Position, b []byte) error {
					got = append(got, frame{pos, string(b)})
					return nil
				})
				require.NoError(t, err)
				require.Equal(t, append([]frame{}, model...), append([]frame{}, got...))
			},
		})
	})
}
