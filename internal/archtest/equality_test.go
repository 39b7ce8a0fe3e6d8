package archtest

import (
	"cmp"
	"go/ast"
	"go/parser"
	"slices"
	"testing"

	diff "github.com/google/go-cmp/cmp"
)

func TestSemanticEquality(t *testing.T) {
	compiled, err := Compile(root, semanticPackage, "k8s.io/api/core/v1", "net/netip", "sigs.k8s.io/controller-runtime/pkg/client")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, arguments, types string
		body                   string // equality.Semantic.DeepEqual(x, y) by default
		want                   []string
	}{
		{name: "objects of Kubernetes, with times and quantities", arguments: "x, y *corev1.Node"},
		{name: "lists and maps of text", arguments: "x, y map[string][]string"},
		{name: "JSON", arguments: "x, y map[string]any"},
		{name: "an interface of API objects", arguments: "x, y client.Object"},
		{name: "a struct of exported fields that refers to itself", arguments: "x, y T", types: "type T struct { Next *T; Names []string }"},
		{name: "an address", arguments: "x, y netip.Addr",
			want: []string{"p.go:13 compares net/netip.Addr with equality.Semantic, which panics on the field addr of net/netip.Addr"}},
		{name: "an address deep inside", arguments: "x, y T", types: "type T struct { Nodes map[string][]*U }; type U struct { Prefix netip.Prefix }",
			want: []string{"p.go:13 compares p.T with equality.Semantic, which panics on the field ip of net/netip.Prefix"}},
		{name: "a type of its own", arguments: "x, y T", types: "type T struct { name string }",
			want: []string{"p.go:13 compares p.T with equality.Semantic, which panics on the field name of p.T"}},
		{name: "anything at all", arguments: "x, y any",
			want: []string{"p.go:13 compares any with equality.Semantic, which panics on whatever struct any stands for"}},
		{name: "a method that is handed on", body: "_ = equality.Semantic.DeepEqual",
			want: []string{"p.go:13 hands equality.Semantic on, which hides what it compares"}},
		{name: "another name for it", body: "e := equality.Semantic; _ = e.DeepEqual(1, 1)",
			want: []string{"p.go:13 hands equality.Semantic on, which hides what it compares"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := cmp.Or(tt.body, "_ = equality.Semantic.DeepEqual(x, y)")
			source := "package p\n\nimport (\n\t\"net/netip\"\n\n\tcorev1 \"k8s.io/api/core/v1\"\n\t\"k8s.io/apimachinery/pkg/api/equality\"\n\t\"sigs.k8s.io/controller-runtime/pkg/client\"\n)\n\n" +
				"var _ netip.Addr; var _ corev1.Node; var _ client.Object; " + tt.types + "\n\nfunc f(" + tt.arguments + ") { " + body + " }\n"
			file, err := parser.ParseFile(compiled.set, "p.go", source, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			p, err := compiled.check("p", []*ast.File{file})
			if err != nil {
				t.Fatal(err)
			}
			if changed := diff.Diff(tt.want, p.SemanticEquality()); changed != "" {
				t.Errorf("(-want +got):\n%s", changed)
			}
		})
	}
}

func TestSemanticEqualityPanicsNowhere(t *testing.T) {
	packages, err := LoadPackages(root)
	if err != nil {
		t.Fatal(err)
	}
	var users []string
	for _, p := range packages {
		if slices.Contains(p.Imports, semanticPackage) {
			users = append(users, p.ImportPath)
		}
	}
	if len(users) == 0 {
		t.Fatal("no package uses equality.Semantic: remove the rule")
	}
	compiled, err := Compile(root, users...)
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range users {
		p, err := compiled.Package(user)
		if err != nil {
			t.Fatal(err)
		}
		report(t, p.SemanticEquality(), "it panics when two values are compared, in production as well; compare such structs with == or reflect.DeepEqual")
	}
}
