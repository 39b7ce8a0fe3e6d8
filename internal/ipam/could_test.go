package ipam

import "testing"

func TestCould(t *testing.T) {
	all := newPool("p", "10.0.0.1-10.0.0.9 2001:db8::1-2001:db8::9")
	tests := []struct {
		name    string
		pool    Pool
		held    map[string]string // by name of Service
		terms   map[string][]uint16
		req     Request
		address string
		want    bool
	}{
		{name: "a free address", pool: all, req: ask("web"), address: "10.0.0.5", want: true},
		{name: "an address in no pool", pool: all, req: ask("web"), address: "10.1.0.5"},
		{name: "an address that the pool holds back", pool: newPool("p", "10.0.0.0/24", avoiding), req: ask("web"), address: "10.0.0.0"},
		{name: "the other family", pool: all, req: ask("web"), address: "2001:db8::1"},
		{name: "the second family of two", pool: all, req: ask("web", using(v46)), address: "2001:db8::1", want: true},
		{name: "of the pool that is named", pool: all, req: ask("web", from("p")), address: "10.0.0.5", want: true},
		{name: "of another pool than is named", pool: all, req: ask("web", from("q")), address: "10.0.0.5"},
		{name: "the one that is named", pool: all, req: ask("web", wants("10.0.0.5", "10.0.0.6")), address: "10.0.0.6", want: true},
		{name: "another one than is named", pool: all, req: ask("web", wants("10.0.0.5")), address: "10.0.0.6"},
		{name: "of a family of which none is named, if both are wanted", pool: all, req: ask("web", wants("10.0.0.5"), both(PreferDualStack, v46)), address: "2001:db8::1", want: true},
		{name: "of a family of which none is named, if one is enough", pool: all, req: ask("web", wants("10.0.0.5"), using(v46)), address: "2001:db8::1"},
		{name: "of a family of which one is named, if both are wanted", pool: all, req: ask("web", wants("10.0.0.5"), both(PreferDualStack, v46)), address: "10.0.0.6"},
		{name: "of a draining pool", pool: newPool("p", "10.0.0.5", drained), req: ask("web"), address: "10.0.0.5"},
		{name: "of a draining pool, named", pool: newPool("p", "10.0.0.5", drained), req: ask("web", wants("10.0.0.5")), address: "10.0.0.5"},
		{name: "of a pool for others", pool: newPool("p", "10.0.0.5", forNamespaces("m")), req: ask("web"), address: "10.0.0.5"},
		{name: "of a pool that does not give itself", pool: newPool("p", "10.0.0.5", manual), req: ask("web"), address: "10.0.0.5"},
		{name: "of a pool that does not give itself, the address named", pool: newPool("p", "10.0.0.5", manual), req: ask("web", wants("10.0.0.5")), address: "10.0.0.5", want: true},
		{name: "of a pool that does not give itself, the pool named", pool: newPool("p", "10.0.0.5", manual), req: ask("web", from("p")), address: "10.0.0.5", want: true},
		{name: "of a pool that does not give itself, and the Service had it", pool: newPool("p", "10.0.0.5", manual), req: ask("web", had("10.0.0.5")), address: "10.0.0.5", want: true},
		{name: "one that the Service had, of another pool than is named", pool: all, req: ask("web", had("10.0.0.5"), from("q")), address: "10.0.0.5"},
		{name: "one that the Service had, if another is named", pool: all, req: ask("web", had("10.0.0.5"), wants("10.0.0.6")), address: "10.0.0.5"},
		// autoAssign: false does not hide the rest.
		{name: "of a pool that does not give itself and drains, the address named", pool: newPool("p", "10.0.0.5", manual, drained), req: ask("web", wants("10.0.0.5")), address: "10.0.0.5"},
		{name: "of a pool that gives nothing", pool: newPool("p", "10.0.0.5", broken("it is wrong")), req: ask("web", wants("10.0.0.5")), address: "10.0.0.5"},
		{name: "what another Service has", pool: all, held: map[string]string{"x": "10.0.0.5@p"}, req: ask("web"), address: "10.0.0.5"},
		{name: "what is reserved", pool: all, held: map[string]string{"": "10.0.0.5@p"}, req: ask("web"), address: "10.0.0.5"},
		{name: "what the Service has itself", pool: all, held: map[string]string{"web": "10.0.0.5@p"}, req: ask("web"), address: "10.0.0.5", want: true},
		{name: "what can be shared", pool: all, held: map[string]string{"x": "10.0.0.5@p"}, terms: map[string][]uint16{"x": {80}}, req: ask("web", on(share("k", 81))), address: "10.0.0.5", want: true},
		{name: "what cannot be shared", pool: all, held: map[string]string{"x": "10.0.0.5@p"}, terms: map[string][]uint16{"x": {80}}, req: ask("web", on(share("k", 80))), address: "10.0.0.5"},
		{name: "what can be shared across namespaces", pool: newPool("p", "10.0.0.5", across), held: map[string]string{"m/x": "10.0.0.5@p"}, terms: map[string][]uint16{"m/x": {80}}, req: ask("web", on(share("k", 81))), address: "10.0.0.5", want: true},
		{name: "a free one below the quota", pool: newPool("p", "10.0.0.1-10.0.0.9", quota(2)), held: map[string]string{"x": "10.0.0.1@p"}, req: ask("web"), address: "10.0.0.5", want: true},
		{name: "a free one beyond the quota", pool: newPool("p", "10.0.0.1-10.0.0.9", quota(1)), held: map[string]string{"x": "10.0.0.1@p"}, req: ask("web"), address: "10.0.0.5"},
		{name: "a free one in place of what counts", pool: newPool("p", "10.0.0.1-10.0.0.9", quota(1)), held: map[string]string{"web": "10.0.0.1@p"}, req: ask("web", wants("10.0.0.5")), address: "10.0.0.5", want: true},
		{name: "one shared in the namespace, whose quota is full", pool: newPool("p", "10.0.0.1-10.0.0.9", quota(1)), held: map[string]string{"x": "10.0.0.1@p"}, terms: map[string][]uint16{"x": {80}}, req: ask("web", on(share("k", 81))), address: "10.0.0.1", want: true},
		// Could promises nothing that Assign refuses.
		{name: "one shared across namespaces, beyond the quota of this one", pool: newPool("p", "10.0.0.1-10.0.0.9", quota(1), across), held: map[string]string{"m/x": "10.0.0.1@p", "y": "10.0.0.2@p"}, terms: map[string][]uint16{"m/x": {80}}, req: ask("web", on(share("k", 81))), address: "10.0.0.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := allocator(tt.pool, newPool("q", "10.9.0.1"))
			for name, h := range tt.held {
				if name == "" {
					a.Reserve(holding("", h).Address, "p")
					continue
				}
				terms := share("", 0)
				if ports, ok := tt.terms[name]; ok {
					terms = share("k", ports...)
				}
				take(t, a, name, h, terms)
			}
			if got := a.CanGet(tt.req, addr(tt.address)); got != tt.want {
				t.Errorf("Could(%s): got %v, want %v", tt.address, got, tt.want)
			}
		})
	}
}
