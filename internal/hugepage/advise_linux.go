package hugepage

import "syscall"

// advise asks for huge pages. Where the kernel was built or told to do without them it refuses, and nothing is lost.
func advise(b []byte) { _ = syscall.Madvise(b, syscall.MADV_HUGEPAGE) }
