//go:build !linux

package demo

import "syscall"

// childAttr: only Linux can tie the child's life to this process's.
func childAttr() *syscall.SysProcAttr { return nil }
