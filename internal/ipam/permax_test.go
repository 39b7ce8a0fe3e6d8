package ipam

import (
	"strings"
	"testing"
)

func TestAPoolBoundsTheAddressesOfAService(t *testing.T) {
	one, two := newPool("one", "10.0.0.1-10.0.0.9 2001:db8::1-2001:db8::9", perService(1)), newPool("two", "10.1.0.1-10.1.0.9", perService(2))
	tests := []struct {
		name string
		has  string
		req  []requestOption
		want string
	}{
		{"one address of each family is fine", "", options(wants("10.0.0.1", "2001:db8::1"), using(v46)), "keep 10.0.0.1@one 2001:db8::1@one"},
		{"two of a family are one too many", "", options(wants("10.0.0.1", "10.0.0.2")), "refused TooManyAddresses"},
		{"two of a family are fine where the pool allows them", "", options(wants("10.1.0.1", "10.1.0.2")), "keep 10.1.0.1@two 10.1.0.2@two"},
		{"three are not", "", options(wants("10.1.0.1", "10.1.0.2", "10.1.0.3")), "refused TooManyAddresses"},
		{"two pools do not add up", "", options(wants("10.1.0.1", "10.0.0.1")), "refused TooManyAddresses"},
		{"what a Service has it keeps", "10.0.0.1@one 10.0.0.2@one", options(wants("10.0.0.1", "10.0.0.2")), "keep 10.0.0.1@one 10.0.0.2@one"},
		{"and gets no more", "10.0.0.1@one 10.0.0.2@one", options(wants("10.0.0.1", "10.0.0.2", "10.0.0.3")), "keep 10.0.0.1@one 10.0.0.2@one, refused TooManyAddresses"},
		{"one after the other is no way around it", "10.0.0.1@one", options(wants("10.0.0.1", "10.0.0.2")), "keep 10.0.0.1@one, refused TooManyAddresses"},
		{"dual stack stays as it is", "", options(both(RequireDualStack, v46)), "keep 10.0.0.1@one 2001:db8::1@one"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := allocator(one, two)
			for _, what := range strings.Fields(tt.has) {
				take(t, a, "web", what)
			}
			settle(t, a, ask("web", tt.req...), tt.want)
		})
	}
	a := allocator(one)
	if a.CanGet(ask("web", wants("10.0.0.1", "10.0.0.2")), addr("10.0.0.1")) {
		t.Error("Could: got that an address helps a request for too many, want that it does not")
	}
}

// What a Service shows and no claim holds it gets as far as the pool lets it.
func TestAdoptable(t *testing.T) {
	tests := []struct {
		name string
		pool Pool
		has  string // of n/other
		req  []requestOption
		want bool
	}{
		{"a free address", newPool("p", "10.0.0.1"), "", nil, true},
		{"an address that is in no pool", newPool("p", "10.0.0.2"), "", nil, false},
		{"an address of a draining pool, which keeps what is given", newPool("p", "10.0.0.1", drained), "", nil, true},
		{"an address of a pool by hand", newPool("p", "10.0.0.1", manual), "", nil, true},
		{"an address of a pool for others", newPool("p", "10.0.0.1", forNamespaces("m")), "", nil, false},
		{"an address of a pool that is wrong, which takes nothing", newPool("p", "10.0.0.1", broken("why")), "", nil, true},
		{"an address beyond the quota", newPool("p", "10.0.0.1-10.0.0.2", quota(1)), "10.0.0.2@p", nil, false},
		{"an address within the quota", newPool("p", "10.0.0.1-10.0.0.2", quota(2)), "10.0.0.2@p", nil, true},
		{"one of more addresses than the pool gives a Service", newPool("p", "10.0.0.1-10.0.0.2", perService(1)), "", options(wants("10.0.0.1", "10.0.0.2")), false},
		{"an address that another Service has", newPool("p", "10.0.0.1"), "10.0.0.1@p", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := allocator(tt.pool)
			for _, what := range strings.Fields(tt.has) {
				take(t, a, "other", what)
			}
			if _, got := a.AdoptablePool(ask("web", tt.req...), addr("10.0.0.1")); got != tt.want {
				t.Errorf("adoptable: got %v, want %v", got, tt.want)
			}
		})
	}
}
