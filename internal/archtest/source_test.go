package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"strconv"
	"strings"
)

// File is one parsed Go file.
type File struct {
	// Path is relative to the repository's root, with slashes.
	Path   string
	Lines  int
	Syntax *ast.File
	set    *token.FileSet
}

// ParseFile parses the source of the file at path.
func ParseFile(path, source string) (File, error) {
	set := token.NewFileSet()
	syntax, err := parser.ParseFile(set, path, source, parser.ParseComments)
	if err != nil {
		return File{}, fmt.Errorf("parsing %s: %w", path, err)
	}
	return File{Path: path, Lines: strings.Count(source, "\n"), Syntax: syntax, set: set}, nil
}

// Dir is the folder of the file, relative to the repository's root.
func (f File) Dir() string { return path.Dir(f.Path) }

// Test reports whether the file is compiled for tests only.
func (f File) Test() bool { return strings.HasSuffix(f.Path, "_test.go") }

// Generated reports whether a program wrote the file.
func (f File) Generated() bool { return ast.IsGenerated(f.Syntax) }

// in reports whether the file is in one of the folders or below one of them.
func (f File) in(folders ...string) bool {
	for _, folder := range folders {
		if strings.HasPrefix(f.Path, strings.TrimSuffix(folder, "/")+"/") {
			return true
		}
	}
	return false
}

func (f File) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", f.Path, f.set.Position(n.Pos()).Line)
}

// importName returns the name by which the file calls a package, "" if it does
// not import it.
func (f File) importName(importPath string) string {
	for _, spec := range f.Syntax.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err != nil || p != importPath {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(importPath)
	}
	return ""
}

// uses returns the places below n where the file names a function of a package,
// called or not: a function that is handed on is used as well.
func (f File) uses(n ast.Node, importPath string, wanted func(name string) bool) []*ast.SelectorExpr {
	local := f.importName(importPath)
	if local == "" {
		return nil
	}
	var found []*ast.SelectorExpr
	ast.Inspect(n, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == local && wanted(s.Sel.Name) {
				found = append(found, s)
			}
		}
		return true
	})
	return found
}
