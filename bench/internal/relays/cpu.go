package relays

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc: USER_HZ is 100 on all that Go runs on.
const tick = time.Second / 100

// processCPU is the processor time that the processes have used so far. The broker shares the machine with the relay: what a
// relay makes it do (more requests, larger batches) costs throughput like its own work. Without pids, and where there is no
// /proc, the answer is 0.
func processCPU(pids string) (total time.Duration) {
	for _, pid := range strings.Fields(pids) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%s/stat", pid))
		if err != nil {
			return 0
		}
		// The name is in parentheses and may hold anything; user and system time are the 12th and 13th field after it.
		total += ticks(strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])), 11, 12)
	}
	return total
}

// machineCPU is the processor time that the machine has used so far, and that it has been idle. What neither relay nor broker
// has used was somebody else's: a run with much of it says nothing.
func machineCPU() (busy, idle time.Duration) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	fields := strings.Fields(line) // cpu user nice system idle iowait irq softirq steal
	return ticks(fields, 1, 2, 3, 6, 7, 8), ticks(fields, 4, 5)
}

func ticks(fields []string, at ...int) (total time.Duration) {
	for _, i := range at {
		if i < len(fields) {
			n, err := strconv.ParseInt(fields[i], 10, 64)
			if err == nil {
				total += time.Duration(n) * tick
			}
		}
	}
	return total
}
