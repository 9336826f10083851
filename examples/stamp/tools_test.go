package stamp_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// kafkaPython is pinned: the test shall not change under us.
const kafkaPython = "kafka-python==3.0.12"

// javac compiles the files and gives the directory of the classes.
func javac(t *testing.T, classPath string, files ...string) (classes string) {
	t.Helper()
	if _, err := exec.LookPath("javac"); err != nil {
		t.Skip("javac is not installed (Debian: apt-get install default-jdk-headless): Java's stamp is not tested")
	}
	classes = t.TempDir()
	run(t, exec.Command("javac", append([]string{"-Xlint:all", "-Werror", "-encoding", "UTF-8", "-cp", classPath, "-d", classes}, files...)...), "")
	return classes
}

func python(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed (Debian: apt-get install python3-venv): Python's stamp is not tested")
	}
	return path
}

// pythonWithKafka makes a virtual environment with a Kafka client in it.
func pythonWithKafka(t *testing.T) string {
	t.Helper()
	venv := filepath.Join(t.TempDir(), "venv")
	if out, err := exec.Command(python(t), "-m", "venv", venv).CombinedOutput(); err != nil {
		t.Skipf("python3 makes no virtual environment (Debian: apt-get install python3-venv): Python's producer is not tested: %v\n%s", err, out)
	}
	if out, err := exec.Command(filepath.Join(venv, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", kafkaPython).CombinedOutput(); err != nil {
		t.Skipf("pip could not get %s (no network?): Python's producer is not tested: %v\n%s", kafkaPython, err, out)
	}
	return filepath.Join(venv, "bin", "python")
}

// run runs the command in this directory and gives what it prints to its standard output.
func run(t *testing.T, cmd *exec.Cmd, stdin string) string {
	t.Helper()
	var errs strings.Builder
	cmd.Stdin, cmd.Stderr = strings.NewReader(stdin), &errs
	cmd.Env = append(os.Environ(), "PYTHONPATH=.", "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.Output()
	require.NoError(t, err, "%s\n%s", cmd, errs.String())
	return string(out)
}
