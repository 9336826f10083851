package engine_test

import (
	"fmt"
	"os"
	"os/exec"
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
	if os.Getenv(leakyVar) != "" {
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

// leakyVar is set in a process for tests that break the index on purpose: Pebble's goroutines that were writing then are
// frozen for the rest of the process, by design (internal/index), and must not be taken for leaks of the other tests.
const leakyVar = "NOECHO_TEST_LEAKY"

// inOwnProcess runs the calling test again in a process of its own. It returns true there.
func inOwnProcess(t *testing.T) bool {
	if os.Getenv(leakyVar) != "" {
		return true
	}
	args := []string{"-test.run=^" + t.Name() + "$", "-test.timeout=10m"}
	if testing.Short() {
		args = append(args, "-test.short")
	}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), leakyVar+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return false
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
