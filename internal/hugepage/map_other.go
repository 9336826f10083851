//go:build !linux

package hugepage

import "errors"

// mmap: elsewhere the heap serves. The collector counts it, and the kernel decides by itself on pages, or has none.
func mmap(int) ([]byte, error) { return nil, errors.ErrUnsupported }

func munmap([]byte) {}

func advise([]byte) {}
