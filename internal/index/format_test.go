package index

import (
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// TestFormat is the format of keys and values, byte for byte: a change here is a
// change of what is on users' disks.
func TestFormat(t *testing.T) {
	x := open(t, Options{FS: vfs.NewMem()})
	require.NoError(t, x.Ingest(ctxb, []Run{run(0x01020304, 0x1112131415161718,
		Entry{Hi: 0x2122232425262728, Lo: 0x3132333435363738, Offset: 0x41424344})},
		[]Meta{{Key: []byte("key"), Value: []byte("value")}}))
	it, err := x.db.NewIter(nil)
	require.NoError(t, err)
	defer it.Close()
	var got []string
	for ok := it.First(); ok; ok = it.Next() {
		got = append(got, hex.EncodeToString(it.Key())+" "+hex.EncodeToString(it.Value()))
	}
	require.Equal(t, []string{
		"00000000" + "6b6579" + " " + "76616c7565",
		"01020304" + "1112131415161718" + "2122232425262728" + "3132333435363738" + " " + "41424344",
	}, got)
}

// TestBucketWidthCost measures what docs/decisions/0001 claims: a bucket number
// of 8 bytes costs next to nothing against one of 4.
func TestBucketWidthCost(t *testing.T) {
	const n = 1 << 20
	es := randomEntries(1, n, 1e9)
	size := func(bucketLen int) float64 {
		x := open(t, Options{FS: vfs.NewMem(), tune: manual})
		path, w, err := x.newTable(true)
		require.NoError(t, err)
		for _, e := range es {
			key := binary.BigEndian.AppendUint32(nil, 1)
			key = append(key, make([]byte, bucketLen-1)...)
			key = append(key, 7)
			key = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(key, e.Hi), e.Lo)
			require.NoError(t, w.Add(pebble.MakeInternalKey(key, 0, pebble.InternalKeyKindSet), appendOffset(nil, e.Offset), false))
		}
		require.NoError(t, w.Close())
		info, err := x.fs.Stat(path)
		require.NoError(t, err)
		require.NoError(t, x.fs.Remove(path))
		return float64(info.Size()) / n
	}
	narrow, wide := size(4), size(8)
	t.Logf("4 bytes: %.3f bytes a key; 8 bytes: %.3f bytes a key", narrow, wide)
	require.Less(t, wide-narrow, 0.1)
}
