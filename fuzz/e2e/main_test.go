package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// roleVar names the part this executable plays. A test binary that starts itself again needs no second program for
// the broker and for the relays that are wrong on purpose.
const roleVar = "NOECHO_E2E_ROLE"

var roles = map[string]func() error{
	"kfake": serveKfake,
	"naive": runNaive,
}

func TestMain(m *testing.M) {
	name := os.Getenv(roleVar)
	if name == "" {
		code := m.Run()
		cleanUp()
		os.Exit(code)
	}
	if err := roles[name](); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// cleanUps run once after the last test, newest first: what all tests share.
var cleanUps []func()

func cleanUp() {
	for i := len(cleanUps) - 1; i >= 0; i-- {
		cleanUps[i]()
	}
}

// self is a command that runs this executable in another role.
func self(role string, env ...string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		panic(err) // the test process has no other way to start a child
	}
	cmd := exec.Command(exe)
	cmd.Env = append(append(os.Environ(), roleVar+"="+role), env...)
	return cmd
}

// number reads a knob.
func number(t testing.TB, name string, value, short int) int {
	if testing.Short() {
		value = short
	}
	s := os.Getenv(name)
	if s == "" {
		return value
	}
	n, err := strconv.Atoi(s)
	require.NoError(t, err, name)
	return n
}

// newSeed draws the seed of a run, unless the environment fixes it, and says which: a failure can then be run again.
func newSeed(t testing.TB) uint64 {
	seed := uint64(number(t, "NOECHO_E2E_SEED", 0, 0))
	if seed == 0 {
		seed = rand.Uint64() >> 32
	}
	t.Logf("NOECHO_E2E_SEED=%d", seed)
	return seed
}

// deadline is when a test gives up by itself: before `go test -timeout` panics, which would leave children behind.
func deadline(t *testing.T, limit time.Duration) time.Time {
	end := time.Now().Add(limit)
	if d, ok := t.Deadline(); ok && d.Add(-20*time.Second).Before(end) {
		end = d.Add(-20 * time.Second)
	}
	return end
}

var buildNoecho = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("NOECHO_E2E_BINARY"); path != "" {
		return filepath.Abs(path)
	}
	dir, err := os.MkdirTemp("", "noecho-e2e-")
	if err != nil {
		return "", err
	}
	cleanUps = append(cleanUps, func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "noecho")
	out, err := exec.Command("go", "build", "-tags", os.Getenv("NOECHO_E2E_TAGS"), "-o", path, "noecho/cmd/noecho").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// noechoBinary is the path of the noecho binary under test.
func noechoBinary(t testing.TB) string {
	path, err := buildNoecho()
	require.NoError(t, err)
	return path
}
