package hugepage

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBytes(t *testing.T) {
	for _, n := range []int{0, 1, 100, 4096, 12 << 10, 1<<20 + 1, minBytes - 1, minBytes, minBytes + 1, 3*minBytes + 4096} {
		m := New(n)
		b := m.Bytes()
		require.Len(t, b, n)
		require.Equal(t, n, cap(b), "nothing may be appended over what lies behind")
		require.Equal(t, -1, bytes.IndexFunc(b, func(r rune) bool { return r != 0 }), "not zero")
		for i := range b {
			b[i] = 1
		}
		if n == 0 {
			continue
		}
		require.Zero(t, misaligned(b, lineBytes))
		if n >= minBytes && runtime.GOOS == "linux" {
			require.Zero(t, misaligned(b, pageBytes))
		}
		runtime.KeepAlive(m)
	}
}

// What nobody reaches any more is unmapped; what somebody does is not, however often the collector runs.
func TestMemoryIsGivenBack(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no mappings here")
	}
	kept := New(minBytes)
	kept.Bytes()[minBytes-1] = 7
	collected := func(want int64) func() bool {
		return func() bool {
			runtime.GC()
			return mapped.Load() == want
		}
	}
	const one = int64(minBytes + pageBytes)
	require.Eventually(t, collected(one), 10*time.Second, time.Millisecond, "those of the other tests")
	func() {
		for range 4 {
			New(minBytes).Bytes()[0] = 1
		}
	}()
	require.Eventually(t, collected(one), 10*time.Second, time.Millisecond)
	require.EqualValues(t, 7, kept.Bytes()[minBytes-1])
	runtime.KeepAlive(kept)
}

// The collector does not count it.
func TestMemoryIsNotHeap(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no mappings here")
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m := New(64 << 20)
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
	runtime.KeepAlive(m)
}

// Dirty memory that the runtime hands out again is zero, too.
func TestBytesAreZeroAgain(t *testing.T) {
	for range 8 {
		m := New(minBytes)
		b := m.Bytes()
		require.Zero(t, bytes.Count(b, []byte{0xff}))
		for i := 0; i < len(b); i += 512 {
			b[i] = 0xff
		}
		runtime.KeepAlive(m)
		runtime.GC()
	}
}

// The kernel does give huge pages where it is set to give them to who asks.
func TestKernelObeys(t *testing.T) {
	setting, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	if err != nil || strings.Contains(string(setting), "[never]") {
		t.Skip("no transparent huge pages here")
	}
	before := hugeKiB(t)
	m := New(16 * minBytes)
	b := m.Bytes()
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	require.Greater(t, hugeKiB(t), before, "none of %d MiB came as huge pages", len(b)>>20)
	runtime.KeepAlive(m)
}

// hugeKiB is what the process has of huge pages.
func hugeKiB(t *testing.T) int {
	rollup, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		t.Skip(err)
	}
	m := regexp.MustCompile(`AnonHugePages:\s+(\d+) kB`).FindSubmatch(rollup)
	if m == nil {
		t.Skip("the kernel does not say")
	}
	n, err := strconv.Atoi(string(m[1]))
	require.NoError(t, err)
	return n
}

// BenchmarkRandomRead: dependent reads all over the memory, as a table or a filter is read.
func BenchmarkRandomRead(b *testing.B) {
	const n = 256 << 20
	for _, kind := range []string{"small", "huge"} {
		b.Run(fmt.Sprintf("pages=%s", kind), func(b *testing.B) {
			var mem []byte
			if kind == "huge" {
				m := New(n)
				defer runtime.KeepAlive(m)
				mem = m.Bytes()
			} else {
				mem = make([]byte, n)
			}
			for i := range mem {
				mem[i] = 1
			}
			x := uint64(1)
			for b.Loop() {
				x = x*6364136223846793005 + uint64(mem[x>>36]) // 28 bits: all of it
			}
		})
	}
}
