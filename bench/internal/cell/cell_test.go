package cell

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"noecho/bench/internal/child"
	"noecho/bench/internal/peer"
	"noecho/bench/internal/workload"
)

// TestRunAll: every workload on the peers that need no server, with verdicts checked.
func TestRunAll(t *testing.T) {
	for _, w := range workload.All {
		for _, name := range []string{"noecho", "noecho-wait", "map"} {
			t.Run(w.Name+"/"+name, func(t *testing.T) {
				records := int64(20_000)
				if w.Batch == 1 {
					records = 300
				}
				r, err := Run(t.Context(), Spec{Peer: name, Workload: w.Name, Records: records, Dir: t.TempDir()}, func(child.Progress) {})
				require.NoError(t, err)
				require.Equal(t, records, r.Records)
				require.Equal(t, int64(float64(records)*w.Past)+r.Records-r.Duplicates, r.Keys)
				require.Positive(t, r.Rate)
				require.NotEmpty(t, r.Latency)
				require.NotEmpty(t, r.Life)
				if w.Mix == workload.Replay {
					require.Equal(t, r.Records, r.Duplicates)
				}
				if k, _ := peer.Find(name); k.Durability == peer.Synced {
					require.Positive(t, r.DiskBytes)
				}
			})
		}
	}
}

// forgetful is a peer that misses a copy now and then.
type forgetful struct{ n int }

func (f *forgetful) Worker(int32) (peer.Worker, error)  { return f, nil }
func (f *forgetful) Settle(context.Context) error       { return nil }
func (f *forgetful) Close() error                       { return nil }
func (f *forgetful) Start(recs []workload.Record) error { f.n = len(recs); return nil }
func (f *forgetful) Wait() (int, error)                 { return 0, nil }

func TestWrongVerdictsFailTheRun(t *testing.T) {
	w, _ := workload.Find("dup50-near")
	for _, inFlight := range []int{0, 10_000} {
		f := &forgetful{}
		d := Drive{Kind: peer.Kind{Name: "forgetful", InFlight: inFlight}, Workload: w, Workers: []peer.Worker{f},
			Sources: []*workload.Source{w.NewSource(0, 10_000)}, Fill: (*workload.Source).Fill, Records: 10_000}
		_, err := d.Run(t.Context())
		var mismatch *MismatchError
		require.True(t, errors.As(err, &mismatch), "%v", err)
		require.Zero(t, mismatch.Got)
		require.ErrorContains(t, err, "forgetful on dup50-near")
	}
}

// TestTimeIsUp: a past that was cut short is known as far as it came, so verdicts are right afterwards.
func TestTimeIsUp(t *testing.T) {
	for _, name := range []string{"replay", "dup50-far"} {
		r, err := Run(t.Context(), Spec{Peer: "noecho-wait", Workload: name, Records: 1 << 40, Seconds: 0.1, Dir: t.TempDir()}, func(child.Progress) {})
		require.NoError(t, err)
		require.Positive(t, r.Duplicates)
		require.Less(t, r.Seconds, 20.0)
	}
}

func TestUnknown(t *testing.T) {
	_, err := Run(t.Context(), Spec{Peer: "nobody", Workload: "new"}, nil)
	require.ErrorContains(t, err, "nobody")
	_, err = Run(t.Context(), Spec{Peer: "map", Workload: "nothing"}, nil)
	require.ErrorContains(t, err, "nothing")
}
