package archtest

import (
	"fmt"
	"go/ast"
	"go/types"
	"slices"
)

const semanticPackage = "k8s.io/apimachinery/pkg/api/equality"

// comparedByFunction are the types for which equality.Semantic has a function of
// their own. It looks into all others.
var comparedByFunction = []string{
	"k8s.io/apimachinery/pkg/api/resource.Quantity", "k8s.io/apimachinery/pkg/apis/meta/v1.FieldsV1",
	"k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime", "k8s.io/apimachinery/pkg/apis/meta/v1.Time",
	"k8s.io/apimachinery/pkg/fields.Selector", "k8s.io/apimachinery/pkg/labels.Selector",
}

// SemanticEquality returns a sentence for each use of equality.Semantic that can
// panic: it does on a struct with an unexported field, such as netip.Addr, and only
// once there are two values to compare. Objects of Kubernetes and JSON have none, so
// an argument may be an interface of API objects, and a list or map of any.
func (p Typed) SemanticEquality() []string {
	var broken []string
	for _, file := range p.Files {
		called := map[*ast.Ident]bool{}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if semantic := p.semantic(n.Fun); semantic != nil {
					called[semantic] = true
					broken = append(broken, p.panics(n)...)
				}
			case *ast.Ident:
				if p.isSemantic(n) && !called[n] {
					broken = append(broken, p.at(n)+" hands equality.Semantic on, which hides what it compares")
				}
			}
			return true
		})
	}
	return broken
}

// semantic returns the identifier Semantic of the function equality.Semantic.METHOD,
// nil of any other.
func (p Typed) semantic(function ast.Expr) *ast.Ident {
	method, ok := function.(*ast.SelectorExpr)
	if !ok {
		return nil
	}
	if of, ok := method.X.(*ast.SelectorExpr); ok && p.isSemantic(of.Sel) {
		return of.Sel
	}
	return nil
}

func (p Typed) isSemantic(name *ast.Ident) bool {
	object := p.Info.Uses[name]
	return object != nil && object.Pkg() != nil && object.Pkg().Path() == semanticPackage && object.Name() == "Semantic"
}

func (p Typed) panics(call *ast.CallExpr) []string {
	var broken []string
	for _, argument := range call.Args {
		t := p.Info.TypeOf(argument)
		if path := unexported(t, map[types.Type]bool{}); path != "" {
			broken = append(broken, fmt.Sprintf("%s compares %s with equality.Semantic, which panics on %s", p.at(argument), t, path))
		}
	}
	return slices.Compact(broken)
}

// unexported returns what equality.Semantic cannot compare in a value of type t, ""
// if there is nothing.
func unexported(t types.Type, visited map[types.Type]bool) string {
	t = types.Unalias(t)
	if visited[t] {
		return ""
	}
	visited[t] = true
	if named, ok := t.(*types.Named); ok && named.Obj().Pkg() != nil &&
		slices.Contains(comparedByFunction, named.Obj().Pkg().Path()+"."+named.Obj().Name()) {
		return ""
	}
	switch u := t.Underlying().(type) {
	case *types.Interface:
		return unknown(t, u)
	case *types.Pointer:
		return unexported(u.Elem(), visited)
	case *types.Slice:
		return unexportedElement(u.Elem(), visited)
	case *types.Array:
		return unexportedElement(u.Elem(), visited)
	case *types.Map:
		return unexportedElement(u.Elem(), visited)
	case *types.Struct:
		for field := range u.Fields() {
			if !field.Exported() {
				return fmt.Sprintf("the field %s of %s", field.Name(), t)
			}
			if path := unexported(field.Type(), visited); path != "" {
				return path
			}
		}
	}
	return ""
}

// unexportedElement lets any pass, which is what JSON is made of.
func unexportedElement(t types.Type, visited map[types.Type]bool) string {
	if u, ok := t.Underlying().(*types.Interface); ok && u.Empty() && !isTypeParam(t) {
		return ""
	}
	return unexported(t, visited)
}

// unknown lets interfaces of API objects pass.
func unknown(t types.Type, u *types.Interface) string {
	for method := range u.Methods() {
		if method.Name() == "DeepCopyObject" {
			return ""
		}
	}
	return fmt.Sprintf("whatever struct %s stands for", t)
}

func isTypeParam(t types.Type) bool {
	_, ok := types.Unalias(t).(*types.TypeParam)
	return ok
}
