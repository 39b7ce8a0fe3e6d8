package allocations

import (
	"net/netip"
	"testing"

	"github.com/lbstack/lbstack/internal/ipam"
)

// had returns the request of a Service that had addresses before a removal.
func had(i int, addresses ...string) ipam.Request {
	req := request(i)
	req.Kept = addrList(addresses...)
	return req
}

// Anybody who may write a Service can write which addresses it had: that gives it no more than one of a
// family, and not before its turn.
func TestSetPools_AddressesOfBeforeChangeNoTurn(t *testing.T) {
	tests := []struct {
		name string
		pool string
		line []ipam.Request
		want []string // in the order of line; empty: none
	}{
		{name: "all get what they had", pool: "10.0.0.0/30", line: []ipam.Request{had(1, "10.0.0.3"), had(2, "10.0.0.0"), had(3, "10.0.0.1")}, want: []string{"10.0.0.3", "10.0.0.0", "10.0.0.1"}},
		{name: "one in front that names those of all others", pool: "10.0.0.0/30",
			line: []ipam.Request{had(1, "10.0.0.1", "10.0.0.0", "10.0.0.2", "10.0.0.3"), had(2, "10.0.0.0"), had(3, "10.0.0.1"), had(4, "10.0.0.3")},
			want: []string{"10.0.0.1", "10.0.0.0", "10.0.0.2", "10.0.0.3"}},
		{name: "more wait than there are addresses", pool: "10.0.0.0/32", line: []ipam.Request{request(1), had(2, "10.0.0.0")}, want: []string{"10.0.0.0", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := New()
			l.Load(nil, nil)
			for _, req := range tt.line {
				mustRefuse(t, l, req)
			}
			l.SetPools(plan(t, nil, tt.pool))
			for i, req := range tt.line {
				var want []string
				if tt.want[i] != "" {
					want = []string{tt.want[i]}
				}
				holds(t, l, i+1, want, nil)
				if o := l.Assign(req); len(o.Keep) != len(want) || len(o.Drop) > 0 {
					t.Errorf("%s asks again: got %v and drops %v, want %v", req.Service, texts(o.Keep), texts(o.Drop), want)
				}
			}
		})
	}
}

// A pool that comes after the controller has begun: a Service that waits keeps the address in its status, also
// if others waited before it, and also if it is not in the list that is served.
func TestSetPools_WaitingServicesKeepWhatTheyShow(t *testing.T) {
	const others = 2 * maxListedPerNamespace
	l := New()
	l.Load(nil, nil)
	for i := range others {
		mustRefuse(t, l, request(i))
	}
	shows, forged := request(others), had(others+1, "10.0.0.9")
	shows.Shows = []netip.Addr{addr("10.0.0.9")}
	mustRefuse(t, l, shows)
	mustRefuse(t, l, forged)
	l.SetPools(plan(t, nil, "10.0.0.0/22"))
	holds(t, l, others, []string{"10.0.0.9"}, nil)
	holds(t, l, others+1, nil, nil)
}

// The pools that were tried are no part of the event about an address of before: none was.
func TestAssign_AddressOfBeforePassesNoPool(t *testing.T) {
	l := New()
	l.Load(plan(t, func(p *ipam.Pool) { p.Draining = true }, "10.0.0.0/30", "10.0.1.0/30"), nil)
	if o := l.Assign(had(1, "10.0.1.2")); len(o.Keep) != 1 || o.Keep[0].Address != addr("10.0.1.2") || len(o.PassedPools) > 0 {
		t.Errorf("got %v, passed %v, want 10.0.1.2 and no pool that was tried before", texts(o.Keep), o.PassedPools)
	}
}
