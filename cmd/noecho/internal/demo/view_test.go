package demo

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func sample() *frame {
	return &frame{
		elapsed: 10 * time.Second, total: 20 * time.Second,
		in: 61204, out: 50101, dropped: 11000, inRate: 8012.4, outRate: 4003,
		inTrace: []float64{4000, 4000, 8000, 4000, 8000}, outTrace: []float64{4000, 4000, 4000, 0, 10},
		check: latency{41200, 1_340_000}, window: time.Hour, windowSet: time.Hour, relay: "pid 42",
	}
}

func TestFrame(t *testing.T) {
	require.Equal(t, strings.Join([]string{
		"  in          61,204     8,012/s  ▄▄█▄█",
		"  out         50,101     4,003/s  ▄▄▄ ▁",
		"  dropped     11,000  (18.0 % of what was read)",
		"  waiting        103",
		"  check    p50 41µs  p99 1.3ms a batch",
		"  window   1h of 1h",
		"  relay    pid 42",
		"  ━━━━━━━━━━━━━━━━━━━━──────────────────── 10 s of 20 s",
	}, "\n"), strings.Join(sample().lines(false), "\n"))
	require.Equal(t, "in 61,204 (8,012/s)  out 50,101 (4,003/s)  dropped 11,000  waiting 103  check p50 41µs  p99 1.3ms a batch  window 1h of 1h",
		sample().line())
	require.Len(t, sample().lines(true), Rows-1)
	require.Len(t, (&frame{}).lines(true), Rows-1, "the block never changes its height")
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -123: "-123"} {
		require.Equal(t, want, count(n))
	}
	for d, want := range map[time.Duration]string{870: "870ns", 1234: "1.2µs", 41_234: "41µs", 1_340_000: "1.3ms", 41_234_000: "41ms",
		1_234 * time.Millisecond: "1.2s", 100 * time.Second: "1m40s"} {
		require.Equal(t, want, short(d))
	}
	require.Equal(t, "1h", brief(time.Hour))
	require.Equal(t, "1h30m", brief(90*time.Minute))
	require.Equal(t, "10m", brief(10*time.Minute))
	require.Equal(t, "0s", brief(0))
}

func TestScreenPlain(t *testing.T) {
	var b strings.Builder
	s := &screen{w: &b}
	f := sample()
	for f.elapsed = 0; f.elapsed < 2500*time.Millisecond; f.elapsed += 100 * time.Millisecond {
		s.draw(f)
	}
	s.event(f.elapsed, "the relay was killed")
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	require.Len(t, lines, 4, "one line a second, and the event")
	require.Equal(t, "   2.5s  the relay was killed", lines[3])
	require.NotContains(t, b.String(), "\x1b")
}

// What a terminal shows after all is written: cursor up, clear below, text.
func render(t *testing.T, written string) []string {
	t.Helper()
	lines, row := []string{""}, 0
	for i := 0; i < len(written); {
		switch {
		case strings.HasPrefix(written[i:], "\x1b["):
			end := i + 2
			n := 0
			for ; written[end] >= '0' && written[end] <= '9' || written[end] == ';'; end++ {
				n = n*10 + int(written[end]-'0')
			}
			switch written[end] {
			case 'A':
				row -= n
				require.GreaterOrEqual(t, row, 0)
			case 'J':
				lines = append(lines[:row], "")
			}
			i = end + 1
		case written[i] == '\n':
			row++
			if row == len(lines) {
				lines = append(lines, "")
			}
			i++
		default:
			lines[row] += written[i : i+1]
			i++
		}
	}
	return lines[:len(lines)-1]
}

func TestScreenLive(t *testing.T) {
	var b strings.Builder
	s := &screen{w: &b, live: true, color: true, width: func() int { return 30 }}
	f := sample()
	s.event(0, "start")
	s.draw(f)
	s.draw(f)
	s.event(time.Second, "killed")
	f.in = 7
	s.draw(f)
	s.settle()
	s.print("done")
	got := render(t, b.String())
	require.Equal(t, "   0.0s  start", got[0])
	require.Equal(t, "   1.0s  killed", got[1])
	require.Equal(t, "", got[2])
	require.Contains(t, got[3], "in               7")
	require.Equal(t, "done", got[len(got)-1])
	require.Len(t, got, 2+1+len(f.lines(false))+1, "one frame, drawn over")
	for _, l := range got {
		require.LessOrEqual(t, len([]rune(l)), 30)
	}
}
