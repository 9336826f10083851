package hugepage

import (
	"fmt"
	"syscall"
)

func mmap(n int) ([]byte, error) {
	return syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
}

// munmap gives back what mmap gave, whole.
func munmap(whole []byte) {
	if err := syscall.Munmap(whole); err != nil {
		panic(fmt.Sprintf("hugepage: unmapping what was mapped: %v", err)) // a bug: it is no mapping of ours
	}
}

// advise asks for huge pages. Where the kernel was built or told to do without them it refuses, and nothing is lost.
func advise(b []byte) { _ = syscall.Madvise(b, syscall.MADV_HUGEPAGE) }
