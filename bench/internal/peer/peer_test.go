package peer

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"noecho/bench/internal/workload"
)

// TestPeersAgreeWithAMap: every kind finds the duplicates that a plain map finds, batch by batch, with as many batches in
// flight as it may have.
func TestPeersAgreeWithAMap(t *testing.T) {
	for _, k := range All {
		t.Run(k.Name, func(t *testing.T) {
			if _, err := FindRedis(""); k.Server && err != nil {
				t.Skip(err)
			}
			p, err := k.Open(t.Context(), Config{Dir: t.TempDir(), Partitions: 2})
			require.NoError(t, err)
			defer func() { require.NoError(t, p.Close()) }()
			for partition := range int32(2) {
				for i, name := range []string{"dup50-near", "zipf"} {
					w, _ := workload.Find(name)
					judge(t, k, p, w, 2*partition+int32(i))
				}
			}
			require.NoError(t, p.Settle(t.Context()))
		})
	}
}

func judge(t *testing.T, k Kind, p Peer, w workload.Workload, partition int32) {
	const batch, records = 50, 1500
	worker, err := p.Worker(partition)
	require.NoError(t, err)
	defer func() { require.NoError(t, worker.Close()) }()
	s, b, set := w.NewSource(partition, records), w.NewBatch(batch), map[string]bool{}
	var want []int
	wait := func() {
		n, err := worker.Wait()
		require.NoError(t, err)
		require.Equal(t, want[0], n)
		want = want[1:]
	}
	for s.Offset() < records {
		s.Fill(b, batch)
		copies := 0
		for _, r := range b.Records {
			if set[string(r.Key)] {
				copies++
			}
			set[string(r.Key)] = true
		}
		require.NoError(t, worker.Start(b.Records))
		if want = append(want, copies); len(want) == k.Depth(batch) {
			wait()
		}
	}
	for len(want) > 0 {
		wait()
	}
}

func TestRedisTellsWhatItHolds(t *testing.T) {
	if _, err := FindRedis(""); err != nil {
		t.Skip(err)
	}
	k, err := Find("redis-pipe")
	require.NoError(t, err)
	p, err := k.Open(t.Context(), Config{Dir: t.TempDir()})
	require.NoError(t, err)
	defer p.Close()
	before, err := p.(Remote).Memory()
	require.NoError(t, err)
	w, _ := workload.Find("new")
	judge(t, k, p, w, 0)
	after, err := p.(Remote).Memory()
	require.NoError(t, err)
	require.Greater(t, after-before, int64(1500*50))
	require.Positive(t, p.(Remote).PID())
}

func TestErrors(t *testing.T) {
	_, err := Find("etcd")
	require.ErrorContains(t, err, "etcd")
	_, err = FindRedis("/nowhere/redis-server")
	require.ErrorIs(t, err, ErrNoRedis)
	var reply *ReplyError
	require.True(t, errors.As(error(&ReplyError{Reply: "-OOM"}), &reply))
	require.ErrorContains(t, reply, "-OOM")
}

// TestEveryKindSaysWhatItIs: a figure without its durability and its note could be read wrongly.
func TestEveryKindSaysWhatItIs(t *testing.T) {
	names := map[string]bool{}
	for _, k := range All {
		require.False(t, names[k.Name], k.Name)
		names[k.Name] = true
		require.NotEmpty(t, k.Title)
		require.NotEmpty(t, k.Note)
		require.Contains(t, []Durability{Synced, Kernel, Server, None}, k.Durability)
		require.Positive(t, k.Depth(1024))
		require.LessOrEqual(t, k.Depth(1), 4096)
	}
}
