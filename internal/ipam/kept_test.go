package ipam

import (
	"fmt"
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

// hadMany has a Service name as many addresses as one can: 10.0.0.5 and the 31 after it.
func hadMany(r *Request) {
	for i := range 32 {
		had(fmt.Sprint("10.0.0.", 5+i))(r)
	}
}

func TestAssign_PrefersWhatTheServiceHadBeforeARemoval(t *testing.T) {
	shows := func(address string) requestOption {
		return func(r *Request) { r.Shows = append(r.Shows, addr(address)) }
	}
	rules := func(list ...poolOption) []poolOption { return list }
	tests := []struct {
		name     string
		pool     []poolOption
		held     string     // by the Service
		other    lb.Sharing // of another Service that has 10.0.0.5
		taken    bool       // another Service has 10.0.0.5
		reserved bool       // nobody gets 10.0.0.5
		req      []requestOption
		want     string
	}{
		{name: "address of before", req: options(had("10.0.0.5")), want: "keep 10.0.0.5@p"},
		{name: "first of several that is free", taken: true, req: options(had("10.0.0.5", "10.0.0.7", "10.0.0.6")), want: "keep 10.0.0.7@p"},
		{name: "address of another pool than the first", req: options(had("10.1.0.2")), want: "keep 10.1.0.2@q"},
		{name: "address of a pool that gives those that are named", pool: rules(manual), req: options(had("10.0.0.5")), want: "keep 10.0.0.5@p"},
		{name: "addresses of two families", req: options(had("10.0.0.5", "2001:db8::2"), both(RequireDualStack, v46)), want: "keep 10.0.0.5@p 2001:db8::2@q"},
		{name: "one of two families", req: options(had("10.0.0.5"), both(PreferDualStack, v64)), want: "keep 10.0.0.5@p 2001:db8::1@q"},
		{name: "other family than the preferred one", req: options(had("2001:db8::2"), using(v46)), want: "keep 2001:db8::2@q"},
		{name: "family that the Service cannot use", req: options(had("2001:db8::2")), want: "keep 10.0.0.1@p"},
		{name: "family of which the Service names no address", req: options(had("10.0.0.5", "2001:db8::2"), wants("10.0.0.6"), both(PreferDualStack, v46)), want: "keep 10.0.0.6@p 2001:db8::2@q"},
		{name: "two families, of which the pool has one", req: options(hadMany, from("p"), both(RequireDualStack, v46)), want: "refused NoPool"},
		{name: "as many as one can name", req: options(hadMany), want: "keep 10.0.0.5@p"},
		{name: "as many as one can name, with a quota of one", pool: rules(quota(1)), req: options(hadMany), want: "keep 10.0.0.5@p"},
		{name: "as many as one can name, of a pool that gives a Service one", pool: rules(perService(1)), req: options(hadMany), want: "keep 10.0.0.5@p"},
		{name: "quota that another Service has used up", pool: rules(quota(1)), taken: true, req: options(had("10.0.0.6")), want: "keep 10.1.0.1@q"},
		{name: "address that another Service has", taken: true, req: options(had("10.0.0.5")), want: "keep 10.0.0.1@p"},
		{name: "address that another Service shares", taken: true, other: share("k", 80), req: options(had("10.0.0.5"), on(share("k", 443))), want: "keep 10.0.0.5@p"},
		{name: "address of its own, although it could share another one", taken: true, other: share("k", 80), req: options(had("10.0.0.6"), on(share("k", 443))), want: "keep 10.0.0.6@p"},
		{name: "address whose ports another Service uses", taken: true, other: share("k", 80), req: options(had("10.0.0.5"), on(share("k", 80))), want: "keep 10.0.0.1@p"},
		{name: "address that is shared already, and the quota is used up", pool: rules(quota(1)), taken: true, other: share("k", 80), req: options(had("10.0.0.5"), on(share("k", 443))), want: "keep 10.0.0.5@p"},
		{name: "address that is reserved", reserved: true, req: options(had("10.0.0.5")), want: "keep 10.0.0.1@p"},
		{name: "address that no pool has any more", req: options(had("10.9.0.5")), want: "keep 10.0.0.1@p"},
		{name: "address that the pool excludes", pool: rules(without("10.0.0.5")), req: options(had("10.0.0.5")), want: "keep 10.0.0.1@p"},
		{name: "address of a pool for others", pool: rules(forNamespaces("other")), req: options(had("10.0.0.5")), want: "keep 10.1.0.1@q"},
		{name: "address of a draining pool", pool: rules(drained), req: options(had("10.0.0.5")), want: "keep 10.1.0.1@q"},
		{name: "address of a pool that is not usable", pool: rules(broken("why")), req: options(had("10.0.0.5")), want: "keep 10.1.0.1@q"},
		{name: "address of another pool than the one that is asked for", req: options(had("10.0.0.5"), from("q")), want: "keep 10.1.0.1@q"},
		{name: "address that is asked for", req: options(had("10.0.0.5"), wants("10.0.0.6")), want: "keep 10.0.0.6@p"},
		{name: "address that the Service has", held: "10.0.0.7@p", req: options(had("10.0.0.5")), want: "keep 10.0.0.7@p"},
		{name: "address that the Service shows", req: options(had("10.0.0.5"), shows("10.0.0.8")), want: "keep 10.0.0.8@p"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := allocator(newPool("p", "10.0.0.1-10.0.0.99", tt.pool...), newPool("q", "10.1.0.1-10.1.0.2 2001:db8::1-2001:db8::3"))
			if tt.held != "" {
				take(t, a, "web", tt.held)
			}
			if tt.taken {
				take(t, a, "other", "10.0.0.5@p", tt.other)
			}
			if tt.reserved {
				a.Reserve(addr("10.0.0.5"), "p")
			}
			req := ask("web", tt.req...)
			a.AdoptShown(req)
			settle(t, a, req, tt.want)
		})
	}
}
