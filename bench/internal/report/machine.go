package report

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// Machine is where a run took place.
type Machine struct {
	CPU    string  `json:"cpu"`
	Cores  int     `json:"cores"`
	Memory float64 `json:"memory_gib"`
	Kernel string  `json:"kernel"`
	FS     string  `json:"fs"` // of the directory of the stores
	Go     string  `json:"go"`
}

// String is the line under a report's title.
func (m Machine) String() string {
	return fmt.Sprintf("%s, %d cores, %.0f GiB, Linux %s, %s, %s", m.CPU, m.Cores, m.Memory, m.Kernel, m.FS, m.Go)
}

// ThisMachine looks around. What cannot be found out stays empty.
func ThisMachine(dir string) Machine {
	m := Machine{Cores: runtime.NumCPU(), Go: runtime.Version(), CPU: runtime.GOARCH}
	if v := tableField("/proc/cpuinfo", "model name"); v != "" {
		m.CPU = v
	}
	var kib float64
	if _, err := fmt.Sscanf(tableField("/proc/meminfo", "MemTotal"), "%f kB", &kib); err == nil {
		m.Memory = kib / (1 << 20)
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(b))
	}
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err == nil {
		m.FS = map[int64]string{0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x01021994: "tmpfs", 0x794c7630: "overlayfs"}[int64(s.Type)]
		if m.FS == "" {
			m.FS = fmt.Sprintf("file system %#x", s.Type)
		}
	}
	return m
}

// tableField finds the value behind a name in a table of "name : value".
func tableField(path, name string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for sc := bufio.NewScanner(bytes.NewReader(b)); sc.Scan(); {
		if k, v, ok := strings.Cut(sc.Text(), ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// Commit names the commit of the source below dir, with a + where it was changed; "" where git cannot tell.
func Commit(dir string) string {
	git := func(args ...string) string {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(out))
	}
	id := git("rev-parse", "--short=10", "HEAD")
	if id != "" && git("status", "--porcelain", "--untracked-files=no") != "" {
		id += "+"
	}
	return id
}
