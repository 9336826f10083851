package demo

import "syscall"

// childAttr gives the child a process group of its own, so that Ctrl-C reaches this process alone, which then ends the
// child itself; and has the kernel kill the child if this process dies without a chance to do so.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
