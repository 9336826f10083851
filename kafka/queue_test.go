package kafka

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestQueueCountsEveryRecord: what has neither key nor value takes memory all the same.
func TestQueueCountsEveryRecord(t *testing.T) {
	var q queue
	records := make([]*kgo.Record, 10)
	for i := range records {
		records[i] = &kgo.Record{Headers: make([]kgo.RecordHeader, 0, 3)}
	}
	q.push(records)
	require.EqualValues(t, 10*(256+3*40), q.bytes.Load())
	for len(q.take(3, chunkBytes)) > 0 {
	}
	require.Zero(t, q.bytes.Load())
	require.LessOrEqual(t, unsafe.Sizeof(kgo.Record{}), uintptr(recordMemory))
	require.LessOrEqual(t, unsafe.Sizeof(kgo.RecordHeader{}), uintptr(headerMemory))
}

// TestLateResume: a worker wants to resume what the poll loop has paused again meanwhile. That pause stands, until the
// worker has taken it back.
func TestLateResume(t *testing.T) {
	cl, err := kgo.NewClient()
	require.NoError(t, err)
	defer cl.Close()
	m := &member{cl: cl, cfg: memberConfig{Input: testIn}}
	a := &assignment{m: m, part: 3}
	a.full.Store(crowded)
	m.pauseFetch(a)
	m.relieved(a, paused) // of an earlier pause
	require.Equal(t, []int32{3}, cl.PauseFetchPartitions(nil)[testIn])
	a.full.Store(notFull)
	m.relieved(a, paused)
	require.Empty(t, cl.PauseFetchPartitions(nil)[testIn])
}
