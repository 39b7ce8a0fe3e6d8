package ipam

import "testing"

func TestDualStack(t *testing.T) {
	four, six := newPool("four", "10.0.0.1-10.0.0.2"), newPool("six", "2001:db8::1-2001:db8::2")
	two := newPool("two", "10.0.1.1-10.0.1.2 2001:db8:1::1-2001:db8:1::2")
	prefer := func(pools ...requestOption) []requestOption {
		return append(pools, both(PreferDualStack, v46))
	}
	require := func(pools ...requestOption) []requestOption {
		return append(pools, both(RequireDualStack, v46))
	}
	runAssign(t, []assignCase{
		// A13 to A15
		{name: "Prefer takes both of a pool that has both", pools: pools(four, six, two), req: prefer(), want: "keep 10.0.1.1@two 2001:db8:1::1@two"},
		{name: "Prefer takes the one family that there is", pools: pools(four), req: prefer(), want: "keep 10.0.0.1@four, missing NoPool"},
		{name: "Prefer takes the second family if there is only that", pools: pools(six), req: prefer(), want: "keep 2001:db8::1@six, missing NoPool"},
		{name: "Prefer with IPv6 first has the same result", pools: pools(six), req: options(both(PreferDualStack, v64)), want: "keep 2001:db8::1@six, missing NoPool"},
		{name: "Prefer is refused if there is neither", pools: pools(newPool("hand", "10.0.0.1 2001:db8::1", manual)), req: prefer(), want: "refused NoPool"},
		// MetalLB wants both from one pool (#1156).
		{name: "Prefer takes the families of two pools", pools: pools(four, six), req: prefer(), want: "keep 10.0.0.1@four 2001:db8::1@six"},
		{name: "Require takes the families of two pools", pools: pools(four, six), req: require(), want: "keep 10.0.0.1@four 2001:db8::1@six"},
		{name: "Require takes both of a pool that has both", pools: pools(four, six, two), req: require(), want: "keep 10.0.1.1@two 2001:db8:1::1@two"},
		{name: "a pool that has both and is full of one gives the other", pools: pools(four, six, two), taken: []string{"2001:db8:1::1@two", "2001:db8:1::2@two"}, req: require(), want: "keep 10.0.1.1@two 2001:db8::1@six"},
		{name: "Require is refused if one family is missing, and gets nothing", pools: pools(four), req: require(), want: "refused NoPool"},
		{name: "Require is refused if one family is taken, and gets nothing", pools: pools(newPool("p", "10.0.0.1 2001:db8::1")), taken: []string{"2001:db8::1@p"}, req: require(), want: "refused PoolExhausted"},
		{name: "Prefer goes on with one if the other is taken", pools: pools(newPool("p", "10.0.0.1 2001:db8::1")), taken: []string{"10.0.0.1@p"}, req: prefer(), want: "keep 2001:db8::1@p, missing PoolExhausted"},
		{name: "of one family there is nothing to prefer", pools: pools(four), req: options(both(PreferDualStack, v4)), want: "keep 10.0.0.1@four"},
		{name: "of one family there is nothing to require", pools: pools(four), req: options(both(RequireDualStack, v4)), want: "keep 10.0.0.1@four"},
		{name: "a named pool gives both", pools: pools(four, two), req: require(from("two")), want: "keep 10.0.1.1@two 2001:db8:1::1@two"},
		{name: "a named pool with one family is not enough to Require", pools: pools(four, six), req: require(from("four")), want: "refused NoPool"},
		{name: "a named pool with one family is enough to Prefer", pools: pools(four, six), req: prefer(from("four")), want: "keep 10.0.0.1@four, missing NoPool"},
		// A16, A18, A19
		{name: "a missing family is added, and the first address stays", pools: pools(newPool("p", "10.0.0.1-10.0.0.2 2001:db8::1")), held: []string{"10.0.0.2@p"}, req: prefer(), want: "keep 10.0.0.2@p 2001:db8::1@p"},
		{name: "a missing family is added to the second one", pools: pools(newPool("p", "10.0.0.1-10.0.0.2 2001:db8::1-2001:db8::2")), held: []string{"2001:db8::2@p"}, req: prefer(), want: "keep 10.0.0.1@p 2001:db8::2@p"},
		{name: "one does not move to a pool with both, and takes the missing family from there", pools: pools(four, two), held: []string{"10.0.0.1@four"}, req: prefer(), want: "keep 10.0.0.1@four 2001:db8:1::1@two"},
		{name: "a pool that loses one family takes nothing", pools: pools(newPool("p", "10.0.0.1"), two), held: []string{"10.0.0.1@p", "2001:db8::1@p"}, req: prefer(), want: "keep 10.0.0.1@p 2001:db8::1@p"},
		{name: "Single after both keeps one, and drops the other", pools: pools(two), held: []string{"10.0.1.2@two", "2001:db8:1::2@two"}, want: "keep 10.0.1.2@two, drop 2001:db8:1::2@two"},
		{name: "Single of IPv6 after both keeps that", pools: pools(two), held: []string{"10.0.1.2@two", "2001:db8:1::2@two"}, req: options(using(v6)), want: "keep 2001:db8:1::2@two, drop 10.0.1.2@two"},
		// What MetalLB refuses: one address for a dual-stack Service.
		{name: "one named address, and the other family is met by itself", pools: pools(four, two), req: require(wants("10.0.0.2")), want: "keep 10.0.0.2@four 2001:db8:1::1@two"},
		{name: "a named address of the second family", pools: pools(four, six), req: require(wants("2001:db8::2")), want: "keep 10.0.0.1@four 2001:db8::2@six"},
		{name: "named addresses of both families are all there is", pools: pools(four, six, two), req: require(wants("2001:db8::2", "10.0.1.2")), want: "keep 10.0.1.2@two 2001:db8::2@six"},
		{name: "two of one family and any of the other", pools: pools(four, six), req: require(wants("10.0.0.2", "10.0.0.1")), want: "keep 10.0.0.1@four 10.0.0.2@four 2001:db8::1@six"},
		{name: "a named address, and Prefer goes without the other family", pools: pools(four), req: prefer(wants("10.0.0.2")), want: "keep 10.0.0.2@four, missing NoPool"},
		{name: "a named address that cannot be had is a refusal, also for Prefer", pools: pools(four, six), req: prefer(wants("10.0.0.9")), want: "refused AddressNotInPool"},
		{name: "with Single a named address is all there is", pools: pools(four, six), req: options(wants("10.0.0.2"), using(v46)), want: "keep 10.0.0.2@four"},
		{name: "both families of a named pool count, though the address is of another", pools: pools(four, two), req: require(wants("10.0.0.2"), from("two")), want: "refused AddressNotInPool"},
	})
}

// A16 and A17, with the pool edits in between.
func TestDualStackFollowsThePoolsAndTheService(t *testing.T) {
	prefer, require := both(PreferDualStack, v46), both(RequireDualStack, v46)
	a := allocator(newPool("p", "10.0.0.1-10.0.0.9"))
	settle(t, a, ask("web", prefer), "keep 10.0.0.1@p, missing NoPool")
	settle(t, a, ask("web", require), "keep 10.0.0.1@p, refused NoPool")
	settle(t, a, ask("web", prefer), "keep 10.0.0.1@p, missing NoPool")
	setPools(a, newPool("p", "10.0.0.1-10.0.0.9 2001:db8::/64"))
	settle(t, a, ask("web", prefer), "keep 10.0.0.1@p 2001:db8::@p")
	settle(t, a, ask("web", require), "keep 10.0.0.1@p 2001:db8::@p")
	setPools(a, newPool("p", "10.0.0.1-10.0.0.9"))
	settle(t, a, ask("web", require), "keep 10.0.0.1@p 2001:db8::@p")
	settle(t, a, ask("web"), "keep 10.0.0.1@p, drop 2001:db8::@p")
	settle(t, a, ask("web", prefer), "keep 10.0.0.1@p, missing NoPool")
}

// MetalLB: dual-stack Services share both addresses under the same checks.
func TestDualStackSharesBoth(t *testing.T) {
	prefer := both(RequireDualStack, v46)
	a := allocator(newPool("p", "10.0.0.1-10.0.0.9 2001:db8::1-2001:db8::9"))
	settle(t, a, ask("a", prefer, on(share("k", 80))), "keep 10.0.0.1@p 2001:db8::1@p")
	settle(t, a, ask("b", prefer, on(share("k", 81))), "keep 10.0.0.1@p 2001:db8::1@p")
	settle(t, a, ask("c", using(v6), on(share("k", 82))), "keep 2001:db8::1@p")
	settle(t, a, ask("d", prefer, on(share("k", 82))), "keep 10.0.0.1@p 2001:db8::2@p")
	settle(t, a, ask("b", prefer, on(share("x", 81))), "keep 10.0.0.2@p 2001:db8::3@p, drop 10.0.0.1@p 2001:db8::1@p, lost 10.0.0.1@p 2001:db8::1@p")
}

// What Families promises: the preferred one first. Also of what is shared,
// where IPv4 sorts before.
func TestSingleStackSharesOfThePreferredFamily(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1-10.0.0.9 2001:db8::1-2001:db8::9"))
	settle(t, a, ask("a", both(RequireDualStack, v46), on(share("k", 80))), "keep 10.0.0.1@p 2001:db8::1@p")
	settle(t, a, ask("b", using(v64), on(share("k", 81))), "keep 2001:db8::1@p")
	settle(t, a, ask("c", using(v46), on(share("k", 82))), "keep 10.0.0.1@p")
}
