package progress

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPlainLines(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	defer f.Close()
	s := New(f)
	require.False(t, s.fancy, "a file is no terminal")
	var out bytes.Buffer
	s.out, s.every = &out, 0
	s.Step("round %d", 1)
	s.Set(0.25, "growing")
	s.every = time.Hour
	s.Set(0.5, "not shown: too soon")
	s.Step("round %d", 2)
	s.Done()
	require.Equal(t, " 0:00  round 1\n 0:00  round 1   25 %  growing\n 0:00  round 2\n", out.String())
}

func TestBar(t *testing.T) {
	var out bytes.Buffer
	s := &Shower{out: &out, fancy: true, begin: time.Now()}
	s.Step("a step")
	s.Set(2, "beyond the end")
	s.Done()
	require.Contains(t, out.String(), "a step")
}

func TestClock(t *testing.T) {
	require.Equal(t, "61:05", clock(time.Hour+65*time.Second))
}
