package model_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"noecho/internal/model"
)

// line is one operation of a vector file (see docs/semantics.md, "Vectors").
type line struct {
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

// TestVectors holds the oracle itself against the rule's vectors, with and without the loss of what was not committed.
func TestVectors(t *testing.T) {
	files, err := filepath.Glob("../../engine/testdata/vectors/*.jsonl")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		for _, lose := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/lose=%v", filepath.Base(f), lose), func(t *testing.T) { runVector(t, f, lose) })
		}
	}
}

func runVector(t *testing.T, path string, lose bool) {
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	var p, saved *model.Partition
	head := int64(0) // what has been delivered since the last crash; a lookup below the head sees what may be lost
	sc := bufio.NewScanner(file)
	sc.Buffer(nil, 1<<22)
	for n := 1; sc.Scan(); n++ {
		var l line
		require.NoError(t, json.Unmarshal(sc.Bytes(), &l))
		switch l.Op {
		case "open":
			p = model.New(l.WindowMs, l.Buckets, l.Refresh)
			saved = p.Clone()
		case "check":
			var want []struct {
				V     string
				First int64
			}
			require.NoError(t, json.Unmarshal(l.Want, &want))
			for i, r := range l.Records {
				head = max(head, r.O+1)
				got := p.Check([]model.Record{{Offset: r.O, Timestamp: r.T, Key: r.K}})[0]
				require.Equal(t, want[i].V == "drop", got.Drop, "line %d offset %d", n, r.O)
				if got.Drop {
					require.Equal(t, want[i].First, got.First, "line %d offset %d", n, r.O)
				}
			}
		case "commit":
			p.Commit(l.Next)
			saved = p.Clone()
		case "crash":
			head = p.Committed()
			if lose {
				p = saved.Clone()
			}
		case "reopen":
		case "forget":
			p.Forget(l.Key)
		case "lookup":
			var want struct {
				Seen  bool
				First int64
			}
			require.NoError(t, json.Unmarshal(l.Want, &want))
			if _, to := p.Coverage(); to > head {
				continue // the vectors were written by a state that lost what was above the head
			}
			first, seen := p.Lookup(l.Key)
			require.Equal(t, want.Seen, seen, "line %d", n)
			if seen {
				require.Equal(t, want.First, first, "line %d", n)
			}
		default:
			t.Fatalf("%s:%d: unknown op %q", path, n, l.Op)
		}
	}
	require.NoError(t, sc.Err())
}
