package ipam

import "testing"

func TestQuota(t *testing.T) {
	two := newPool("p", "10.0.0.1-10.0.0.9 2001:db8::1-2001:db8::9", quota(2))
	rest := newPool("q", "10.1.0.1-10.1.0.9")
	runAssign(t, []assignCase{
		{name: "a namespace below it gets one", pools: pools(two, rest), taken: []string{"10.0.0.1@p"}, want: "keep 10.0.0.2@p"},
		{name: "a namespace that has as many gets the next pool's", pools: pools(two, rest), taken: []string{"10.0.0.1@p", "10.0.0.2@p"}, want: "keep 10.1.0.1@q"},
		{name: "both families count", pools: pools(two, rest), taken: []string{"10.0.0.1@p", "2001:db8::1@p"}, want: "keep 10.1.0.1@q"},
		{name: "and if there is no other pool it is refused", pools: pools(two), taken: []string{"10.0.0.1@p", "10.0.0.2@p"}, want: "refused QuotaExceeded"},
		{name: "also if the pool is named", pools: pools(two, rest), taken: []string{"10.0.0.1@p", "10.0.0.2@p"}, req: options(from("p")), want: "refused QuotaExceeded"},
		{name: "also if the address is named", pools: pools(two, rest), taken: []string{"10.0.0.1@p", "10.0.0.2@p"}, req: options(wants("10.0.0.5")), want: "refused QuotaExceeded"},
		{name: "what is reserved counts for nobody", pools: pools(two), kept: []string{"10.0.0.1@p", "10.0.0.2@p"}, want: "keep 10.0.0.3@p"},
		{name: "what a Service has stays when the quota is full", pools: pools(two), taken: []string{"10.0.0.1@p"}, held: []string{"10.0.0.2@p"}, want: "keep 10.0.0.2@p"},
		{name: "what a Service has stays when there is more than the quota", pools: pools(two), taken: []string{"10.0.0.1@p", "10.0.0.3@p", "10.0.0.4@p"}, held: []string{"10.0.0.2@p"}, want: "keep 10.0.0.2@p"},
		{name: "one is replaced while the quota is full", pools: pools(two), taken: []string{"10.0.0.1@p"}, held: []string{"10.0.0.2@p"}, req: options(wants("10.0.0.7")), want: "keep 10.0.0.7@p, drop 10.0.0.2@p"},
		{name: "one is not replaced by two", pools: pools(two), taken: []string{"10.0.0.1@p"}, held: []string{"10.0.0.2@p"}, req: options(wants("10.0.0.7", "10.0.0.8")), want: "keep 10.0.0.2@p, refused QuotaExceeded"},
		{name: "one is changed for another family while the quota is full", pools: pools(two), taken: []string{"10.0.0.1@p"}, held: []string{"10.0.0.2@p"}, req: options(using(v6)), want: "keep 2001:db8::1@p, drop 10.0.0.2@p"},
		{name: "two of one Service fill it", pools: pools(two), req: options(wants("10.0.0.1", "10.0.0.2")), want: "keep 10.0.0.1@p 10.0.0.2@p"},
		{name: "three of one Service are too many", pools: pools(two), req: options(wants("10.0.0.1", "10.0.0.2", "10.0.0.3")), want: "refused QuotaExceeded"},
		{name: "both families of one Service fill it", pools: pools(two), req: options(both(RequireDualStack, v46)), want: "keep 10.0.0.1@p 2001:db8::1@p"},
		{name: "both families do not fit beside another", pools: pools(two), taken: []string{"10.0.0.9@p"}, req: options(both(RequireDualStack, v46)), want: "refused QuotaExceeded"},
		{name: "a family that does not fit is missing", pools: pools(two), taken: []string{"10.0.0.9@p"}, req: options(both(PreferDualStack, v46)), want: "keep 10.0.0.1@p, missing QuotaExceeded"},
		{name: "a second family does not fit beside what is held", pools: pools(two), taken: []string{"10.0.0.9@p"}, held: []string{"10.0.0.5@p"}, req: options(both(PreferDualStack, v46)), want: "keep 10.0.0.5@p, missing QuotaExceeded"},
		{name: "what is held of another pool does not count", pools: pools(two, rest), taken: []string{"10.1.0.1@q", "10.1.0.2@q", "10.1.0.3@q"}, want: "keep 10.0.0.1@p"},
		{name: "what the Service gives up in another pool does not make room", pools: pools(newPool("p", "10.0.0.1-10.0.0.9", quota(1)), rest), taken: []string{"10.0.0.1@p"}, held: []string{"10.1.0.1@q"}, req: options(from("p")), want: "keep 10.1.0.1@q, refused QuotaExceeded"},
		{name: "what the pool does not have any more counts", pools: pools(two, rest), taken: []string{"10.7.0.1@p", "10.7.0.2@p"}, want: "keep 10.1.0.1@q"},
	})
}

func TestQuotaIsOfEachNamespace(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1-10.0.0.9", quota(1)))
	settle(t, a, ask("m/a"), "keep 10.0.0.1@p")
	settle(t, a, ask("n/a"), "keep 10.0.0.2@p")
	settle(t, a, ask("n/b"), "refused QuotaExceeded")
	a.Release(addr("10.0.0.1"), service("m/a"))
	settle(t, a, ask("n/b"), "refused QuotaExceeded")
	a.Release(addr("10.0.0.2"), service("n/a"))
	settle(t, a, ask("n/b"), "keep 10.0.0.1@p")
}

func TestQuotaCountsASharedAddressOnce(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1-10.0.0.9", quota(1), across))
	settle(t, a, ask("n/a", on(share("k", 80))), "keep 10.0.0.1@p")
	settle(t, a, ask("n/b", on(share("k", 81))), "keep 10.0.0.1@p")
	settle(t, a, ask("n/c", on(share("k", 82)), wants("10.0.0.1")), "keep 10.0.0.1@p")
	settle(t, a, ask("n/d", on(share("k", 80))), "refused QuotaExceeded")
	settle(t, a, ask("m/e", on(share("k", 84))), "keep 10.0.0.1@p") // once for each namespace
	settle(t, a, ask("m/f"), "refused QuotaExceeded")
	settle(t, a, ask("o/g"), "keep 10.0.0.2@p")
	settle(t, a, ask("o/h", on(share("k", 85))), "refused QuotaExceeded") // it would be a second one for o
	settle(t, a, ask("o/h", on(share("k", 85)), wants("10.0.0.1")), "refused QuotaExceeded")
	settle(t, a, ask("n/b", on(share("k", 81)), wants("10.0.0.5")), "keep 10.0.0.1@p, refused QuotaExceeded") // others still have the first
	a.Release(addr("10.0.0.1"), service("n/a"))
	settle(t, a, ask("n/d"), "refused QuotaExceeded") // b and c still have it
	a.Release(addr("10.0.0.1"), service("n/b"))
	a.Release(addr("10.0.0.1"), service("n/c"))
	settle(t, a, ask("n/d"), "keep 10.0.0.3@p")
}

// An address that the namespace has anyway, shared with the Service, is not counted
// a second time when it is chosen.
func TestQuotaCountsASharedDualStackAddressOnce(t *testing.T) {
	prefer := both(PreferDualStack, v46)
	two := newPool("p", "10.0.0.1-10.0.0.9 2001:db8::1-2001:db8::9", quota(2))
	t.Run("when it is shared now", func(t *testing.T) {
		a := allocator(two)
		settle(t, a, ask("a", on(share("k", 80))), "keep 10.0.0.1@p")
		settle(t, a, ask("b", on(share("k", 81)), prefer), "keep 10.0.0.1@p 2001:db8::1@p")
	})
	t.Run("when it was shared before", func(t *testing.T) {
		a := allocator(two)
		settle(t, a, ask("a", on(share("k", 80))), "keep 10.0.0.1@p")
		settle(t, a, ask("b", on(share("k", 81))), "keep 10.0.0.1@p")
		settle(t, a, ask("b", on(share("k", 81)), prefer), "keep 10.0.0.1@p 2001:db8::1@p")
	})
	t.Run("when it is named", func(t *testing.T) {
		a := allocator(two)
		settle(t, a, ask("a", on(share("k", 80))), "keep 10.0.0.1@p")
		settle(t, a, ask("b", on(share("k", 81)), wants("10.0.0.1", "10.0.0.7")), "keep 10.0.0.1@p 10.0.0.7@p")
	})
}

func TestQuotaFollowsPoolEdits(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1-10.0.0.9"))
	settle(t, a, ask("a"), "keep 10.0.0.1@p")
	settle(t, a, ask("b"), "keep 10.0.0.2@p")
	settle(t, a, ask("c", on(share("k", 80))), "keep 10.0.0.3@p")
	settle(t, a, ask("d", on(share("k", 81))), "keep 10.0.0.3@p")
	setPools(a, newPool("p", "10.0.0.1-10.0.0.9", quota(3)))
	settle(t, a, ask("e"), "refused QuotaExceeded")
	setPools(a, newPool("p", "10.0.0.1-10.0.0.9", quota(4)))
	settle(t, a, ask("e"), "keep 10.0.0.4@p")
	setPools(a, newPool("p", "10.0.0.1-10.0.0.9", quota(1)))
	settle(t, a, ask("b"), "keep 10.0.0.2@p") // keeps what it has
	settle(t, a, ask("f"), "refused QuotaExceeded")
	setPools(a, newPool("p", "10.0.0.1-10.0.0.9"))
	settle(t, a, ask("f"), "keep 10.0.0.5@p")
}
