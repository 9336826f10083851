package docs_test

import (
	"context"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"noecho/engine"
)

// tableOf returns the cells of the table behind a test comment, without its head.
func tableOf(t *testing.T, page, name string) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(text), "<!-- test: "+name+" -->\n")
	require.True(t, ok, "%s has no table %q", page, name)
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	require.Greater(t, len(rows), 2, "%s: table %q is empty", page, name)
	return rows[2:]
}

var original = regexp.MustCompile(`^duplicate of (\d+)$`)

// TestWorkedExample runs the tables of semantics.md, with both outcomes of the crash between the first two.
func TestWorkedExample(t *testing.T) {
	for _, survived := range []bool{false, true} {
		t.Run("survived="+strconv.FormatBool(survived), func(t *testing.T) {
			fs := vfs.NewCrashableMem()
			o := engine.Options{Window: 6 * time.Second, Buckets: 6, MaxClockLead: -1, MemoryBytes: 1 << 20, FS: fs}
			e, p := open(t, o)
			judge(t, p, "first", 0, 5)
			require.NoError(t, p.Commit(context.Background(), 5))
			judge(t, p, "first", 5, 8)
			if !survived {
				o.FS = fs.CrashClone(vfs.CrashCloneCfg{})
				require.NoError(t, p.Close())
				require.NoError(t, e.Close())
				e, p = open(t, o)
			}
			judge(t, p, "again", 5, 8)
			require.NoError(t, p.Commit(context.Background(), 8))
			judge(t, p, "rewind", 2, 8)
			require.NoError(t, p.Close())
			require.NoError(t, e.Close())
		})
	}
}

func open(t *testing.T, o engine.Options) (*engine.Engine, *engine.Partition) {
	t.Helper()
	e, err := engine.Open("data", o)
	require.NoError(t, err)
	p, err := e.Partition("orders", 0)
	require.NoError(t, err)
	return e, p
}

// judge runs the rows of a table from one offset to another; the table must have exactly these.
func judge(t *testing.T, p *engine.Partition, table string, from, to int64) {
	t.Helper()
	next := from
	for _, row := range tableOf(t, "semantics.md", table) {
		o, err := strconv.ParseInt(row[0], 10, 64)
		require.NoError(t, err)
		if o < from || o >= to {
			continue
		}
		require.Equal(t, next, o)
		next++
		ts, err := strconv.ParseInt(row[1], 10, 64)
		require.NoError(t, err)
		v, err := p.Check([]engine.Record{{Key: []byte(row[2]), Offset: o, Timestamp: ts}}, nil)
		require.NoError(t, err)
		m := p.Metrics()
		require.Equal(t, row[3], strconv.FormatInt(m.StreamTime, 10), "stream time at offset %d", o)
		require.Equal(t, row[4], bucketAt(m, o), "bucket of offset %d", o)
		switch want := row[5]; {
		case original.MatchString(want):
			require.Equal(t, engine.Duplicate, v[0].Kind, "offset %d", o)
			require.Equal(t, original.FindStringSubmatch(want)[1], strconv.FormatInt(v[0].First, 10), "offset %d", o)
		case want == "passes":
			require.NotEqual(t, engine.Duplicate, v[0].Kind, "offset %d", o)
		default:
			require.Equal(t, want, v[0].Kind.String(), "offset %d", o)
		}
	}
	require.Equal(t, to, next, "table %q", table)
}

// bucketAt is bucket(o) by the boundaries still known.
func bucketAt(m engine.PartitionMetrics, o int64) string {
	at := "-"
	for _, b := range m.Buckets {
		if b.First <= o {
			at = strconv.FormatInt(b.Number, 10)
		}
	}
	return at
}
