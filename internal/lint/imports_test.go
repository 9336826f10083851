package lint

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "noecho"

// arrows are the packages of the project that each of these may depend on, however far away. Commands and tests are free.
//
//	cmd -> kafka -> engine -> { bloom, wal, internal/index }
var arrows = map[string][]string{
	"wal":              {"internal/invariants"},
	"bloom":            {"internal/hugepage", "internal/invariants"},
	"internal/index":   {"internal/invariants"},
	"engine":           {"bloom", "wal", "internal/index", "internal/hugepage", "internal/invariants"},
	"kafka":            {"engine", "bloom", "wal", "internal/index", "internal/hugepage", "internal/invariants", "internal/keyspec"},
	"internal/model":   {},
	"stamp":            {"internal/keyspec"},
	"internal/keyspec": {},
}

// barred are modules that a package must not depend on, however far away, with the reason.
var barred = []struct {
	pkgs, prefixes []string
	reason         string
}{
	{pkgs: []string{"engine", "bloom", "wal", "internal/index", "internal/invariants", "internal/model"},
		prefixes: []string{"github.com/twmb/franz-go", "noecho/kafka", "noecho/cmd"}, reason: "the engine knows no Kafka"},
	{pkgs: []string{"bloom", "internal/model", "internal/invariants", "internal/hugepage"},
		prefixes: []string{"github.com/cockroachdb", "net"}, reason: "pure: no I/O, no store"},
	{pkgs: []string{"stamp"}, prefixes: []string{"github.com/cockroachdb", "github.com/twmb/franz-go/pkg/kadm", "github.com/twmb/franz-go/plugin", "github.com/zeebo"},
		reason: "a producer embeds it: the Kafka client and gjson, nothing else"},
	{pkgs: []string{"kafka"}, prefixes: []string{"github.com/spf13", "net/http/pprof"}, reason: "a library: no command line, no endpoints"},
}

// direct are the only importers of a module, test files aside.
var direct = []struct {
	prefix, except string
	pkgs           []string
	reason         string
}{
	{prefix: "github.com/cockroachdb/pebble", except: "github.com/cockroachdb/pebble/v2/vfs", pkgs: []string{"internal/index"},
		reason: "internal/index is the only importer of pebble besides vfs"},
	{prefix: "github.com/prometheus", pkgs: []string{"cmd/noecho", "cmd/noecho/internal"}, reason: "metrics are exported by the command alone"},
	{prefix: "github.com/bits-and-blooms", pkgs: []string{"bloom"}, reason: "the filters are behind bloom"},
	{prefix: "github.com/spf13", pkgs: []string{"cmd/noecho"}, reason: "flags are the command's"},
}

// list runs go list and gives for each package of the project what the template says of it.
func list(t *testing.T, template string) map[string][]string {
	cmd := exec.Command("go", "list", "-f", "{{.ImportPath}} "+template, "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	require.NoError(t, err)
	byPackage := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		byPackage[strings.TrimPrefix(fields[0], module+"/")] = fields[1:]
	}
	return byPackage
}

func under(path, prefix string) bool { return path == prefix || strings.HasPrefix(path, prefix+"/") }

func TestArrows(t *testing.T) {
	deps := list(t, `{{join .Deps " "}}`)
	for pkg, allowed := range arrows {
		if _, ok := deps[pkg]; !ok {
			t.Errorf("%s is not a package (any more): mend the table", pkg)
		}
		for _, dep := range deps[pkg] {
			if ours, ok := strings.CutPrefix(dep, module+"/"); ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s depends on %s, which is not below it", pkg, dep)
			}
		}
	}
	for _, b := range barred {
		for _, pkg := range b.pkgs {
			for _, dep := range deps[pkg] {
				if slices.ContainsFunc(b.prefixes, func(prefix string) bool { return under(dep, prefix) }) {
					t.Errorf("%s depends on %s: %s", pkg, dep, b.reason)
				}
			}
		}
	}
}

func TestOnlyImporters(t *testing.T) {
	imports := list(t, `{{join .Imports " "}}`)
	for _, d := range direct {
		used := false
		for pkg, deps := range imports {
			for _, dep := range deps {
				if !under(dep, d.prefix) || d.except != "" && under(dep, d.except) {
					continue
				}
				if slices.ContainsFunc(d.pkgs, func(p string) bool { return under(pkg, p) }) {
					used = true
				} else {
					t.Errorf("%s imports %s: %s", pkg, dep, d.reason)
				}
			}
		}
		if !used {
			t.Errorf("nobody imports %s (any more): mend the table", d.prefix)
		}
	}
}

// TestOracleIsIndependent: what judges noecho from outside shares no code with it.
func TestOracleIsIndependent(t *testing.T) {
	for _, dep := range list(t, `{{join .TestImports " "}}`)["fuzz/e2e"] {
		if under(dep, module) {
			t.Errorf("fuzz/e2e imports %s", dep)
		}
	}
}
