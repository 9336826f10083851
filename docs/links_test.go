package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// pages are README.md and all Markdown below docs, by path from the module's root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, pattern := range []string{"README.md", "docs/*.md", "docs/*/*.md", "examples/*.md", "examples/*/*.md"} {
		paths, err := filepath.Glob(filepath.Join("..", pattern))
		require.NoError(t, err)
		require.NotEmpty(t, paths, pattern)
		for _, path := range paths {
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			rel, err := filepath.Rel("..", path)
			require.NoError(t, err)
			found[rel] = string(b)
		}
	}
	return found
}

var (
	fence   = regexp.MustCompile("(?s)```.*?```")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notSlug = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are the names that GitHub gives to the headings of a page.
func anchors(text string) map[string]bool {
	found := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		found["#"+strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return found
}

// TestLinks: every relative link leads to a file, and every anchor to a heading.
func TestLinks(t *testing.T) {
	all := pages(t)
	checked := 0
	for path, text := range all {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			target := m[1]
			if strings.HasPrefix(target, "https://") || strings.HasPrefix(target, "http://") {
				continue
			}
			checked++
			file, anchor, hasAnchor := strings.Cut(target, "#")
			to := path
			if file != "" {
				to = filepath.Join(filepath.Dir(path), file)
				if _, err := os.Stat(filepath.Join("..", to)); err != nil {
					t.Errorf("%s: the link %s leads nowhere", path, target)
					continue
				}
			}
			if hasAnchor && !anchors(all[to])["#"+anchor] {
				t.Errorf("%s: the link %s has no heading", path, target)
			}
		}
	}
	require.Greater(t, checked, 20)
}

// TestPaths: every path of the repository that a page quotes is there.
func TestPaths(t *testing.T) {
	quoted := regexp.MustCompile("`((?:bench|bloom|cmd|deploy|docs|engine|examples|fuzz|internal|kafka|scripts|stamp|wal)/[^` ]*)`")
	checked := 0
	for path, text := range pages(t) {
		for _, m := range quoted.FindAllStringSubmatch(text, -1) {
			found, err := filepath.Glob(filepath.Join("..", m[1]))
			require.NoError(t, err)
			if len(found) == 0 {
				t.Errorf("%s names %s, which is not there", path, m[1])
			}
			checked++
		}
	}
	require.Greater(t, checked, 10)
}

// TestPagesStandAlone: a document must make sense on another machine, to somebody who has this repository only.
func TestPagesStandAlone(t *testing.T) {
	local := regexp.MustCompile(`(?:^|[\s("'])(/(?:work|home|root|tmp)/|\.\./shared)|(?:^|\W)DESIGN\.md|SEMANTICS\.md|TO` + `DO\b`)
	for path, text := range pages(t) {
		if m := local.FindString(text); m != "" {
			t.Errorf("%s: %q", path, strings.TrimSpace(m))
		}
	}
}
