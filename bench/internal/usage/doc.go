// Package usage reads what a process has used: processor time, memory, bytes written. Figures of this process come from
// getrusage and /proc/self, those of a server beside it from /proc/PID. Where there is no /proc they are zero.
package usage
