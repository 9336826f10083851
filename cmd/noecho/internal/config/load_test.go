package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// minimal is the least that a configuration must say, as flags.
var minimal = []string{"--brokers=b1:9092", "--input=in", "--output=out", "--group=g", "--data-dir=/data"}

func load(t *testing.T, file string, environ []string, args ...string) (*Loaded, error) {
	t.Helper()
	flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
	AddFlags(flags)
	if file != "" {
		args = append(args, "--config="+writeFile(t, "noecho.yaml", file))
	}
	require.NoError(t, flags.Parse(args))
	return Load(flags, environ)
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func with(args ...string) []string { return append(append([]string{}, minimal...), args...) }

func TestDefaultsAreValid(t *testing.T) {
	l, err := load(t, "", nil, minimal...)
	require.NoError(t, err)
	want := Default()
	want.Brokers, want.Input, want.Output, want.Group, want.DataDir = []string{"b1:9092"}, "in", "out", "g", "/data"
	require.Equal(t, want, l.Config)
	require.Equal(t, "--input", l.Origin("input"))
	require.Equal(t, "default", l.Origin("window"))
}

func TestPrecedence(t *testing.T) {
	file := "window: 1h\nbuckets: 2\nmax_bytes: 1Gi\n"
	env := []string{"NOECHO_WINDOW=2h", "NOECHO_BUCKETS=3", "PATH=/bin", "NOECHO_LOG_LEVEL="}
	l, err := load(t, file, env, with("--window=3h")...)
	require.NoError(t, err)
	require.Equal(t, 3*time.Hour, l.Window, "flag over variable")
	require.Equal(t, 3, l.Buckets, "variable over file")
	require.Equal(t, Size(1<<30), l.MaxBytes, "file over default")
	require.Equal(t, "info", l.LogLevel, "an empty variable is not set")
	require.Equal(t, "--window", l.Origin("window"))
	require.Equal(t, "NOECHO_BUCKETS", l.Origin("buckets"))
	require.Regexp(t, `noecho\.yaml:3$`, l.Origin("max_bytes"))
}

func TestFileByVariable(t *testing.T) {
	path := writeFile(t, "c.yaml", "window: 7h\n")
	l, err := load(t, "", []string{"NOECHO_CONFIG=" + path}, minimal...)
	require.NoError(t, err)
	require.Equal(t, 7*time.Hour, l.Window)

	l, err = load(t, "window: 8h\n", []string{"NOECHO_CONFIG=" + path}, minimal...)
	require.NoError(t, err)
	require.Equal(t, 8*time.Hour, l.Window, "--config over NOECHO_CONFIG")
}

// Every setting can be given in every source, under the name made of its own.
func TestEverySettingFromEverySource(t *testing.T) {
	sample := func(s *Setting) string {
		switch {
		case s.Values != nil:
			return s.Values[len(s.Values)-1]
		case s.Name == "hash_seed":
			return strings.Repeat("ab", 16)
		case s.Kind() == "bool":
			return "true"
		case s.Kind() == "duration":
			return "42s"
		case s.Kind() == "size", s.Kind() == "number":
			return "42"
		}
		return "x" + s.Name
	}
	for i := range Settings {
		s := &Settings[i]
		want := sample(s)
		check := func(source string, l *Loaded) {
			require.Equal(t, want, s.text(&l.Config), "%s from %s", s.Name, source)
		}
		l, _ := load(t, s.Name+": "+want+"\n", nil)
		check("the file", l)
		l, _ = load(t, "", []string{s.Env() + "=" + want})
		check("the environment", l)
		if !s.Secret {
			l, _ = load(t, "", nil, "--"+s.Flag()+"="+want)
			check("a flag", l)
		}
	}
}

func TestSecretsHaveNoFlag(t *testing.T) {
	flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
	AddFlags(flags)
	require.Nil(t, flags.Lookup("sasl-password"))
	require.Nil(t, flags.Lookup("hash-seed"))
	require.NotNil(t, flags.Lookup("sasl-password-file"))
}

func TestLists(t *testing.T) {
	want := []string{"a:1", "b:2"}
	l, err := load(t, "brokers: [a:1, b:2]\n", nil, minimal[1:]...)
	require.NoError(t, err)
	require.Equal(t, want, l.Brokers)
	l, err = load(t, "brokers:\n  - a:1\n  - b:2\n", nil, minimal[1:]...)
	require.NoError(t, err)
	require.Equal(t, want, l.Brokers)
	l, err = load(t, "brokers: a:1, b:2\n", nil, minimal[1:]...)
	require.NoError(t, err)
	require.Equal(t, want, l.Brokers)
	l, err = load(t, "brokers: z:1\n", []string{"NOECHO_BROKERS=a:1,b:2"}, minimal[1:]...)
	require.NoError(t, err)
	require.Equal(t, want, l.Brokers)
	l, err = load(t, "brokers: z:1\n", nil, append([]string{"--brokers=y:1", "--brokers=a:1,b:2"}, minimal[1:]...)...)
	require.NoError(t, err)
	require.Equal(t, want, l.Brokers)
}

func TestSecretFiles(t *testing.T) {
	password := writeFile(t, "password", "s3cret \n")
	seed := writeFile(t, "seed", strings.Repeat("0f", 16)+"\n")
	l, err := load(t, "", nil, with("--sasl-mechanism=PLAIN", "--sasl-username=u",
		"--sasl-password-file="+password, "--hash-seed-file="+seed)...)
	require.NoError(t, err)
	require.Equal(t, "s3cret ", l.SASLPassword, "only the line break goes")
	bytes, err := l.Seed()
	require.NoError(t, err)
	require.Len(t, bytes, 16)
	require.EqualValues(t, 0x0f, bytes[15])
}

func TestEnvironmentWarnings(t *testing.T) {
	l, err := load(t, "", []string{"NOECHO_WINDWO=1h", "NOECHO_PORT=tcp://10.0.0.1:80", "NOECHO_SERVICE_HOST=10.0.0.1", "NOECHO_VECTORS=x"}, minimal...)
	require.NoError(t, err)
	require.Equal(t, []string{"the variable NOECHO_WINDWO is not a setting of noecho; did you mean NOECHO_WINDOW?"}, l.Warnings)
}

func TestNearest(t *testing.T) {
	f := func(name, want string) {
		t.Helper()
		got, _ := Nearest(name)
		require.Equal(t, want, got, name)
	}
	f("windw", "window")
	f("ttl", "window")
	f("Bootstrap-Servers", "brokers")
	f("broker", "brokers")
	f("outptu", "output")
	f("data-dirs", "data_dir")
	f("tls_sever_name", "tls_server_name")
	for other, s := range otherNames {
		require.Nil(t, Lookup(other), "%s is a setting itself", other)
		require.NotNil(t, Lookup(s), "%s stands for no setting", other)
	}
}

func TestPrint(t *testing.T) {
	l, err := load(t, "sasl_password: hunter2\nkey: 'json:order: id'\nbrokers: [a:1, '[::1]:2']\n", []string{"NOECHO_HASH_SEED=" + strings.Repeat("c0ffee00", 4)},
		append(minimal[1:], "--sasl-mechanism=SCRAM-SHA-512", "--sasl-username=yes", "--max-bytes=9.66e+09", "--refresh")...)
	require.NoError(t, err)
	var b strings.Builder
	require.NoError(t, l.Print(&b))
	text := b.String()
	require.NotContains(t, text, "hunter2")
	require.NotContains(t, text, "c0ffee")
	require.Contains(t, text, "# sasl_password: ********")
	require.Contains(t, text, "# hash_seed: ********")
	require.Regexp(t, `(?m)^max_bytes: 9660MB +# --max-bytes$`, text)
	require.Regexp(t, `(?m)^window: 24h$`, text)

	// What was printed is a file that means the same, but for the secrets.
	again, err := load(t, text, []string{"NOECHO_SASL_PASSWORD=hunter2", "NOECHO_HASH_SEED=" + strings.Repeat("c0ffee00", 4)})
	require.NoError(t, err)
	require.Equal(t, l.Config, again.Config)
}

// TestPrintGroupProtocol: the session timeout is the brokers' with group_protocol consumer, and a file that names one would be refused.
func TestPrintGroupProtocol(t *testing.T) {
	l, err := load(t, "", nil, with("--group-protocol=consumer")...)
	require.NoError(t, err)
	var b strings.Builder
	require.NoError(t, l.Print(&b))
	require.Contains(t, b.String(), "# session_timeout: the brokers'")
	again, err := load(t, b.String(), nil)
	require.NoError(t, err)
	require.Equal(t, l.Config, again.Config)
}
