package ipam

import "testing"

// reserved gives an address to a Service that has not taken it up.
func reserved(t *testing.T, a *Allocator, name, what string) {
	t.Helper()
	take(t, a, name, what)
	a.ReserveFor(holding(name, what).Address, service(name))
}

func TestReservedFor(t *testing.T) {
	tests := []struct {
		name     string
		held     string // also held, not reserved
		reserved string
		req      []requestOption
		want     string
		still    bool // reserved afterwards
	}{
		{name: "what is reserved for a Service is what it gets", reserved: "10.0.0.5@p", want: "keep 10.0.0.5@p"},
		{name: "what is reserved for a Service is given although it is in no pool", reserved: "10.7.0.5@gone", want: "keep 10.7.0.5@gone"},
		{name: "what is handed to a Service goes before a lower one that it has", held: "10.0.0.1@p", reserved: "10.0.0.5@p", want: "keep 10.0.0.5@p, drop 10.0.0.1@p"},
		{name: "what is handed to a Service goes before a higher one that it has", held: "10.0.0.8@p", reserved: "10.0.0.5@p", want: "keep 10.0.0.5@p, drop 10.0.0.8@p"},
		{name: "what is reserved and not asked for is neither kept nor dropped", reserved: "10.0.0.5@p", req: options(wants("10.0.0.6")), want: "keep 10.0.0.6@p", still: true},
		{name: "what is handed and not asked for does not drop what is", held: "10.0.0.6@p", reserved: "10.0.0.5@p", req: options(wants("10.0.0.6")), want: "keep 10.0.0.6@p", still: true},
		{name: "what is reserved of another pool waits", reserved: "10.0.0.5@p", req: options(from("q")), want: "keep 10.1.0.1@q", still: true},
		{name: "what is reserved of another family waits", reserved: "10.0.0.5@p", req: options(using(v6)), want: "keep 2001:db8::1@q", still: true},
		{name: "a refusal neither keeps nor drops what is reserved", reserved: "10.0.0.5@p", req: options(from("nope")), want: "refused UnknownPool", still: true},
		{name: "a refusal keeps what the Service has", held: "10.0.0.1@p", reserved: "10.0.0.5@p", req: options(from("nope")), want: "keep 10.0.0.1@p, refused UnknownPool", still: true},
		{name: "what is reserved can be asked for", reserved: "10.0.0.5@p", req: options(wants("10.0.0.5")), want: "keep 10.0.0.5@p"},
		{name: "what is reserved is one of the two families", reserved: "10.0.0.5@p", req: options(both(RequireDualStack, v46)), want: "keep 10.0.0.5@p 2001:db8::1@q"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := allocator(newPool("p", "10.0.0.1-10.0.0.9"), newPool("q", "10.1.0.1 2001:db8::1"))
			if tt.held != "" {
				take(t, a, "web", tt.held)
			}
			reserved(t, a, "web", tt.reserved)
			settle(t, a, ask("web", tt.req...), tt.want)
			if got := a.IsReservedFor(holding("web", tt.reserved)); got != tt.still {
				t.Errorf("reserved: got %v, want %v", got, tt.still)
			}
			if got := holdersOf(a, holding("web", tt.reserved).Address.String()); got != "web" {
				t.Errorf("holders of what was reserved: got %q, want web", got)
			}
			settle(t, a, ask("other", wants("10.0.0.9")), "keep 10.0.0.9@p")
		})
	}
}

// The decision takes up the reserved address. A second decision, made because a write failed, must
// not prefer the lower address that it was to let go.
func TestHandedAddressStaysChosenUntilTheOldOneIsReleased(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1-10.0.0.9"))
	take(t, a, "web", "10.0.0.1@p")
	reserved(t, a, "web", "10.0.0.5@p")
	want := "keep 10.0.0.5@p, drop 10.0.0.1@p"
	for range 3 {
		if got := outcome(a.Assign(ask("web"))); got != want {
			t.Errorf("decision: got %q, want %q", got, want)
		}
	}
	a.Release(addr("10.0.0.1"), service("web"))
	decide(t, a, ask("web"), "keep 10.0.0.5@p")
}

// The same for an address that is not released, because the Service changes its request back.
func TestLatestChoiceStaysUntilTheOtherIsReleased(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1-10.0.0.9"))
	take(t, a, "web", "10.0.0.5@p")
	reserved(t, a, "web", "10.0.0.1@p")
	decide(t, a, ask("web"), "keep 10.0.0.1@p, drop 10.0.0.5@p")
	decide(t, a, ask("web", wants("10.0.0.5")), "keep 10.0.0.5@p, drop 10.0.0.1@p")
	settle(t, a, ask("web"), "keep 10.0.0.5@p, drop 10.0.0.1@p")
	take(t, a, "web", "10.0.0.1@p") // anew: nothing is known of it
	decide(t, a, ask("web"), "keep 10.0.0.1@p, drop 10.0.0.5@p")
}

func TestReservedFor_BelongsToAHolder(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1-10.0.0.9"))
	take(t, a, "web", "10.0.0.1@p")
	a.ReserveFor(addr("10.0.0.1"), service("other"))
	a.ReserveFor(addr("10.0.0.2"), service("web"))
	if len(a.reservedFor) != 0 {
		t.Errorf("reserved: got %v, want nothing, since those do not hold it", a.reservedFor)
	}
	a.ReserveFor(addr("10.0.0.1"), service("web"))
	a.Release(addr("10.0.0.1"), service("web"))
	take(t, a, "web", "10.0.0.1@p")
	if a.IsReservedFor(holding("web", "10.0.0.1@p")) {
		t.Error("reserved: got true for what was released and held anew, want false")
	}
	a.ReserveFor(addr("10.0.0.1"), service("web"))
	a.MarkInUse(addr("10.0.0.1"), service("web"))
	if a.IsReservedFor(holding("web", "10.0.0.1@p")) {
		t.Error("reserved: got true for what was taken up, want false")
	}
}

func TestReservedAddressIsNotFreeForOthers(t *testing.T) {
	a := allocator(newPool("p", "10.0.0.1-10.0.0.2"))
	reserved(t, a, "web", "10.0.0.1@p")
	decide(t, a, ask("other"), "keep 10.0.0.2@p")
	decide(t, a, ask("third"), "refused PoolExhausted")
	decide(t, a, ask("third", wants("10.0.0.1")), "refused AddressInUse")
	decide(t, a, ask("web"), "keep 10.0.0.1@p")
}
