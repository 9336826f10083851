package engine_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"noecho/engine"
	"noecho/internal/model"
	"noecho/internal/testutil"
)

// vectorLine is one operation of a vector file (docs/semantics.md, "Vectors").
type vectorLine struct {
	Op       string          `json:"op"`
	WindowMs int64           `json:"window_ms"`
	Buckets  int             `json:"buckets"`
	Refresh  bool            `json:"refresh"`
	Next     int64           `json:"next"`
	Key      string          `json:"k"`
	Want     json.RawMessage `json:"want"`
	Records  []struct {
		O int64  `json:"o"`
		T int64  `json:"t"`
		K string `json:"k"`
	} `json:"records"`
}

// vectorRun is one way to run the vectors.
type vectorRun struct {
	filter    string
	tableKeys int
	cold      bool   // sealed tables are evicted at once
	crash     string // what "crash" means: "lost" (all that was not synced), "torn" (half of it), "kept" (nothing happens)
}

// TestVectors holds the engine against the rule's vectors with every filter, with tables so small that everything is
// sealed and looked up in the index, with larger ones, and with each outcome of a crash. NOECHO_VECTORS names another directory.
func TestVectors(t *testing.T) {
	dir := os.Getenv("NOECHO_VECTORS")
	if dir == "" {
		dir = "testdata/vectors"
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	require.NoError(t, err)
	require.NotEmpty(t, files, "no vectors in %s", dir)
	filters, tables := []string{engine.FilterSliced, engine.FilterRing}, []int{16, 1000, 0}
	if testing.Short() { // the race detector makes each run ten times as long, and sees the same code in a few of them
		filters, tables = filters[:1], tables[:1]
	}
	for _, filter := range filters {
		for _, keys := range tables {
			for _, crash := range []string{"lost", "torn", "kept"} {
				for _, cold := range []bool{false, true} {
					r := vectorRun{filter, keys, cold, crash}
					t.Run(fmt.Sprintf("filter=%s/table=%d/cold=%v/crash=%s", filter, keys, cold, crash), func(t *testing.T) {
						t.Parallel()
						for _, f := range files {
							t.Run(filepath.Base(f), func(t *testing.T) { r.run(t, f) })
						}
					})
				}
			}
		}
	}
}

func (r vectorRun) run(t *testing.T, path string) {
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	var s *store
	head := int64(0) // what was delivered since the last crash: a lookup below sees what a crash may have lost
	sc := bufio.NewScanner(file)
	sc.Buffer(nil, 1<<22)
	for n := 1; sc.Scan(); n++ {
		var l vectorLine
		require.NoError(t, json.Unmarshal(sc.Bytes(), &l))
		switch l.Op {
		case "open":
			o := testOptions(testutil.NewFS())
			o.Window, o.Buckets, o.Refresh = time.Duration(l.WindowMs)*time.Millisecond, l.Buckets, l.Refresh
			o.Filter, o.TableKeys = r.filter, r.tableKeys
			if r.cold {
				o = engine.Cold(o)
			}
			s = openStore(t, o)
		case "check":
			head = max(head, r.check(t, s, n, &l))
		case "commit":
			s.commit(l.Next)
		case "crash":
			head = max(0, s.p.Committed())
			switch r.crash {
			case "lost":
				s.crash(0, 1)
			case "torn":
				s.crash(50, uint64(n))
			}
		case "reopen":
			s.reopen()
		case "forget":
			require.NoError(t, s.p.Forget([]byte(l.Key)))
		case "lookup":
			if _, to := s.p.Coverage(); to <= head {
				lookup(t, s, n, &l)
			}
		default:
			t.Fatalf("%s:%d: unknown op %q", path, n, l.Op)
		}
	}
	require.NoError(t, sc.Err())
}

// check runs one batch and returns the offset after its last record.
func (r vectorRun) check(t *testing.T, s *store, n int, l *vectorLine) int64 {
	var want []struct {
		V     string
		First int64
	}
	require.NoError(t, json.Unmarshal(l.Want, &want))
	recs := make([]model.Record, len(l.Records))
	for i, x := range l.Records {
		recs[i] = model.Record{Offset: x.O, Timestamp: x.T, Key: x.K}
	}
	for i, got := range s.check(recs) {
		w := model.Verdict{Drop: want[i].V == "drop", First: recs[i].Offset}
		if w.Drop {
			w.First = want[i].First
		}
		same(t, w, got, "line %d, offset %d, key %s", n, recs[i].Offset, recs[i].Key)
	}
	return recs[len(recs)-1].Offset + 1
}

func lookup(t *testing.T, s *store, n int, l *vectorLine) {
	var want struct {
		Seen  bool
		First int64
	}
	require.NoError(t, json.Unmarshal(l.Want, &want))
	first, seen, err := s.p.Lookup([]byte(l.Key))
	require.NoError(t, err)
	require.Equal(t, want.Seen, seen, "line %d", n)
	if seen {
		require.Equal(t, want.First, first, "line %d", n)
	}
}
