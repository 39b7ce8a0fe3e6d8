package archtest

import (
	"fmt"
	"go/ast"
	"maps"
	"slices"
)

// leakPackage is the import path of the package that finds goroutines which
// outlive the tests that started them.
const leakPackage = "go.uber.org/goleak"

// GoroutineLeaks returns a sentence for each package that starts a goroutine, in
// the product or in its tests, and whose tests do not check that all goroutines
// have ended: such a package has a TestMain that calls goleak.VerifyTestMain, or the one of
// test/apiserver, which looks when the API server has ended. A package without tests is not
// reported, nor are those that use a cluster with which they keep connections.
func GoroutineLeaks(files []File) []string {
	folders := map[string][]File{}
	for _, f := range files {
		if !f.in("test/e2e", "hack/devcluster/cluster") {
			folders[f.Dir()] = append(folders[f.Dir()], f)
		}
	}
	var broken []string
	for _, dir := range slices.Sorted(maps.Keys(folders)) {
		inFolder := folders[dir]
		starts := slices.IndexFunc(inFolder, func(f File) bool { return f.startsGoroutine() })
		if starts < 0 || !slices.ContainsFunc(inFolder, File.Test) || slices.ContainsFunc(inFolder, File.verifiesGoroutines) {
			continue
		}
		broken = append(broken, fmt.Sprintf("%s starts a goroutine, and no TestMain of %s calls goleak.VerifyTestMain", inFolder[starts].Path, dir))
	}
	return broken
}

// startsGoroutine reports whether the file has a go statement or calls a method
// named Go, as sync.WaitGroup and errgroup.Group have it.
func (f File) startsGoroutine() bool {
	found := false
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = true
		case *ast.CallExpr:
			s, ok := n.Fun.(*ast.SelectorExpr)
			found = found || ok && s.Sel.Name == "Go"
		}
		return !found
	})
	return found
}

func (f File) verifiesGoroutines() bool {
	return f.Test() && (len(f.uses(f.Syntax, leakPackage, func(name string) bool { return name == "VerifyTestMain" })) > 0 ||
		len(f.uses(f.Syntax, "github.com/lbstack/lbstack/test/apiserver", func(name string) bool { return name == "Main" })) > 0)
}
