package lint

import (
	"go/ast"
	"testing"
)

// A function that fits on a screen can be read; a file of one idea can be found. The aim for files is 400 lines.
const (
	functionLines = 70
	fileLines     = 450
)

func TestSizes(t *testing.T) {
	for _, s := range sources(t) {
		if s.generated() {
			continue
		}
		if s.lines > fileLines {
			t.Errorf("%s has %d lines, more than %d: which two ideas are in it?", s.path, s.lines, fileLines)
		}
		for _, decl := range s.file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := s.set.Position(f.End()).Line - s.set.Position(f.Pos()).Line + 1; n > functionLines {
				t.Errorf("%s: %s has %d lines, more than %d", s.set.Position(f.Pos()), f.Name.Name, n, functionLines)
			}
		}
	}
}
