package ipam

import (
	"fmt"
	"testing"
)

// A case is a request of the Service "web" to pools in which other Services hold addresses.
type assignCase struct {
	name  string
	pools []Pool
	held  []string // "10.0.0.1@p" of web
	taken []string // the same of others, of one each
	kept  []string // reserved: "10.0.0.1@p"
	req   []requestOption
	want  string
}

func runAssign(t *testing.T, tests []assignCase) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := allocator(tt.pools...)
			for _, h := range tt.held {
				take(t, a, "web", h)
			}
			for i, h := range tt.taken {
				take(t, a, fmt.Sprint("other-", i), h)
			}
			for _, h := range tt.kept {
				if reserved := holding("", h); !a.Reserve(reserved.Address, reserved.Pool) {
					t.Fatalf("Reserve(%s): got false, want true", h)
				}
			}
			decide(t, a, ask("web", tt.req...), tt.want)
		})
	}
}

func options(list ...requestOption) []requestOption { return list }

func pools(list ...Pool) []Pool { return list }

func TestAssignGives(t *testing.T) {
	alpha := newPool("alpha", "10.0.0.1-10.0.0.2")
	beta := newPool("beta", "10.0.1.1-10.0.1.9 2001:db8::1-2001:db8::9")
	hand := newPool("hand", "10.0.2.1-10.0.2.9", manual)
	runAssign(t, []assignCase{
		{name: "the lowest address of the first pool by name", pools: pools(beta, alpha), want: "keep 10.0.0.1@alpha"},
		{name: "the lowest address of several ranges, however they are listed", pools: pools(newPool("p", "10.0.0.9 10.0.0.4-10.0.0.5")), want: "keep 10.0.0.4@p"},
		{name: "a reserved address is passed over", pools: pools(alpha), kept: []string{"10.0.0.1@alpha"}, want: "keep 10.0.0.2@alpha"},
		{name: "a full pool sends to the next one", pools: pools(alpha, beta), kept: []string{"10.0.0.1@alpha"}, taken: []string{"10.0.0.2@alpha"}, want: "keep 10.0.1.1@beta"},
		{name: "IPv6 comes from the pool that has it", pools: pools(alpha, beta), req: options(using(v6)), want: "keep 2001:db8::1@beta"},
		{name: "the second family is used when no pool has the first", pools: pools(alpha), req: options(using(v64)), want: "keep 10.0.0.1@alpha"},
		{name: "the first family goes before a pool that comes first", pools: pools(alpha, beta), req: options(using(v64)), want: "keep 2001:db8::1@beta"},
		{name: "one of two families is enough for one that wants one", pools: pools(beta), held: []string{"10.0.1.3@beta"}, req: options(using(v64)), want: "keep 10.0.1.3@beta"},
		{name: "a named pool gives even if it does not give itself", pools: pools(alpha, hand), req: options(from("hand")), want: "keep 10.0.2.1@hand"},
		{name: "a wanted address is given from the pool that has it", pools: pools(alpha, hand), req: options(wants("10.0.2.7")), want: "keep 10.0.2.7@hand"},
		{name: "a wanted address of the named pool is given", pools: pools(alpha, hand), req: options(wants("10.0.2.7"), from("hand")), want: "keep 10.0.2.7@hand"},
		{name: "several wanted addresses of one family are all given", pools: pools(beta), req: options(wants("10.0.1.7", "10.0.1.2")), want: "keep 10.0.1.2@beta 10.0.1.7@beta"},
		{name: "several wanted addresses of both families are all given", pools: pools(beta), req: options(wants("10.0.1.7", "2001:db8::5", "2001:db8::3"), using(v46)), want: "keep 10.0.1.7@beta 2001:db8::3@beta 2001:db8::5@beta"},
		{name: "wanted addresses may be of different pools", pools: pools(alpha, hand), req: options(wants("10.0.2.7", "10.0.0.2")), want: "keep 10.0.0.2@alpha 10.0.2.7@hand"},
		{name: "a pool that gives nothing stops no other", pools: pools(newPool("a", "10.0.3.1-10.0.3.9", broken("it is wrong")), beta), want: "keep 10.0.1.1@beta"},
	})
}

func TestAssign_StaysOnItsAddresses(t *testing.T) {
	alpha := newPool("alpha", "10.0.0.1-10.0.0.2")
	beta := newPool("beta", "10.0.1.1-10.0.1.9 2001:db8::1-2001:db8::9")
	runAssign(t, []assignCase{
		{name: "what the Service has stays, though a lower one is free", pools: pools(alpha, beta), held: []string{"10.0.1.5@beta"}, want: "keep 10.0.1.5@beta"},
		{name: "what the Service has stays when its pool is gone", pools: pools(alpha), held: []string{"10.9.9.9@gone"}, want: "keep 10.9.9.9@gone"},
		{name: "what the Service has stays when there is no pool at all", held: []string{"10.9.9.9@gone"}, want: "keep 10.9.9.9@gone"},
		{name: "of two addresses the lowest stays", pools: pools(alpha, beta), held: []string{"10.0.1.5@beta", "10.0.1.4@beta"}, want: "keep 10.0.1.4@beta, drop 10.0.1.5@beta"},
		{name: "an address that is named and held is kept, in any pool", pools: pools(alpha, beta), held: []string{"10.0.1.5@beta", "10.0.1.4@beta"}, req: options(wants("10.0.1.5")), want: "keep 10.0.1.5@beta, drop 10.0.1.4@beta"},
		{name: "a Service that names another pool moves there", pools: pools(alpha, beta), held: []string{"10.0.1.5@beta"}, req: options(from("alpha")), want: "keep 10.0.0.1@alpha, drop 10.0.1.5@beta"},
		{name: "a Service that names its pool stays", pools: pools(alpha, beta), held: []string{"10.0.1.5@beta"}, req: options(from("beta")), want: "keep 10.0.1.5@beta"},
		{name: "a Service that names a pool which is gone keeps what it has of it", pools: pools(alpha), held: []string{"10.9.9.9@gone"}, req: options(from("gone")), want: "keep 10.9.9.9@gone"},
		{name: "an address that is named is kept in a pool that is gone and named", pools: pools(alpha), held: []string{"10.9.9.9@gone"}, req: options(from("gone"), wants("10.9.9.9")), want: "keep 10.9.9.9@gone"},
		{name: "a Service that names another address moves there", pools: pools(alpha), held: []string{"10.0.0.1@alpha"}, req: options(wants("10.0.0.2")), want: "keep 10.0.0.2@alpha, drop 10.0.0.1@alpha"},
		{name: "a Service that changes family moves", pools: pools(beta), held: []string{"10.0.1.1@beta"}, req: options(using(v6)), want: "keep 2001:db8::1@beta, drop 10.0.1.1@beta"},
		{name: "of several wanted addresses the held one stays", pools: pools(beta), held: []string{"10.0.1.5@beta"}, req: options(wants("10.0.1.2", "10.0.1.5")), want: "keep 10.0.1.2@beta 10.0.1.5@beta"},
	})
}

// Promise 2: a request that cannot be met takes nothing away. MetalLB releases the
// old address first.
func TestRefusedRequestStaysOnItsAddresses(t *testing.T) {
	alpha := newPool("alpha", "10.0.0.1-10.0.0.2")
	hand := newPool("hand", "10.0.2.1", manual)
	one := []string{"10.0.0.1@alpha"}
	runAssign(t, []assignCase{
		{name: "when the named pool does not exist", pools: pools(alpha), held: one, req: options(from("nope")), want: "keep 10.0.0.1@alpha, refused UnknownPool"},
		{name: "when the named pool is full", pools: pools(alpha, hand), held: one, taken: []string{"10.0.2.1@hand"}, req: options(from("hand")), want: "keep 10.0.0.1@alpha, refused PoolExhausted"},
		{name: "when the named address is another Service's", pools: pools(alpha), held: one, taken: []string{"10.0.0.2@alpha"}, req: options(wants("10.0.0.2")), want: "keep 10.0.0.1@alpha, refused AddressInUse"},
		{name: "when the address that it has and names is not of the pool that it names", pools: pools(alpha, hand), held: one, req: options(wants("10.0.0.1"), from("hand")), want: "keep 10.0.0.1@alpha, refused AddressNotInPool"},
		{name: "when one of several named addresses cannot be had", pools: pools(alpha), held: one, req: options(wants("10.0.0.2", "10.0.0.3")), want: "keep 10.0.0.1@alpha, refused AddressNotInPool"},
		{name: "when no pool has the new family", pools: pools(alpha), held: one, req: options(using(v6)), want: "keep 10.0.0.1@alpha, refused NoPool"},
		{name: "when both families are required and one is not to be had", pools: pools(alpha), held: one, req: options(both(RequireDualStack, v46)), want: "keep 10.0.0.1@alpha, refused NoPool"},
	})
}

func TestAssignRefuses(t *testing.T) {
	alpha := newPool("alpha", "10.0.0.1-10.0.0.2")
	beta := newPool("beta", "10.0.1.1-10.0.1.9 2001:db8::1-2001:db8::9")
	hand := newPool("hand", "10.0.2.1-10.0.2.9", manual)
	bad := newPool("broken", "10.0.3.1-10.0.3.9", broken("it is wrong"))
	full := []string{"10.0.0.1@alpha", "10.0.0.2@alpha"}
	runAssign(t, []assignCase{
		{name: "no pool", want: "refused NoPool"},
		{name: "no pool gives itself", pools: pools(hand), want: "refused NoPool"},
		{name: "no pool of the family", pools: pools(alpha), req: options(using(v6)), want: "refused NoPool"},
		{name: "all is taken", pools: pools(alpha), taken: full, want: "refused PoolExhausted"},
		{name: "all is reserved", pools: pools(alpha), kept: full, want: "refused PoolExhausted"},
		{name: "all of both families is taken", pools: pools(newPool("p", "10.0.0.1 2001:db8::1")), taken: []string{"10.0.0.1@p", "2001:db8::1@p"}, req: options(using(v46)), want: "refused PoolExhausted"},
		{name: "the named pool does not exist", pools: pools(alpha), req: options(from("nope")), want: "refused UnknownPool"},
		{name: "the named pool does not exist, and there is none", req: options(from("nope")), want: "refused UnknownPool"},
		{name: "the named pool is gone, and others still have its addresses", pools: pools(alpha), taken: []string{"10.9.9.9@gone"}, req: options(from("gone")), want: "refused UnknownPool"},
		{name: "the named pool is gone, and an address is named", pools: pools(alpha), taken: []string{"10.9.9.9@gone"}, req: options(from("gone"), wants("10.0.0.1")), want: "refused UnknownPool"},
		{name: "the named pool does not exist, and an address is named", pools: pools(alpha), req: options(from("nope"), wants("10.0.0.1")), want: "refused UnknownPool"},
		{name: "the named pool gives nothing", pools: pools(bad), req: options(from("broken")), want: "refused PoolUnusable"},
		{name: "the only pool gives nothing", pools: pools(bad), want: "refused PoolUnusable"},
		{name: "the wanted address is of a pool that gives nothing", pools: pools(bad), req: options(wants("10.0.3.1")), want: "refused PoolUnusable"},
		{name: "the wanted address is in no pool", pools: pools(alpha), req: options(wants("10.7.7.7")), want: "refused AddressNotInPool"},
		{name: "the wanted address is in no pool, and there is none", req: options(wants("10.7.7.7")), want: "refused AddressNotInPool"},
		{name: "the wanted address is not in the named pool", pools: pools(alpha, beta), req: options(from("beta"), wants("10.0.0.1")), want: "refused AddressNotInPool"},
		{name: "the wanted address is another Service's", pools: pools(alpha), taken: full, req: options(wants("10.0.0.2")), want: "refused AddressInUse"},
		{name: "the wanted address is reserved", pools: pools(alpha), kept: full, req: options(wants("10.0.0.2")), want: "refused AddressInUse"},
		{name: "the wanted address is of the wrong family", pools: pools(alpha), req: options(wants("10.0.0.1"), using(v6)), want: "refused InvalidRequest"},
		{name: "of several wanted addresses one cannot be had, so none is given", pools: pools(alpha), taken: []string{"10.0.0.2@alpha"}, req: options(wants("10.0.0.1", "10.0.0.2")), want: "refused AddressInUse"},
	})
}
