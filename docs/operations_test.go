package docs_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const operationsPage = "operations.md"

// built is the command, made once for all tests; TestMain removes it.
var built struct {
	sync.Once
	dir string
	out []byte
	err error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir) // of the system's temporary directory
	}
	os.Exit(code)
}

// buildCommand returns how to run the command, without the variables of whoever runs the tests.
func buildCommand(t *testing.T) func(args ...string) *exec.Cmd {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the command")
	}
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "noecho-docs-"); built.err == nil {
			built.out, built.err = exec.Command("go", "build", "-o", built.dir, "../cmd/noecho").CombinedOutput()
		}
	})
	require.NoError(t, built.err, "%s", built.out)
	return func(args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(built.dir, "noecho"), args...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
		return cmd
	}
}

// TestReadmeConfig: the file in README.md is one the command takes.
func TestReadmeConfig(t *testing.T) {
	noecho := buildCommand(t)
	page, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(page), "```yaml\n")
	require.True(t, ok)
	text, _, ok := strings.Cut(rest, "```")
	require.True(t, ok)
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	require.NoError(t, os.WriteFile(secret, []byte("secret\n"), 0o600))
	file := filepath.Join(dir, "orders.yaml")
	require.Contains(t, text, "/run/secrets/kafka")
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(text, "/run/secrets/kafka", secret, 1)), 0o600))
	out, err := noecho("run", "--config", file, "--print-config").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "max_bytes: 40Gi")
}

func unquote(cell string) string { return strings.Trim(cell, "`") }

// TestSettings: the table lists the settings of the command, all of them, in its order, with its defaults.
func TestSettings(t *testing.T) {
	noecho := buildCommand(t)
	cmd := noecho("run", "--print-config")
	var printed bytes.Buffer
	cmd.Stdout = &printed
	require.Error(t, cmd.Run(), "required settings are missing: the print comes all the same")
	var want [][2]string
	for line := range strings.Lines(printed.String()) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if ok && !strings.HasPrefix(line, "#") {
			want = append(want, [2]string{name, strings.Trim(value, `"`)})
		}
	}
	require.Greater(t, len(want), 30)
	var got [][2]string
	for _, row := range tableOf(t, operationsPage, "settings") {
		got = append(got, [2]string{unquote(row[0]), unquote(row[1])})
	}
	require.Equal(t, want, got)

	help, err := noecho("run", "--help").Output()
	require.NoError(t, err)
	for path, text := range pages(t) {
		if strings.HasSuffix(path, "performance.md") {
			continue // its flags are the bench's, which holds them against its own commands
		}
		for _, m := range regexp.MustCompile("`(--[a-z][a-z-]+)[ `=]").FindAllStringSubmatch(text, -1) {
			if foreign[m[1]] {
				continue
			}
			require.True(t, strings.Contains(string(help), m[1]+" "), "%s mentions %s, a flag that is not there", path, m[1])
		}
	}
}

// foreign are flags of other commands.
var foreign = map[string]bool{"--json": true, "--buckets": true, "--reset-offsets": true, "--seconds": true, "--rate": true, "--addr": true}

var metricType = regexp.MustCompile(`(?m)^# TYPE (noecho_\w+) (\w+)$`)

// TestMetrics: the table lists the metrics that are exported, all of them; and no page names another.
func TestMetrics(t *testing.T) {
	exported, err := os.ReadFile("../cmd/noecho/internal/metrics/testdata/metrics.txt")
	require.NoError(t, err)
	want := map[string]string{}
	for _, m := range metricType.FindAllStringSubmatch(string(exported), -1) {
		want[m[1]] = m[2]
	}
	got := map[string]string{}
	for _, row := range tableOf(t, operationsPage, "metrics") {
		got[unquote(row[0])] = row[1]
	}
	require.Equal(t, want, got)
	for path, text := range pages(t) {
		for _, name := range regexp.MustCompile(`\bnoecho_[a-z0-9_]+`).FindAllString(text, -1) {
			require.Contains(t, want, name, "%s mentions a metric that is not there", path)
		}
	}
}

// TestConstants: numbers that the pages take from the code.
func TestConstants(t *testing.T) {
	all := pages(t)
	for _, c := range []struct{ file, pattern, page, phrase string }{
		{"kafka/member_config.go", `&c\.QueueBytes, (\d+)<<20\)`, "docs/operations.md", "at most %s MiB of keys, values and headers a partition"},
		{"kafka/member_config.go", `&c\.TotalQueueBytes, (\d+)<<20\)`, "docs/operations.md", "and %s MiB together"},
		{"kafka/member_config.go", `&c\.DecompressBytes, (\d+)<<20\)`, "docs/operations.md", "one batch may have %s MiB decompressed"},
		{"kafka/member_config.go", `&c\.SessionTimeout, (\d+)\*time\.Second\)`, "docs/operations.md", "after a restart within %s s it has its partitions back"},
		{"kafka/member_config.go", `&c\.SessionTimeout, (\d+)\*time\.Second\)`, "docs/decisions/0005-static-membership.md", "(%s s by default)"},
		{"kafka/config.go", `&c\.SettleWait, (\d+)\*time\.Millisecond\)`, "README.md", "for longer than %s ms"},
		{"kafka/config.go", `&c\.SettleWait, (\d+)\*time\.Millisecond\)`, "docs/decisions/0002-resume-by-commit-metadata.md", "`SettleWait` (%s ms)"},
		{"kafka/member_config.go", `&c\.SessionTimeout, (\d+)\*time\.Second\)`, "docs/kafka.md", "within `SessionTimeout` (%s s)"},
		{"kafka/member_config.go", `&c\.RebalanceTimeout, (\d+)\*time\.Second\)`, "docs/kafka.md", "half of `RebalanceTimeout` (%s s)"},
		{"kafka/member_config.go", `&c\.CommitInterval, time\.Second(\))`, "docs/kafka.md", "one `CommitInterval` (1 s"},
		{"kafka/consumer_config.go", `&c\.Retry\.Attempts, (\d+)\)`, "docs/kafka.md", "`Retry.Attempts` (%s) calls"},
		{"kafka/consumer_config.go", `&c\.Retry\.MinBackoff, (\d+)\*time\.Millisecond\)`, "docs/kafka.md", "tried again after %s ms"},
		{"kafka/consumer_config.go", `max\((\d+)\*time\.Second, c\.Retry\.MinBackoff`, "docs/kafka.md", "up to %s s, half of each at random"},
		{"kafka/consumer_config.go", `&c\.BatchBytes, (\d+)<<20\)`, "docs/kafka.md", "`BatchBytes` (%s MiB)"},
		{"kafka/assignment.go", `chunkRecords = (\d+)`, "docs/kafka.md", "up to `BatchRecords` (%s)"},
		{"kafka/deadletter.go", `maxErrorText = (\d+)`, "docs/kafka.md", "up to %s bytes of text"},
		{"kafka/lease.go", `session-session/10(,)`, "docs/operations.md", "at nine tenths of `session_timeout`"},
		{"kafka/lease.go", `session-session/10(,)`, "docs/guarantees.md", "for nine tenths of the session timeout"},
		{"kafka/session.go", `beatsInSession = 5(\n)`, "docs/kafka.md", "at least five heartbeats"},
		{"kafka/session.go", `sessionReadEvery = (\d+) \* time\.Second`, "docs/kafka.md", "a change is noticed within %s s"},
		{"kafka/instance.go", `instancePatience = 2(\n)`, "docs/kafka.md", "after twice the session timeout"},
		{"kafka/client.go", `FetchMaxBytes\(max\((\d+)<<20`, "docs/operations.md", "fetches up to %s MiB a broker ahead"},
		{"kafka/assignment.go", `chunkRecords = (\d+)`, "docs/architecture.md", "takes up to %s records"},
		{"kafka/producer.go", `brokerInflight = 2(\n)`, "docs/architecture.md", "at most two a broker"},
		{"engine/shard.go", `const chunkRecords = (\d+)`, "docs/architecture.md", "in chunks of %s under the partition's lock"},
		{"engine/options.go", `&o\.WALBytes, (\d+)\*o\.SegmentBytes`, "docs/operations.md", "(%s segments in use,"},
		{"wal/spare.go", `maxSpares = (\d+)`, "docs/operations.md", "up to %s spare"},
		{"wal/spare.go", `maxSpares = (\d+)`, "docs/format.md", "of no account; at most %s"},
		{"wal/options.go", `defaultSegmentBytes = (\d+) << 20`, "docs/format.md", "Segments are %s MiB unless told otherwise"},
		{"internal/index/options.go", `mergeDepth = (\d+)`, "docs/operations.md", "up to %s is as it should be, at twice that sealing waits"},
		{"engine/page.go", `pageBits   = 9(\n)`, "docs/decisions/0004-extendible-tables.md", "512 slots of 24 bytes"},
		{"bloom/bloom.go", `slackPct = 150(\b)`, "docs/operations.md", "after the load fell by a third it is made anew"},
	} {
		source, err := os.ReadFile(filepath.Join("..", c.file))
		require.NoError(t, err)
		m := regexp.MustCompile(c.pattern).FindSubmatch(source)
		require.NotNil(t, m, "%s: no %s (any more): mend %s and this table", c.file, c.pattern, c.page)
		phrase := strings.Replace(c.phrase, "%s", string(m[1]), 1)
		text := strings.Join(strings.Fields(all[c.page]), " ")
		require.True(t, strings.Contains(text, phrase), "%s should say %q, by %s", c.page, phrase, c.file)
	}
}

// literals are the string constants of the sources below the directories, tests left out; with only, of the files of
// that name.
func literals(t *testing.T, only string, dirs ...string) (all []string) {
	t.Helper()
	for _, dir := range dirs {
		require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") ||
				(only != "" && d.Name() != only) {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			require.NoError(t, err)
			ast.Inspect(file, func(n ast.Node) bool {
				if _, ok := n.(*ast.ImportSpec); ok {
					return false
				}
				if text, ok := literal(n); ok {
					all = append(all, text)
					return false
				}
				return true
			})
			return nil
		}))
	}
	return all
}

// literal is the value of a string constant, or of several joined with +.
func literal(n ast.Node) (string, bool) {
	switch x := n.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(x.Value)
		return text, x.Kind == token.STRING && err == nil
	case *ast.BinaryExpr:
		left, ok := literal(x.X)
		right, also := literal(x.Y)
		return left + right, ok && also && x.Op == token.ADD
	}
	return "", false
}

var sources = []string{"../engine", "../wal", "../bloom", "../internal/index", "../kafka", "../cmd/noecho"}

// TestMessages: what the tables quote is said somewhere in the code, and every message of an errors.go has a row.
func TestMessages(t *testing.T) {
	said := literals(t, "", sources...)
	var rows []string
	for _, table := range []string{"messages", "warnings"} {
		for _, row := range tableOf(t, operationsPage, table) {
			quoted := unquote(row[0])
			rows = append(rows, quoted)
			require.True(t, holds(said, quoted), "nothing says %q (any more)", quoted)
		}
	}
	for _, text := range literals(t, "errors.go", sources[:5]...) {
		// A message begins with its package's name, or is a clause of one; short ones are separators and words.
		if strings.Count(text, " ") < 2 || strings.HasPrefix(text, "it was ") {
			continue
		}
		known := false
		for _, row := range rows {
			known = known || strings.Contains(text, row)
		}
		require.True(t, known, "%s has no row for %q", operationsPage, text)
	}
}

func holds(all []string, part string) bool {
	for _, s := range all {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}
