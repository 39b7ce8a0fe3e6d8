package archtest

import (
	"go/ast"
	"go/parser"
	"path"
	"testing"

	diff "github.com/google/go-cmp/cmp"
)

func TestWallClock(t *testing.T) {
	compiled, err := Compile(root, "time")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, body string
		want       []string
	}{
		{name: "differences and timers", body: "if x.Sub(y) > time.Second && x.Before(y.Add(time.Second)) { <-time.After(time.Until(x)) }"},
		{name: "a time from a number", body: "_ = time.Unix(7, 0)", want: []string{"p.go:5 uses time.Unix, which goes by the wall clock"}},
		{name: "a number from a time", body: "_ = x.UnixNano()", want: []string{"p.go:5 uses (time.Time).UnixNano, which goes by the wall clock"}},
		{name: "a time without its monotonic reading", body: "x = x.Round(0)", want: []string{"p.go:5 uses (time.Time).Round, which goes by the wall clock"}},
		{name: "a method that is handed on", body: "f := x.Unix; _ = f", want: []string{"p.go:5 uses (time.Time).Unix, which goes by the wall clock"}},
		{name: "an operator", body: "_ = x == y", want: []string{"p.go:5 compares times with ==, which compares wall clocks"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file, err := parser.ParseFile(compiled.set, "p.go", "package p\n\nimport \"time\"\n\nfunc f(x, y time.Time) { "+tt.body+" }\n", parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			p, err := compiled.check("p", []*ast.File{file})
			if err != nil {
				t.Fatal(err)
			}
			if changed := diff.Diff(tt.want, p.WallClock("p")); changed != "" {
				t.Errorf("(-want +got):\n%s", changed)
			}
		})
	}
}

func TestWallClockDecidesNothing(t *testing.T) {
	var paths []string
	for _, p := range Monotonic {
		paths = append(paths, path.Join(Module, p))
	}
	compiled, err := Compile(root, paths...)
	if err != nil {
		t.Fatal(err)
	}
	for i, path := range paths {
		p, err := compiled.Package(path)
		if err != nil {
			t.Fatal(err)
		}
		report(t, p.WallClock(Monotonic[i]), "NTP or an administrator sets the clock of a node while speakers run: none may be found dead, and no address lose its owner")
	}
	for function, reason := range mayUseWallClock {
		if reason == "" {
			t.Errorf("%s uses the wall clock without a reason", function)
		}
	}
}
