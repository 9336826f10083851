package usage

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"
)

// Snapshot is what a process has used so far.
type Snapshot struct {
	CPU     time.Duration // user and system time, all threads
	Written int64         // bytes it caused to be written to storage (write_bytes)
	Mallocs uint64        // heap allocations; of this process only
}

// Sub gives what was used since before.
func (s Snapshot) Sub(before Snapshot) Snapshot {
	return Snapshot{CPU: s.CPU - before.CPU, Written: s.Written - before.Written, Mallocs: s.Mallocs - before.Mallocs}
}

// Self takes a snapshot of this process. It stops the world for a moment (runtime.ReadMemStats).
func Self() Snapshot {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return Snapshot{
		CPU:     time.Duration(r.Utime.Nano() + r.Stime.Nano()),
		Written: field("/proc/self/io", "write_bytes:"),
		Mallocs: m.Mallocs,
	}
}

// Of takes a snapshot of another process.
func Of(pid int) Snapshot {
	return Snapshot{CPU: cpuOf(pid), Written: field(proc(pid, "io"), "write_bytes:")}
}

// RSS is the resident memory of a process in bytes; pid 0 is this one.
func RSS(pid int) int64 { return field(proc(pid, "status"), "VmRSS:") << 10 }

// PeakRSS is the largest resident memory so far.
func PeakRSS(pid int) int64 { return field(proc(pid, "status"), "VmHWM:") << 10 }

// Trimmed gives what the collector can free back to the system first, so that RSS counts what is in use.
func Trimmed() int64 {
	debug.FreeOSMemory()
	return RSS(0)
}

// Disk is how many bytes the files below dir take on disk: allocated blocks, not lengths.
func Disk(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it went while we looked
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				total += st.Blocks * 512
			}
		}
		return nil
	})
	return total
}

// Free is how many bytes an ordinary user may still write to the file system of dir.
func Free(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}

func proc(pid int, name string) string {
	who := "self"
	if pid != 0 {
		who = strconv.Itoa(pid)
	}
	return "/proc/" + who + "/" + name
}

// field finds the number behind a name in one of the kernel's tables.
func field(path, name string) int64 {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(data) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			v, _ := strconv.ParseInt(string(bytes.Fields(rest)[0]), 10, 64)
			return v
		}
	}
	return 0
}

// cpuOf reads fields 14 and 15 of /proc/PID/stat, which are in hundredths of a second on every Linux that is in use. The name of
// the program, field 2, may hold blanks and parentheses, so fields are counted from the last one.
func cpuOf(pid int) time.Duration {
	data, err := os.ReadFile(proc(pid, "stat"))
	if err != nil {
		return 0
	}
	f := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(string(f[11]), 10, 64)
	system, _ := strconv.ParseInt(string(f[12]), 10, 64)
	return time.Duration(user+system) * (time.Second / 100)
}
