package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"slices"
	"strings"
)

// PackageComments returns a sentence for each package that has no package
// comment, several, or one that does not begin with its name. A folder with nothing
// but tests is a package as well.
func PackageComments(files []File) []string {
	folders := map[string][]File{}
	for _, f := range files {
		folders[f.Dir()] = append(folders[f.Dir()], f)
	}
	var broken []string
	for _, dir := range slices.Sorted(maps.Keys(folders)) {
		if problem := packageComment(folders[dir]); problem != "" {
			broken = append(broken, dir+" "+problem)
		}
	}
	return broken
}

func packageComment(files []File) string {
	if slices.ContainsFunc(files, func(f File) bool { return !f.Test() }) {
		files = slices.DeleteFunc(slices.Clone(files), File.Test)
	}
	var commented []File
	for _, f := range files {
		if f.Syntax.Doc != nil {
			commented = append(commented, f)
		}
	}
	switch {
	case len(commented) == 0:
		return "has no package comment"
	case len(commented) > 1:
		return fmt.Sprintf("has %d package comments, in %s and %s", len(commented), commented[0].Path, commented[1].Path)
	}
	name, begin := commented[0].Syntax.Name.Name, ""
	if begin = "Package " + name; name == "main" {
		begin = "Command "
	}
	if text := commented[0].Syntax.Doc.Text(); !strings.HasPrefix(text, begin) {
		return fmt.Sprintf("has a package comment that does not begin with %q, in %s", begin, commented[0].Path)
	}
	return ""
}

// apiDocs reports what is exported from api/ without a comment: types, fields,
// functions, methods, constants and variables. The comment of a group does for
// each of its members; embedded fields have that of their type.
func apiDocs(f File) []string {
	if !f.in("api") || f.Test() || f.Generated() {
		return nil
	}
	var broken []string
	missing := func(name *ast.Ident, comments ...*ast.CommentGroup) {
		if name.IsExported() && !slices.ContainsFunc(comments, func(c *ast.CommentGroup) bool { return c.Text() != "" }) {
			broken = append(broken, fmt.Sprintf("%s: %s has no comment", f.at(name), name.Name))
		}
	}
	for _, decl := range f.Syntax.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			missing(d.Name, d.Doc)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				undocumentedSpec(d, spec, missing)
			}
		}
	}
	return broken
}

func undocumentedSpec(d *ast.GenDecl, spec ast.Spec, missing func(*ast.Ident, ...*ast.CommentGroup)) {
	switch s := spec.(type) {
	case *ast.ValueSpec:
		for _, name := range s.Names {
			missing(name, s.Doc, s.Comment, d.Doc)
		}
	case *ast.TypeSpec:
		if d.Tok == token.TYPE {
			missing(s.Name, s.Doc, d.Doc)
		}
		ast.Inspect(s.Type, func(n ast.Node) bool {
			if structure, ok := n.(*ast.StructType); ok {
				for _, field := range structure.Fields.List {
					for _, name := range field.Names {
						missing(name, field.Doc, field.Comment)
					}
				}
			}
			return true
		})
	}
}
