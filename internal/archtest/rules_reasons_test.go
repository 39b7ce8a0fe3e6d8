package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Pages returns the text of what users read: the README and the pages in docs, without the
// folders in it.
func Pages(root string) (string, error) {
	paths, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for _, path := range append(paths, filepath.Join(root, "README.md")) {
		page, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("reading what users read: %w", err)
		}
		text.Write(page)
	}
	return text.String(), nil
}

// UndocumentedReasons returns a sentence for each reason of a condition or an event that the
// pages do not name in backticks: a constant in api whose name begins with Reason.
func UndocumentedReasons(files []File, pages string) (broken []string, found int) {
	for _, f := range files {
		if !f.in("api") || f.Test() {
			continue
		}
		for name, value := range f.constants("Reason") {
			if found++; !strings.Contains(pages, "`"+value+"`") {
				broken = append(broken, fmt.Sprintf("%s: the reason %s (%s) is named neither in README.md nor in docs/*.md", f.Path, value, name))
			}
		}
	}
	return broken, found
}

// constants returns the constants of the file that are texts and whose names have a prefix.
func (f File) constants(prefix string) map[string]string {
	texts := map[string]string{}
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for i, name := range spec.Names {
			if i >= len(spec.Values) || !strings.HasPrefix(name.Name, prefix) {
				continue
			}
			if literal, ok := spec.Values[i].(*ast.BasicLit); ok && literal.Kind == token.STRING {
				texts[name.Name], _ = strconv.Unquote(literal.Value)
			}
		}
		return true
	})
	return texts
}
