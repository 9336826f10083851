// Package testutil holds what tests of several packages share: a file system that can crash, or fail, at its n-th
// operation. Used by tests only.
package testutil
