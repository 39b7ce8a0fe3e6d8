package archtest

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

// FileRule is a rule about the content of a file.
type FileRule struct {
	Name   string
	Check  func(File) []string
	Reason string
}

// mayParse are the folders besides internal/apiconv in which text is turned into
// addresses, and why that text is not from an API object.
var mayParse = map[string]string{
	"cmd":               "flags of the command line",
	"hack":              "tools have their own input",
	"internal/lanprobe": "arguments of the command line of speaker probe",
	"test":              "tests have their own input",
}

// FileRules are the rules on single files.
var FileRules = []FileRule{
	{"a Go file has at most 800 lines", fileSize, "what does not fit in the head is not reviewed; split by concern"},
	{"a program's main.go has at most 100 lines", mainSize, "main wires; what can be tested belongs in a package"},
	{"pure packages read no clock", noClock, "time comes in as an argument, so that tests and restarts decide what it is"},
	{"only apiconv parses text from API objects", noParsing, "command line, controllers and speaker must not disagree about what a user wrote"},
	{"unit tests do not sleep", noSleep, "a sleep is slow when it is enough and flaky when it is not: use testing/synctest"},
	{"nothing runs before main but scheme registration", noInit, "hidden order and global state; call it from run"},
	{"packages are named for what they hold", packageName, "in a package called util nobody finds anything, so everything lands there"},
	{"every exported identifier of the API is documented", apiDocs, "the comments are the reference that kubectl explain prints"},
}

func fileSize(f File) []string {
	if f.Lines <= 800 || f.Generated() {
		return nil
	}
	return []string{fmt.Sprintf("%s has %d lines", f.Path, f.Lines)}
}

func mainSize(f File) []string {
	if f.Lines <= 100 || !f.in("cmd") || !strings.HasSuffix(f.Path, "/main.go") {
		return nil
	}
	return []string{fmt.Sprintf("%s has %d lines", f.Path, f.Lines)}
}

func noClock(f File) []string {
	if f.Test() || !f.in(pureFolders()...) {
		return nil
	}
	clock := []string{"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer", "Sleep"}
	return f.sentences(f.uses(f.Syntax, "time", func(name string) bool { return slices.Contains(clock, name) }))
}

// pureFolders are the folders of the pure packages.
func pureFolders() []string {
	folders := make([]string, 0, len(pure))
	for _, p := range pure {
		folders = append(folders, strings.TrimSuffix(strings.TrimPrefix(p, "./"), "/..."))
	}
	return folders
}

func noParsing(f File) []string {
	if f.Test() || f.in("internal/apiconv") {
		return nil
	}
	for folder := range mayParse {
		if f.in(folder) {
			return nil
		}
	}
	constant := f.constantCalls()
	parses := func(name string) bool { return strings.Contains(name, "Parse") }
	var found []*ast.SelectorExpr
	for _, from := range []string{"net/netip", "net"} {
		for _, s := range f.uses(f.Syntax, from, parses) {
			if !constant[s] {
				found = append(found, s)
			}
		}
	}
	return f.sentences(found)
}

// constantCalls returns the functions that the file calls with literals alone.
func (f File) constantCalls() map[ast.Expr]bool {
	constant := map[ast.Expr]bool{}
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if ok && !slices.ContainsFunc(call.Args, func(arg ast.Expr) bool { _, ok := arg.(*ast.BasicLit); return !ok }) {
			constant[call.Fun] = true
		}
		return true
	})
	return constant
}

// noSleep lets time.Sleep pass in a bubble of testing/synctest, where it costs
// no time: in a test that opens one, and in a function that is no test of its
// own but stands in a file that opens one.
func noSleep(f File) []string {
	if !f.Test() || f.in("test", "hack") {
		return nil
	}
	bubbles := f.importName("testing/synctest") != ""
	var broken []string
	for _, decl := range f.Syntax.Decls {
		if bubbles && f.inBubble(decl) {
			continue
		}
		broken = append(broken, f.sentences(f.uses(decl, "time", func(name string) bool { return name == "Sleep" }))...)
	}
	return broken
}

func (f File) inBubble(decl ast.Decl) bool {
	fn, ok := decl.(*ast.FuncDecl)
	if !ok || !strings.HasPrefix(fn.Name.Name, "Test") {
		return true
	}
	return len(f.uses(fn, "testing/synctest", func(name string) bool { return name == "Test" })) > 0
}

func noInit(f File) []string {
	var broken []string
	for _, decl := range f.Syntax.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if ok && fn.Recv == nil && fn.Name.Name == "init" && !registers(fn.Body) {
			broken = append(broken, f.at(fn)+" has an init function")
		}
	}
	return broken
}

// registers reports whether each statement of a body registers types in a scheme.
func registers(body *ast.BlockStmt) bool {
	return !slices.ContainsFunc(body.List, func(statement ast.Stmt) bool {
		scheme := false
		ast.Inspect(statement, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			scheme = scheme || ok && (s.Sel.Name == "AddToScheme" || s.Sel.Name == "Register")
			return true
		})
		return !scheme
	})
}

func packageName(f File) []string {
	vague := []string{"util", "utils", "common", "helper", "helpers", "misc", "shared", "base"}
	if !slices.Contains(vague, strings.TrimSuffix(f.Syntax.Name.Name, "_test")) {
		return nil
	}
	return []string{fmt.Sprintf("%s is in a package called %s", f.Path, f.Syntax.Name.Name)}
}

// sentences has the place of the selectors.
func (f File) sentences(found []*ast.SelectorExpr) []string {
	var broken []string
	for _, s := range found {
		broken = append(broken, fmt.Sprintf("%s uses %s.%s", f.at(s), s.X.(*ast.Ident).Name, s.Sel.Name))
	}
	return broken
}
