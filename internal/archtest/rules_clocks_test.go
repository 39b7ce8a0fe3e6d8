package archtest

import (
	"fmt"
	"go/ast"
	"go/types"
	"slices"
)

// Monotonic are the packages that decide which speakers are alive and who owns an address, by
// time. The wall clock of a node may be set at any moment.
var Monotonic = []string{
	"internal/mesh", "internal/mesh/session", "internal/mesh/wire", "internal/ownership", "internal/segment",
	"speaker/layer2", "speaker/layer2/responder", "speaker/mesh",
}

// monotonic are the functions of the package time that neither read the wall clock alone nor drop
// the monotonic reading of a Time (the package's documentation, "Monotonic Clocks").
var monotonic = []string{
	"time.Now", "time.Since", "time.Until", "time.After", "time.AfterFunc", "time.NewTimer", "time.NewTicker",
	"(time.Time).Add", "(time.Time).Sub", "(time.Time).Before", "(time.Time).After", "(time.Time).Equal", "(time.Time).Compare", "(time.Time).IsZero",
	"(*time.Timer).Reset", "(*time.Timer).Stop", "(*time.Ticker).Reset", "(*time.Ticker).Stop",
	"(time.Duration).Seconds", "(time.Duration).Milliseconds", "(time.Duration).String",
}

// mayUseWallClock are functions that do, each with its reason.
var mayUseWallClock = map[string]string{
	"internal/mesh.untilHeartbeat":    "processors wake up for all heartbeats at once; the result is at most an interval whatever the clock says",
	"speaker/layer2.truncateToSecond": "the time is reported, and compared only with one that the same process has reported",
}

// WallClock returns a sentence for each use of the wall clock in a package, whose path in the
// module is given, and for each comparison of times with an operator, which compares wall clocks.
func (p Typed) WallClock(path string) []string {
	var broken []string
	for _, file := range p.Files {
		for _, declaration := range file.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && mayUseWallClock[path+"."+f.Name.Name] != "" {
				continue
			}
			ast.Inspect(declaration, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.Ident:
					if f, ok := p.Info.Uses[n].(*types.Func); ok && f.Pkg() != nil && f.Pkg().Path() == "time" && !slices.Contains(monotonic, f.FullName()) {
						broken = append(broken, fmt.Sprintf("%s uses %s, which goes by the wall clock", p.at(n), f.FullName()))
					}
				case *ast.BinaryExpr:
					if x := p.Info.TypeOf(n.X); x != nil && x.String() == "time.Time" {
						broken = append(broken, fmt.Sprintf("%s compares times with %s, which compares wall clocks", p.at(n), n.Op))
					}
				}
				return true
			})
		}
	}
	return broken
}
