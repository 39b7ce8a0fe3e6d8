package ipam

import (
	"testing"

	"github.com/lbstack/lbstack/internal/lb"
)

// had has a Service name addresses that it had before a removal.
func had(addresses ...string) requestOption {
	return func(r *Request) {
		for _, a := range addresses {
			r.Kept = append(r.Kept, addr(a))
		}
	}
}

func TestAdoptKept(t *testing.T) {
	shows := func(address string) requestOption {
		return func(r *Request) { r.Shows = append(r.Shows, addr(address)) }
	}
	tests := []struct {
		name  string
		pool  []poolOption
		held  string     // by the Service
		other lb.Sharing // of another Service that has 10.0.0.5
		taken bool       // another Service has 10.0.0.5
		req   []requestOption
		want  string
	}{
		{name: "address of before", req: options(had("10.0.0.5")), want: "keep 10.0.0.5@p"},
		{name: "address of another pool now", req: options(had("10.1.0.1")), want: "keep 10.1.0.1@q"},
		{name: "addresses of two families", req: options(had("10.0.0.5", "2001:db8::2"), both(RequireDualStack, v46)), want: "keep 10.0.0.5@p 2001:db8::2@q"},
		{name: "address that another Service has", taken: true, req: options(had("10.0.0.5")), want: "keep 10.0.0.1@p"},
		{name: "address that another Service shares", taken: true, other: share("k", 80), req: options(had("10.0.0.5"), on(share("k", 443))), want: "keep 10.0.0.5@p"},
		{name: "address that no pool has any more", req: options(had("10.9.0.5")), want: "keep 10.0.0.1@p"},
		{name: "address of a pool for others", pool: []poolOption{forNamespaces("other")}, req: options(had("10.0.0.5")), want: "keep 10.1.0.1@q"},
		{name: "address of a draining pool", pool: []poolOption{drained}, req: options(had("10.0.0.5")), want: "keep 10.1.0.1@q"},
		{name: "address of a pool that is not usable", pool: []poolOption{broken("why")}, req: options(had("10.0.0.5")), want: "keep 10.1.0.1@q"},
		{name: "address of another pool than the one that is asked for", req: options(had("10.0.0.5"), from("q")), want: "keep 10.1.0.1@q"},
		{name: "address that is asked for", req: options(had("10.0.0.5"), wants("10.0.0.6")), want: "keep 10.0.0.6@p"},
		{name: "address that the Service has", held: "10.0.0.7@p", req: options(had("10.0.0.5")), want: "keep 10.0.0.7@p"},
		{name: "address that the Service shows", req: options(had("10.0.0.5"), shows("10.0.0.8")), want: "keep 10.0.0.8@p"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := allocator(newPool("p", "10.0.0.1-10.0.0.9", tt.pool...), newPool("q", "10.1.0.1 2001:db8::1-2001:db8::3"))
			if tt.held != "" {
				take(t, a, "web", tt.held)
			}
			if tt.taken {
				take(t, a, "other", "10.0.0.5@p", tt.other)
			}
			req := ask("web", tt.req...)
			a.AdoptShown(req)
			a.AdoptKept(req)
			settle(t, a, req, tt.want)
		})
	}
}
