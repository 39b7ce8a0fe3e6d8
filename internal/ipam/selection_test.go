package ipam

import "testing"

func TestOrderOfPools(t *testing.T) {
	runAssign(t, []assignCase{
		{name: "by name", pools: pools(newPool("b", "10.0.1.1"), newPool("a", "10.0.0.1"), newPool("c", "10.0.2.1")), want: "keep 10.0.0.1@a"},
		{name: "one that is for the Service goes before one for all", pools: pools(newPool("a", "10.0.0.1"), newPool("z", "10.0.1.1", forNamespaces("n"))), want: "keep 10.0.1.1@z"},
		// A07, A08
		{name: "a lower priority goes first", pools: pools(newPool("a", "10.0.0.1", priority(20)), newPool("b", "10.0.1.1", priority(10))), want: "keep 10.0.1.1@b"},
		{name: "priority 0 goes last of those that are for the Service", pools: pools(newPool("a", "10.0.0.1", priority(0)), newPool("b", "10.0.1.1", priority(2147483647)), newPool("c", "10.0.2.1")), want: "keep 10.0.1.1@b"},
		{name: "priority 0 still goes before a pool for all", pools: pools(newPool("a", "10.0.0.1"), newPool("b", "10.0.1.1", priority(0))), want: "keep 10.0.1.1@b"},
		{name: "a negative priority goes before 1", pools: pools(newPool("a", "10.0.0.1", priority(1)), newPool("b", "10.0.1.1", priority(-1))), want: "keep 10.0.1.1@b"},
		{name: "equal priorities go by name", pools: pools(newPool("b", "10.0.1.1", priority(10)), newPool("a", "10.0.0.1", priority(10))), want: "keep 10.0.0.1@a"},
		{name: "priority goes before having both families", pools: pools(newPool("a", "10.0.0.1", priority(10)), newPool("b", "10.0.1.1 2001:db8::1", priority(20))), req: options(both(PreferDualStack, v46)), want: "keep 10.0.0.1@a 2001:db8::1@b"},
		{name: "having both families goes before the name", pools: pools(newPool("a", "10.0.0.1"), newPool("b", "10.0.1.1 2001:db8::1")), req: options(both(PreferDualStack, v46)), want: "keep 10.0.1.1@b 2001:db8::1@b"},
		{name: "a pool for the Service goes before one that has both families", pools: pools(newPool("a", "10.0.1.1 2001:db8::1"), newPool("b", "10.0.0.1", priority(0))), req: options(both(PreferDualStack, v46)), want: "keep 10.0.0.1@b 2001:db8::1@a"},
		{name: "for one family having both counts for nothing", pools: pools(newPool("a", "10.0.0.1"), newPool("b", "10.0.1.1 2001:db8::1")), req: options(using(v46)), want: "keep 10.0.0.1@a"},
	})
}

// A07: three pools of one address.
func TestPoolsAreUsedInOrder(t *testing.T) {
	a := allocator(newPool("a", "10.0.0.1"), newPool("b", "10.0.1.1", forNamespaces("n"), priority(20)), newPool("c", "10.0.2.1", forNamespaces("n"), priority(10)), newPool("d", "10.0.3.1", forNamespaces("n")))
	for i, want := range []string{"keep 10.0.2.1@c", "keep 10.0.1.1@b", "keep 10.0.3.1@d", "keep 10.0.0.1@a", "refused PoolExhausted"} {
		decide(t, a, ask(string(rune('0'+i))), want)
	}
	decide(t, a, ask("m/web"), "refused PoolExhausted")
}

func TestSelection(t *testing.T) {
	const from, none = "keep 10.0.0.1@p", "refused PoolNotAllowed"
	tests := []struct {
		name   string
		option []poolOption
		req    []requestOption
		want   string
	}{
		{name: "a priority alone is for all", option: []poolOption{priority(5)}, want: from},
		{name: "a namespace that is named", option: []poolOption{forNamespaces("m", "n")}, want: from},
		{name: "a namespace that is not named", option: []poolOption{forNamespaces("m", "o")}, want: none},
		{name: "the name of the Service is not that of its namespace", option: []poolOption{forNamespaces("web")}, want: none},
		{name: "a namespace with the label", option: []poolOption{forNamespacesWith("team=a")}, req: options(inNamespaceWith("team=a")), want: from},
		// MetalLB takes a selector that matches no namespace for "any".
		{name: "a namespace without the label", option: []poolOption{forNamespacesWith("team=a")}, req: options(inNamespaceWith("team=b")), want: none},
		{name: "a namespace without labels", option: []poolOption{forNamespacesWith("team=a")}, want: none},
		{name: "labels of the Service are not those of its namespace", option: []poolOption{forNamespacesWith("team=a")}, req: options(labelled("team=a")), want: none},
		{name: "one of several namespace selectors is enough", option: []poolOption{forNamespacesWith("team=x", "team=a")}, req: options(inNamespaceWith("team=a")), want: from},
		{name: "named or labelled is enough: named", option: []poolOption{forNamespaces("n"), forNamespacesWith("team=a")}, want: from},
		{name: "named or labelled is enough: labelled", option: []poolOption{forNamespaces("m"), forNamespacesWith("team=a")}, req: options(inNamespaceWith("team=a")), want: from},
		{name: "neither named nor labelled", option: []poolOption{forNamespaces("m"), forNamespacesWith("team=a")}, want: none},
		// A10, A11
		{name: "a Service with the label", option: []poolOption{forServicesWith("app=a")}, req: options(labelled("app=a", "b=c")), want: from},
		{name: "a Service without the label", option: []poolOption{forServicesWith("app=a")}, req: options(labelled("app=b")), want: none},
		{name: "labels of the namespace are not those of the Service", option: []poolOption{forServicesWith("app=a")}, req: options(inNamespaceWith("app=a")), want: none},
		{name: "one of several Service selectors is enough", option: []poolOption{forServicesWith("app=x", "app=a")}, req: options(labelled("app=a")), want: from},
		{name: "namespace and label both fit", option: []poolOption{forNamespaces("n"), forServicesWith("app=a")}, req: options(labelled("app=a")), want: from},
		{name: "the namespace fits and the label does not", option: []poolOption{forNamespaces("n"), forServicesWith("app=a")}, want: none},
		{name: "the label fits and the namespace does not", option: []poolOption{forNamespaces("m"), forServicesWith("app=a")}, req: options(labelled("app=a")), want: none},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for how, more := range map[string]requestOption{
				"any": func(*Request) {}, "the pool": func(r *Request) { r.Pool = "p" }, "the address": wants("10.0.0.1"),
			} {
				t.Log("asks for", how)
				a := allocator(newPool("p", "10.0.0.1", tt.option...))
				decide(t, a, ask("web", append(tt.req, more)...), tt.want)
				// autoAssign: false does not hide that the pool is for others.
				if how != "any" {
					b := allocator(newPool("p", "10.0.0.1", append(tt.option, manual)...))
					decide(t, b, ask("web", append(tt.req, more)...), tt.want)
				}
			}
		})
	}
}

// A12: relabelling at runtime counts for the next Service, and takes nothing.
func TestRelabelledNamespaceFitsAnotherPool(t *testing.T) {
	a := allocator(newPool("a", "10.0.0.1-10.0.0.9"), newPool("b", "10.0.1.1-10.0.1.9", forNamespacesWith("tier=1"), priority(1)), newPool("c", "10.0.2.1-10.0.2.9", forNamespacesWith("tier=2"), priority(2)))
	decide(t, a, ask("one", inNamespaceWith("tier=2")), "keep 10.0.2.1@c")
	decide(t, a, ask("two", inNamespaceWith("tier=1")), "keep 10.0.1.1@b")
	decide(t, a, ask("one", inNamespaceWith("tier=1")), "keep 10.0.2.1@c")
	decide(t, a, ask("three"), "keep 10.0.0.1@a")
}
