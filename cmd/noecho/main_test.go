package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"noecho/cmd/noecho/internal/config"
)

// A test that needs noecho as a process starts this test binary with the variable set. TestMain sets it for all children:
// one that came up as the tests would start them all over again, and so on.
const beNoecho = "TEST_BINARY_IS_NOECHO"

func TestMain(m *testing.M) {
	if os.Getenv(beNoecho) != "" {
		main()
	}
	for _, line := range os.Environ() { // what the developer's shell has set is not what is tested
		if name, _, _ := strings.Cut(line, "="); strings.HasPrefix(name, config.EnvPrefix) {
			_ = os.Unsetenv(name)
		}
	}
	_ = os.Setenv(beNoecho, "1")
	os.Exit(m.Run())
}

// call runs the command line in this process.
func call(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = execute(args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// command is noecho as a process.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	return exec.Command(exe, args...)
}

func TestExitCodesOfUsage(t *testing.T) {
	f := func(want int, says string, args ...string) {
		t.Helper()
		code, _, stderr := call(args...)
		require.Equal(t, want, code, stderr)
		require.Contains(t, stderr, says)
		require.NotContains(t, strings.TrimRight(stderr, "\n"), "\n\n", "an error is a sentence, not a page of help")
	}
	f(exitOK, "")
	f(exitOK, "", "--help")
	f(exitOK, "", "version")
	f(exitUsage, `noecho: unknown command "rum"; did you mean run? (noecho --help lists all commands)`, "rum")
	f(exitUsage, "noecho: unknown flag: --windwo; did you mean --window? (noecho run --help lists all flags)", "run", "--windwo", "1h")
	f(exitUsage, "noecho: unknown flag: --sasl-password; did you mean --sasl-password-file?", "run", "--sasl-password", "x")
	f(exitUsage, "noecho: unknown flag: --bootstrap-servers; did you mean --brokers?", "run", "--bootstrap-servers", "x")
	f(exitUsage, "noecho: unknown flag: --jsn (noecho inspect --help lists all flags)", "inspect", "--jsn", "x")
	f(exitUsage, "noecho: the configuration has 5 mistakes:\n  - brokers is missing", "run")
	f(exitUsage, "noecho: window is 0s", "run", "--brokers=b", "--input=i", "--output=o", "--group=g", "--data-dir=d", "--window=0")
	dir := filepath.Join(t.TempDir(), "store")
	f(exitUsage, "noecho: fencing transactional and scope topic do not go together", "run", "--brokers=b", "--input=i", "--output=o", "--group=g", "--data-dir="+dir,
		"--fencing=transactional", "--scope=topic")
	f(exitUsage, "noecho: standby needs changelog_topic", "run", "--brokers=b", "--input=i", "--output=o", "--group=g", "--data-dir="+dir, "--standby", "--print-config")
	require.NoDirExists(t, dir, "nothing was opened")
	f(exitUsage, `noecho: unknown command "x" for "noecho run"`, "run", "x")
	f(exitUsage, "noecho: accepts 1 arg(s), received 0", "inspect")
	f(exitUsage, "noecho: --seconds is 1; choose 3 to 600", "demo", "--seconds", "1")
	f(exitUsage, "noecho: --rate is 1; choose 10 to 50000 orders a second", "demo", "--rate", "1")
	f(exitUsage, "do not fit into the demo's memory", "demo", "--seconds", "600", "--rate", "50000")
	f(exitFailed, "noecho: engine: no noecho store in this directory", "inspect", t.TempDir())
}

func TestSentences(t *testing.T) {
	disk, net := errors.New("disk full"), errors.New("broker gone")
	require.Equal(t, []string{"disk full"}, sentences(disk))
	require.Equal(t, []string{"disk full", "broker gone"}, sentences(errors.Join(disk, errors.Join(disk, net), net)))
	wrapped := fmt.Errorf("run: %w", errors.Join(disk, disk))
	require.Equal(t, []string{wrapped.Error()}, sentences(wrapped), "who wraps has chosen his words")
}

func TestHelpNamesEverySetting(t *testing.T) {
	code, stdout, _ := call("run", "--help")
	require.Zero(t, code)
	for i := range config.Settings {
		s := &config.Settings[i]
		require.Equal(t, !s.Secret, strings.Contains(stdout, "--"+s.Flag()+" "), s.Name)
	}
	require.Contains(t, stdout, "Exit status: 0 stopped as asked, 1 something failed while running, 2 the command line")
}

func TestPrintConfig(t *testing.T) {
	t.Setenv("NOECHO_SASL_PASSWORD", "hunter2")
	args := []string{"run", "--brokers=b:1", "--input=i", "--output=o", "--group=g", "--data-dir=d", "--sasl-mechanism=PLAIN", "--sasl-username=u", "--print-config"}
	code, stdout, stderr := call(args...)
	require.Zero(t, code, stderr)
	require.Regexp(t, `(?m)^brokers: b:1 +# --brokers$`, stdout)
	require.Contains(t, stdout, "\n# sasl_password: ********")
	require.NotContains(t, stdout+stderr, "hunter2")

	code, stdout, stderr = call(append(args, "--hash=md5")...)
	require.Equal(t, exitUsage, code)
	require.Contains(t, stdout, "hash: md5", "what is wrong is shown too")
	require.Contains(t, stderr, `hash is "md5"`)
}

func TestCompletion(t *testing.T) {
	_, stdout, _ := call("__complete", "run", "--hash", "")
	require.Equal(t, []string{"xxh3", "siphash"}, strings.Split(stdout, "\n")[:2])
	code, stdout, _ := call("completion", "bash")
	require.Zero(t, code)
	require.Contains(t, stdout, "__start_noecho")
}

func TestManPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	code, _, stderr := call("man", dir)
	require.Zero(t, code, stderr)
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	for i := range files {
		files[i] = filepath.Base(files[i])
	}
	require.Equal(t, []string{"noecho-ctl-mode.1", "noecho-ctl-status.1", "noecho-ctl.1", "noecho-demo.1", "noecho-inspect.1", "noecho-run.1", "noecho-version.1", "noecho.1"}, files)
	page, err := os.ReadFile(filepath.Join(dir, "noecho-run.1"))
	require.NoError(t, err)
	require.Contains(t, string(page), `\fB\-\-max\-bytes\fR \fIsize\fR`)
}

func TestVersion(t *testing.T) {
	code, stdout, _ := call("version")
	require.Zero(t, code)
	require.Regexp(t, `^noecho \S.* go1\.\S+ \w+/\w+\n$`, stdout)
}
