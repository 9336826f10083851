package engine_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"noecho/engine"
)

// openDirVar makes the test binary a second process that tries to open the store in the directory it names.
const openDirVar = "NOECHO_TEST_OPEN_DIR"

// TestMain finds goroutines that outlive their engine.
func TestMain(m *testing.M) {
	if dir := os.Getenv(openDirVar); dir != "" {
		fmt.Println(tryOpen(dir))
		return
	}
	goleak.VerifyTestMain(m)
}

// tryOpen says in a word what Open answers.
func tryOpen(dir string) string {
	e, err := engine.Open(dir, diskOptions())
	if err != nil {
		return err.Error()
	}
	if err := e.Close(); err != nil {
		return err.Error()
	}
	return "opened"
}
