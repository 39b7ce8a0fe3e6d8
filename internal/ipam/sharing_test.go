package ipam

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lbstack/lbstack/internal/lb"
)

func TestMayShareAnAddress(t *testing.T) {
	udp := lb.Sharing{Key: "k", Ports: []lb.Port{{Protocol: "UDP", Number: 80}}}
	none := "(no selector of n/web)" // the caller's value for Local without selector
	tests := []struct {
		name         string
		has, asks    lb.Sharing
		from         string // namespace of the requesting Service; the holder is in "n"
		across       bool
		want, reason string // reason: part of the message
	}{
		{name: "the same key and other ports share", has: share("k", 80), asks: share("k", 81), want: "keep 10.0.0.1@p"},
		{name: "the same port of another protocol is another port", has: share("k", 80), asks: udp, want: "keep 10.0.0.1@p"},
		{name: "Services without ports share", has: share("k"), asks: share("k"), want: "keep 10.0.0.1@p"},
		{name: "a common port does not share", has: share("k", 79, 80), asks: share("k", 80, 81), want: "refused SharingConflict", reason: "both use port 80/TCP"},
		{name: "the highest port counts too", has: share("k", 80, 443), asks: share("k", 1, 2, 443), want: "refused SharingConflict", reason: "both use port 443/TCP"},
		{name: "different keys do not share", has: share("k", 80), asks: share("x", 81), want: "refused SharingConflict", reason: "lbstack.io/allow-shared-ip differ"},
		{name: "no key shares with nobody", has: share("k", 80), asks: share("", 81), want: "refused AddressInUse", reason: "belongs to the Service n/holder"},
		{name: "nobody shares with a Service without a key", has: share("", 80), asks: share("k", 81), want: "refused SharingConflict", reason: "both must have the annotation lbstack.io/allow-shared-ip"},
		{name: "two Services without a key do not share", has: share("", 80), asks: share("", 81), want: "refused AddressInUse"},
		{name: "Cluster and Local do not mix", has: share("k", 80), asks: local("app=a", share("k", 81)), want: "refused SharingConflict", reason: "externalTrafficPolicy"},
		{name: "Local and Cluster do not mix", has: local("app=a", share("k", 80)), asks: share("k", 81), want: "refused SharingConflict", reason: "externalTrafficPolicy"},
		{name: "two Local ones with one selector share", has: local("app=a", share("k", 80)), asks: local("app=a", share("k", 81)), want: "keep 10.0.0.1@p"},
		{name: "two Local ones with different selectors do not", has: local("app=a", share("k", 80)), asks: local("app=b", share("k", 81)), want: "refused SharingConflict"},
		// MetalLB lets Local without a selector share with Cluster.
		{name: "Local without a selector does not mix with Cluster", has: share("k", 80), asks: local(none, share("k", 81)), want: "refused SharingConflict"},
		// MetalLB lets any tenant that knows the key join.
		{name: "another namespace does not share", has: share("k", 80), asks: share("k", 81), from: "m", want: "refused SharingConflict", reason: "sharingScope: Namespace"},
		{name: "another namespace shares if the pool lets it", has: share("k", 80), asks: share("k", 81), from: "m", across: true, want: "keep 10.0.0.1@p"},
		{name: "another namespace does not share a port, even so", has: share("k", 80), asks: share("k", 80), from: "m", across: true, want: "refused SharingConflict"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPool("p", "10.0.0.1-10.0.0.9")
			p.ShareAcrossNamespaces = tt.across
			a := allocator(p)
			take(t, a, "holder", "10.0.0.1@p", tt.has)
			name := "web"
			if tt.from != "" {
				name = tt.from + "/web"
			}
			d := decide(t, a, ask(name, on(tt.asks), wants("10.0.0.1")), tt.want)
			if d.Refusal != nil && !strings.Contains(d.Refusal.Message, tt.reason) {
				t.Errorf("message: got %q, want it to contain %q", d.Refusal.Message, tt.reason)
			}
			// Without naming the address, the Service gets it if it may share, and otherwise a free one.
			b := allocator(p)
			take(t, b, "holder", "10.0.0.1@p", tt.has)
			want := tt.want
			if d.Refusal != nil {
				want = "keep 10.0.0.2@p"
			}
			decide(t, b, ask(name, on(tt.asks)), want)
		})
	}
}

func TestEveryHolderMustAgree(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1-10.0.0.9"))
	take(t, a, "a", "10.0.0.1@p", share("k", 80))
	take(t, a, "b", "10.0.0.1@p", share("k", 81))
	decide(t, a, ask("c", on(share("k", 81))), "keep 10.0.0.2@p")
	decide(t, a, ask("d", on(share("k", 82))), "keep 10.0.0.1@p")
	decide(t, a, ask("e", on(share("k", 82))), "keep 10.0.0.2@p")
	if got, want := holdersOf(a, "10.0.0.1"), "a b d"; got != want {
		t.Errorf("holders: got %q, want %q in the order in which they came", got, want)
	}
}

func TestSharedAddressIsFreeWhenTheLastOneLeaves(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1"))
	for i, name := range []string{"a", "b", "c"} {
		settle(t, a, ask(name, on(share("k", uint16(80+i)))), "keep 10.0.0.1@p")
	}
	for _, name := range []string{"a", "c", "b"} { // the first holder may also leave first
		decide(t, a, ask("alone"), "refused PoolExhausted")
		if used := a.PoolStates()["p"].Usage[lb.IPv4].Used; used != 1 {
			t.Errorf("used: got %d, want 1 for an address that several have", used)
		}
		a.Release(addr("10.0.0.1"), service(name))
		checkInside(t, a)
	}
	settle(t, a, ask("alone"), "keep 10.0.0.1@p")
}

func TestSharedAddressGoesBeforeAFreeOne(t *testing.T) {
	alpha, beta := newPool("alpha", "10.0.0.1-10.0.0.9"), newPool("beta", "10.0.1.1-10.0.1.9")
	hand, drain := newPool("hand", "10.0.2.1", manual), newPool("drain", "10.0.3.1", drained)
	odd := newPool("odd", "10.0.4.0/24", avoiding)
	held := func(t *testing.T, list ...string) *Allocator {
		a := allocator(alpha, beta, hand, drain, odd)
		for i, h := range list {
			take(t, a, string(rune('a'+i)), h, share("k", uint16(80+i)))
		}
		return a
	}
	tests := []struct {
		name string
		held []string
		req  []requestOption
		want string
	}{
		{name: "even of a pool that comes later", held: []string{"10.0.1.5@beta"}, want: "keep 10.0.1.5@beta"},
		{name: "the first pool's goes before a lower one's", held: []string{"10.0.1.5@beta", "10.0.0.8@alpha"}, want: "keep 10.0.0.8@alpha"},
		{name: "and of one pool the lowest", held: []string{"10.0.1.8@beta", "10.0.1.5@beta", "10.0.1.6@beta"}, want: "keep 10.0.1.5@beta"},
		{name: "but not of a pool that does not give itself", held: []string{"10.0.2.1@hand"}, want: "keep 10.0.0.1@alpha"},
		{name: "unless that is named", held: []string{"10.0.2.1@hand"}, req: options(from("hand")), want: "keep 10.0.2.1@hand"},
		{name: "and not of another than is named", held: []string{"10.0.0.8@alpha"}, req: options(from("beta")), want: "keep 10.0.1.1@beta"},
		{name: "and not of a draining pool", held: []string{"10.0.3.1@drain"}, want: "keep 10.0.0.1@alpha"},
		{name: "and not one that its pool avoids", held: []string{"10.0.4.255@odd"}, want: "keep 10.0.0.1@alpha"},
		{name: "and not one that no pool gives", held: []string{"10.7.0.1@gone"}, want: "keep 10.0.0.1@alpha"},
		{name: "and not one that its pool has no more", held: []string{"10.7.0.1@alpha"}, want: "keep 10.0.0.1@alpha"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			decide(t, held(t, tt.held...), ask("web", append(tt.req, on(share("k", 443)))...), tt.want)
		})
	}
}

// Acceptance A04: the Service that changes gives way, the other holders stay.
func TestServiceWhoseTermsChangeGivesWay(t *testing.T) {
	cluster, x, y := share("k", 80), local("app=x", share("k", 80)), local("app=y", share("k", 80))
	cluster2, x2 := share("k", 81), local("app=x", share("k", 81))
	a := allocator(newPool("p", "10.0.0.1-10.0.0.9"))
	for _, step := range []struct {
		name  string
		who   string
		terms lb.Sharing
		want  string
	}{
		{"the first gets one", "a", cluster, "keep 10.0.0.1@p"},
		{"the second shares it", "b", cluster2, "keep 10.0.0.1@p"},
		{"the second becomes Local, and moves", "b", x2, "keep 10.0.0.2@p, drop 10.0.0.1@p, lost 10.0.0.1@p"},
		{"the first stays", "a", cluster, "keep 10.0.0.1@p"},
		{"the first becomes Local, and stays where it is alone", "a", x, "keep 10.0.0.1@p"},
		{"the second asks for it", "b", x2, "keep 10.0.0.2@p"},
	} {
		t.Log(step.name)
		settle(t, a, ask(step.who, on(step.terms)), step.want)
	}
	settle(t, a, ask("b", on(x2), wants("10.0.0.1")), "keep 10.0.0.1@p, drop 10.0.0.2@p")
	settle(t, a, ask("a", on(y)), "keep 10.0.0.2@p, drop 10.0.0.1@p, lost 10.0.0.1@p")
	settle(t, a, ask("b", on(x2), wants("10.0.0.1")), "keep 10.0.0.1@p")
	settle(t, a, ask("a", on(x), wants("10.0.0.1")), "keep 10.0.0.1@p, drop 10.0.0.2@p")
}

func TestTermsMayChange(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1-10.0.0.9"))
	settle(t, a, ask("a", on(share("k", 80))), "keep 10.0.0.1@p")
	settle(t, a, ask("a", on(share("x", 80))), "keep 10.0.0.1@p") // alone: any
	settle(t, a, ask("a"), "keep 10.0.0.1@p")
	settle(t, a, ask("a", on(share("k", 80))), "keep 10.0.0.1@p")
	settle(t, a, ask("b", on(share("k", 81))), "keep 10.0.0.1@p")
	settle(t, a, ask("b", on(share("k", 82, 83))), "keep 10.0.0.1@p") // other ports
	settle(t, a, ask("c", on(share("k", 83))), "keep 10.0.0.2@p")     // what b has now counts
	settle(t, a, ask("d", on(share("k", 81))), "keep 10.0.0.1@p")     // what b had does not
	d := settle(t, a, ask("b", on(share("k", 80))), "keep 10.0.0.2@p, drop 10.0.0.1@p, lost 10.0.0.1@p")
	if got, want := d.Lost[0].Why, "the Service cannot share the address with the Service n/a: both use port 80/TCP"; got != want {
		t.Errorf("why: got %q, want %q", got, want)
	}
	settle(t, a, ask("a"), "keep 10.0.0.3@p, drop 10.0.0.1@p, lost 10.0.0.1@p") // no key any more
}

func TestServiceThatCanNoLongerShareAndGetsNoOtherLosesTheAddress(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1"))
	settle(t, a, ask("a", on(share("k", 80))), "keep 10.0.0.1@p")
	settle(t, a, ask("b", on(share("k", 81))), "keep 10.0.0.1@p")
	settle(t, a, ask("b", on(share("k", 80))), "drop 10.0.0.1@p, lost 10.0.0.1@p, refused PoolExhausted")
	settle(t, a, ask("a", on(share("k", 80))), "keep 10.0.0.1@p")
}

// Between the decision about the changed Service and the release of its dropped
// address, the terms count that the other holders agreed to.
func TestHolderStaysWhileTheOtherLeaves(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1-10.0.0.9"))
	settle(t, a, ask("a", on(share("k", 80))), "keep 10.0.0.1@p")
	settle(t, a, ask("b", on(share("k", 81))), "keep 10.0.0.1@p")
	settle(t, a, ask("c", on(share("k", 82))), "keep 10.0.0.1@p")
	decide(t, a, ask("b", on(share("x", 81))), "keep 10.0.0.2@p, drop 10.0.0.1@p, lost 10.0.0.1@p")
	decide(t, a, ask("a", on(share("k", 80))), "keep 10.0.0.1@p")
	decide(t, a, ask("c", on(share("k", 82, 83))), "keep 10.0.0.1@p")
	decide(t, a, ask("d", on(share("k", 81))), "keep 10.0.0.3@p") // b is still there
	decide(t, a, ask("f", on(share("k", 84))), "keep 10.0.0.1@p")
	a.Release(addr("10.0.0.1"), service("b"))
	decide(t, a, ask("a", on(share("k", 80))), "keep 10.0.0.1@p")
	decide(t, a, ask("e", on(share("k", 81))), "keep 10.0.0.1@p")
}

func TestServiceThatChangesBackInTimeStays(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1-10.0.0.1"))
	settle(t, a, ask("a", on(share("k", 80))), "keep 10.0.0.1@p")
	settle(t, a, ask("b", on(share("k", 81))), "keep 10.0.0.1@p")
	decide(t, a, ask("b"), "drop 10.0.0.1@p, lost 10.0.0.1@p, refused PoolExhausted")
	decide(t, a, ask("b", on(share("k", 82))), "keep 10.0.0.1@p")
	decide(t, a, ask("b"), "drop 10.0.0.1@p, lost 10.0.0.1@p, refused PoolExhausted")
	a.Release(addr("10.0.0.1"), service("a")) // so it can stay
	decide(t, a, ask("b"), "keep 10.0.0.1@p")
}

// Each address has its own terms: a second claim of a Service, written with newer terms
// before a crash, takes nothing from the others at its first address.
func TestTermsOfAnotherClaimTakeNothingFromOthers(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1-10.0.0.9"))
	take(t, a, "a", "10.0.0.1@p", share("k", 80))
	take(t, a, "b", "10.0.0.1@p", share("k", 81))
	take(t, a, "b", "10.0.0.2@p", share("x", 81)) // as written before a crash
	decide(t, a, ask("a", on(share("k", 80))), "keep 10.0.0.1@p")
	settle(t, a, ask("b", on(share("x", 81))), "keep 10.0.0.2@p, drop 10.0.0.1@p, lost 10.0.0.1@p")
}

// Promise 2: neither the edit nor the deletion of a pool takes an address away.
func TestPoolThatEvictsTakesAddressesSharedAcrossNamespaces(t *testing.T) {
	first, second, third := ask("m/a", on(share("k", 80))), ask("n/b", on(share("k", 81))), ask("m/c", on(share("k", 82)))
	a := allocator(newPool("p", "10.0.0.1-10.0.0.9", across))
	for _, req := range []Request{first, second, third} {
		settle(t, a, req, "keep 10.0.0.1@p")
	}
	setPools(a, newPool("p", "10.0.0.1-10.0.0.9")) // does not evict: the later Service has the conflict
	for _, req := range []Request{second, first, third} {
		settle(t, a, req, "keep 10.0.0.1@p")
	}
	if kept := a.PoolStates()["p"].OutsidePool; len(kept) != 2 || kept[0].Service != third.Service || !strings.Contains(kept[1].Why, "sharingScope: Namespace") {
		t.Errorf("kept: got %v, want those of m/c and n/b because of sharingScope", kept)
	}
	setPools(a, newPool("p", "10.0.0.1-10.0.0.9", evicting, broken("it is wrong"))) // takes nothing
	settle(t, a, second, "keep 10.0.0.1@p")
	setPools(a, newPool("p", "10.0.0.1-10.0.0.9", evicting))
	settle(t, a, second, "keep 10.0.0.2@p, drop 10.0.0.1@p, lost 10.0.0.1@p")
	settle(t, a, first, "keep 10.0.0.1@p")
	settle(t, a, third, "keep 10.0.0.1@p") // n/b no longer stands between
}

func TestPoolEditsTakeNoSharedAddress(t *testing.T) {
	for _, tt := range []struct {
		name string
		next []Pool
	}{
		{"a pool that lets only one namespace share from now on", pools(newPool("p", "10.0.0.1-10.0.0.9"))},
		{"a pool that is deleted", nil},
		{"a pool that gives nothing", pools(newPool("p", "", broken("it is wrong")))},
		{"a pool that takes over another's addresses", pools(newPool("q", "10.0.0.1-10.0.0.9"))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			one, other := ask("m/a", on(share("k", 80))), ask("n/b", on(share("k", 81)))
			a := allocator(newPool("p", "10.0.0.1-10.0.0.9", across))
			decide(t, a, one, "keep 10.0.0.1@p")
			decide(t, a, other, "keep 10.0.0.1@p")
			setPools(a, tt.next...)
			// A restart learns what was held, and takes nothing either.
			b := allocator(tt.next...)
			for _, req := range []Request{one, other} {
				if !b.Hold(Holding{Address: addr("10.0.0.1"), Pool: "p", Service: req.Service}, req.Terms) {
					t.Errorf("Hold for %s after a restart: got false, want true", req.Service)
				}
			}
			for _, x := range []*Allocator{a, b} {
				for _, req := range []Request{other, one} {
					d := x.Assign(req)
					if len(d.Keep) != 1 || len(d.Drop) != 0 {
						t.Errorf("%s: got %q, want it to keep what it has", req.Service, outcome(d))
					}
				}
			}
			if tt.next != nil { // the present pool counts for a new Service
				if d := a.Assign(ask("o/c", on(share("k", 82)), wants("10.0.0.1"))); d.Refusal == nil {
					t.Errorf("a third namespace: got %q, want a refusal", outcome(d))
				}
			}
		})
	}
}

// A Service compares itself with the holders of 64 addresses of its key, in the order in
// which it would take them, and takes a free address if it can share none of these.
func TestSharedAddressesThatAreCompared(t *testing.T) {
	crowd := func(t *testing.T, n int, first string) *Allocator {
		t.Helper()
		a := allocator(newPool("first", "10.0.1.0-10.0.1.9", across), newPool("p", "10.0.0.1-10.0.0.254"), newPool("q", "10.0.2.0-10.0.2.254", across))
		for i := range n {
			take(t, a, fmt.Sprint("other", i), fmt.Sprintf(first, i+1), share("k", 80))
		}
		return a
	}
	t.Run("64 addresses are compared and the free one is of the first pool", func(t *testing.T) {
		a := crowd(t, 64, "10.0.0.%d@p")
		take(t, a, "fits", "10.0.0.100@p", share("k", 81))
		decide(t, a, ask("web", on(share("k", 80, 82))), "keep 10.0.1.0@first")
	})
	t.Run("address 64 in the order can be shared", func(t *testing.T) {
		a := crowd(t, 63, "10.0.0.%d@p")
		take(t, a, "fits", "10.0.0.100@p", share("k", 81))
		decide(t, a, ask("web", on(share("k", 80, 82))), "keep 10.0.0.100@p")
	})
	t.Run("addresses of a pool that comes later take no turn", func(t *testing.T) {
		a := crowd(t, 64, "10.0.0.%d@p")
		take(t, a, "fits", "10.0.1.5@first", share("k", 81))
		decide(t, a, ask("web", on(share("k", 80, 82))), "keep 10.0.1.5@first")
	})
	t.Run("addresses of other namespaces take no turn in a pool that shares in one", func(t *testing.T) {
		a := crowd(t, 64, "10.0.0.%d@p")
		take(t, a, "mine/fits", "10.0.0.100@p", share("k", 81))
		decide(t, a, ask("mine/web", on(share("k", 80, 82))), "keep 10.0.0.100@p")
	})
	t.Run("the refusal names the bound", func(t *testing.T) {
		a := crowd(t, 65, "10.0.0.%d@p")
		d := decide(t, a, ask("web", on(share("k", 80)), from("p"), using(v6)), "refused NoPool")
		if strings.Contains(d.Refusal.Message, "that were checked") {
			t.Errorf("message without any address that could be compared: got %q", d.Refusal.Message)
		}
		setPools(a, newPool("p", "10.0.0.1-10.0.0.65"))
		d = decide(t, a, ask("web", on(share("k", 80))), "refused PoolExhausted")
		if want := "64 addresses"; !strings.Contains(d.Refusal.Message, want) {
			t.Errorf("message: got %q, want it to contain %q", d.Refusal.Message, want)
		}
	})
}

// numbered returns n ports from first on.
func numbered(first, n int) (ports []uint16) {
	for i := range n {
		ports = append(ports, uint16(first+i))
	}
	return ports
}

// The claim of an address has the ports of all its holders, and has to fit into etcd.
func TestPortsOfAllHoldersTogetherAreBounded(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1-10.0.0.9"))
	for i := range 7 {
		settle(t, a, ask(fmt.Sprint("s", i), on(share("k", numbered(1+1024*i, 1024)...))), "keep 10.0.0.1@p")
	}
	settle(t, a, ask("small", on(share("k", 30000))), "keep 10.0.0.1@p")
	const more = "more than 8192 ports"
	refused := func(name string, terms lb.Sharing) {
		t.Helper()
		d := decide(t, a, ask(name, on(terms), wants("10.0.0.1")), "refused SharingConflict")
		if d.Refusal != nil && !strings.Contains(d.Refusal.Message, more) {
			t.Errorf("message: got %q, want it to contain %q", d.Refusal.Message, more)
		}
	}
	refused("joins", share("k", numbered(20000, 1024)...))
	settle(t, a, ask("joins", on(share("k", numbered(20000, 1023)...))), "keep 10.0.0.1@p")
	refused("one", share("k", 30001))
	settle(t, a, ask("none", on(share("k"))), "keep 10.0.0.1@p") // nothing is added
	settle(t, a, ask("s0", on(share("k", numbered(1, 1023)...))), "keep 10.0.0.1@p")
	settle(t, a, ask("s0", on(share("k", numbered(1, 1024)...))), "keep 10.0.0.1@p")
	d := settle(t, a, ask("small", on(share("k", 30000, 30001))), "keep 10.0.0.2@p, drop 10.0.0.1@p, lost 10.0.0.1@p")
	if got := d.Lost[0].Why; !strings.Contains(got, more) {
		t.Errorf("why the Service that has more ports now lost the address: got %q, want it to contain %q", got, more)
	}
}

// Claims that an administrator wrote with more than the bound still count after a restart.
func TestPortsBeyondTheBoundAreAdopted(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1-10.0.0.9"))
	for i := range 9 {
		take(t, a, fmt.Sprint("s", i), "10.0.0.1@p", share("k", numbered(1+1024*i, 1024)...))
	}
	decide(t, a, ask("s8", on(share("k", numbered(1+1024*8, 1024)...))), "keep 10.0.0.1@p")
	decide(t, a, ask("s8", on(share("k", numbered(1+1024*8, 1000)...))), "keep 10.0.0.1@p")
}
