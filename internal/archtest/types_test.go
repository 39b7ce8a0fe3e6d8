package archtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Typed is a package with the types of its expressions, its tests left out.
type Typed struct {
	Files []*ast.File
	Info  *types.Info
	set   *token.FileSet
	root  string
}

func (p Typed) at(n ast.Node) string {
	position := p.set.Position(n.Pos())
	if relative, err := filepath.Rel(p.root, position.Filename); err == nil {
		position.Filename = filepath.ToSlash(relative)
	}
	return fmt.Sprintf("%s:%d", position.Filename, position.Line)
}

// Compiled are packages and all that they import, as the compiler left them in the
// build cache.
type Compiled struct {
	root     string
	packages map[string]compiledPackage
	set      *token.FileSet
	imports  types.Importer
}

type compiledPackage struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
}

// Compile compiles packages of the module at root, and what they import.
func Compile(root string, packages ...string) (*Compiled, error) {
	absolute, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", root, err)
	}
	cmd := exec.Command("go", append([]string{"list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles", "--"}, packages...)...)
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("compiling %s: %w", strings.Join(packages, ", "), err)
	}
	c := &Compiled{root: absolute, packages: map[string]compiledPackage{}, set: token.NewFileSet()}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p compiledPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("reading what go list printed: %w", err)
		}
		c.packages[p.ImportPath] = p
	}
	c.imports = importer.ForCompiler(c.set, "gc", func(path string) (io.ReadCloser, error) {
		if c.packages[path].Export == "" {
			return nil, fmt.Errorf("the package %s is not compiled", path)
		}
		return os.Open(c.packages[path].Export)
	})
	return c, nil
}

// Package returns a compiled package with its types.
func (c *Compiled) Package(path string) (Typed, error) {
	p, ok := c.packages[path]
	if !ok {
		return Typed{}, fmt.Errorf("the package %s is not compiled", path)
	}
	var files []*ast.File
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(c.set, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return Typed{}, fmt.Errorf("parsing the package %s: %w", path, err)
		}
		files = append(files, file)
	}
	return c.check(path, files)
}

func (c *Compiled) check(path string, files []*ast.File) (Typed, error) {
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: c.imports}
	if _, err := config.Check(path, c.set, files, info); err != nil {
		return Typed{}, fmt.Errorf("finding the types of the package %s: %w", path, err)
	}
	return Typed{Files: files, Info: info, set: c.set, root: c.root}, nil
}
