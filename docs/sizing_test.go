package docs_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"noecho/engine"
)

// TestSizing fills a store with a window of new keys, seven buckets of them, twice over, and holds what it takes against the
// table in operations.md. NOECHO_SIZING_KEYS=20000000 go test ./docs -run TestSizing -v measures a larger one.
func TestSizing(t *testing.T) {
	keys := 420_000
	if testing.Short() {
		keys = 140_000
	}
	if text := os.Getenv("NOECHO_SIZING_KEYS"); text != "" {
		var err error
		keys, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	dir := t.TempDir()
	e, err := engine.Open(dir, engine.Options{Window: 6 * time.Hour, Buckets: 6, MaxClockLead: -1, MemoryBytes: 64 << 20})
	require.NoError(t, err)
	p, err := e.Partition("orders", 0)
	require.NoError(t, err)

	const batch = 4096
	recs := make([]engine.Record, batch)
	text := make([]byte, batch*16)
	step := float64(7*time.Hour.Milliseconds()) / float64(keys)
	for o := int64(0); o < int64(2*keys); o += batch {
		for i := range recs {
			at := o + int64(i)
			key := text[i*16 : i*16+16]
			binary.LittleEndian.PutUint64(key, uint64(at))
			recs[i] = engine.Record{Key: key, Offset: at, Timestamp: int64(float64(at) * step)}
		}
		_, err := p.Check(recs, nil)
		require.NoError(t, err)
		require.NoError(t, p.Commit(context.Background(), o+batch))
	}
	m := e.Metrics()
	live := float64(m.Keys)
	require.InEpsilon(t, float64(keys), live, 0.2)
	require.NoError(t, p.Close())
	require.NoError(t, e.Close())
	r, err := engine.Inspect(dir)
	require.NoError(t, err)

	page, err := os.ReadFile("operations.md")
	require.NoError(t, err)
	for _, row := range []struct {
		name  string
		value float64
	}{
		{"filter", float64(m.FilterBytes) / live},
		{"index", float64(r.Partitions[0].IndexBytes) / live},
		{"log", float64(m.WAL.Appended) / float64(2*keys)},
	} {
		t.Logf("%s: %.1f bytes a key, %d live keys", row.name, row.value, m.Keys)
		cell := regexp.MustCompile(`(?m)^\| ` + row.name + ` \|.*\| (\d+) to (\d+) bytes`).FindSubmatch(page)
		require.NotNil(t, cell, "operations.md has no row for the %s", row.name)
		from, to := number(t, cell[1]), number(t, cell[2])
		require.True(t, from <= row.value && row.value <= to, fmt.Sprintf("%s: %.2f bytes a key, the page says %v to %v", row.name, row.value, from, to))
	}
}

func number(t *testing.T, text []byte) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(string(text), 64)
	require.NoError(t, err)
	return v
}
