//go:build unix

package kafka

import (
	"syscall"
	"time"
)

// processorTime is what this process has used, in user and system mode. On a machine with other work it says more than
// the clock on the wall.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
