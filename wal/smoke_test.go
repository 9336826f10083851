package wal

import (
	"context"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

func TestSmoke(t *testing.T) {
	fs := vfs.NewCrashableMem()
	var want []string
	for life := 0; life < 5; life++ {
		var got []string
		l, err := Open("a/wal", Options{FS: fs, SegmentBytes: 512}, func(_ Position, b []byte) error {
			got = append(got, string(b))
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, want, got)
		for i := 0; i < 30; i++ {
			s := fmt.Sprintf("%d-%d-%0*d", life, i, i, 0)
			pos, err := l.Append([]byte(s))
			require.NoError(t, err)
			require.NoError(t, l.Sync(context.Background(), pos))
			want = append(want, s)
		}
		t.Log(l.Metrics())
		if life%2 == 0 {
			require.NoError(t, l.Close())
		} else {
			fs = fs.CrashClone(vfs.CrashCloneCfg{})
			l.Close()
		}
	}
}
