//go:build !linux

package hugepage

// advise: elsewhere the kernel decides by itself, or there are none.
func advise([]byte) {}
