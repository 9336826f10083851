package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// source is one Go file of the project.
type source struct {
	path  string // from the module's root, with slashes
	lines int
	set   *token.FileSet
	file  *ast.File
}

func (s *source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

// dir is the package's directory from the module's root.
func (s *source) dir() string { return filepath.ToSlash(filepath.Dir(s.path)) }

// generated reports a file that says so in the standard words.
func (s *source) generated() bool { return ast.IsGenerated(s.file) }

const root = "../.."

var parseAll = sync.OnceValues(func() ([]*source, error) {
	var all []*source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		all = append(all, &source{path: filepath.ToSlash(rel), lines: set.File(file.Pos()).LineCount(), set: set, file: file})
		return err
	})
	return all, err
})

// sources are all Go files of the project, parsed once.
func sources(t *testing.T) []*source {
	all, err := parseAll()
	require.NoError(t, err)
	require.Greater(t, len(all), 20, "the tree was not found")
	return all
}
