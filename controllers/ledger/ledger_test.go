package ledger

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

func pool(t *testing.T, cidr string) []ipam.Pool {
	t.Helper()
	return []ipam.Pool{{Name: "p", AutoAssign: true, Ranges: []lb.Range{lb.RangeOf(netip.MustParsePrefix(cidr))}}}
}

func key(i int) lb.ServiceKey { return lb.ServiceKey{Namespace: "n", Name: fmt.Sprint(i)} }

func request(i int) ipam.Request {
	return ipam.Request{Service: key(i), Families: []lb.Family{lb.IPv4}}
}

func TestWhoIsRefusedIsWoken(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Ledger)
		want   []lb.ServiceKey
	}{
		{name: "when an address becomes free", change: func(l *Ledger) { l.Release(netip.MustParseAddr("10.0.0.0"), key(0)) }, want: []lb.ServiceKey{key(1)}},
		{name: "when the pools change", change: func(l *Ledger) { l.SetPools(pool(t, "10.0.0.0/30")) }, want: []lb.ServiceKey{key(1)}},
		{name: "but not when the pools stay as they are", change: func(l *Ledger) { l.SetPools(pool(t, "10.0.0.0/32")) }},
		{name: "but not when it is gone", change: func(l *Ledger) { l.Forget(key(1)); l.SetPools(pool(t, "10.0.0.0/30")) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := New()
			l.SetPools(pool(t, "10.0.0.0/32"))
			if _, _, refusal := l.Assign(request(0)); refusal != nil {
				t.Fatal(refusal)
			}
			if h, _, refusal := l.Assign(request(1)); refusal == nil {
				t.Fatalf("second request: got %v, want a refusal", h)
			}
			var woken []lb.ServiceKey
			l.OnChange(func(k lb.ServiceKey) { woken = append(woken, k) })
			tt.change(l)
			if diff := cmp.Diff(tt.want, woken); diff != "" {
				t.Errorf("woken (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPoolThatIsRenamedTakesItsAddressesAlong(t *testing.T) {
	l := New()
	l.SetPools(pool(t, "10.0.0.0/30"))
	if _, _, refusal := l.Assign(request(0)); refusal != nil {
		t.Fatal(refusal)
	}
	var woken []lb.ServiceKey
	l.OnChange(func(k lb.ServiceKey) { woken = append(woken, k) })
	renamed := pool(t, "10.0.0.0/30")
	renamed[0].Name = "q"
	l.SetPools(renamed)
	want := []ipam.Holding{{Address: netip.MustParseAddr("10.0.0.0"), Pool: "q", Service: key(0)}}
	if diff := cmp.Diff(want, l.HeldBy(key(0)), cmp.Comparer(func(x, y netip.Addr) bool { return x == y })); diff != "" {
		t.Errorf("held (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]lb.ServiceKey{key(0)}, woken); diff != "" {
		t.Errorf("woken, so that claim and annotation follow (-want +got):\n%s", diff)
	}
}

func TestACacheIsBelievedOnlyAboutWhatIsConfirmed(t *testing.T) {
	address := netip.MustParseAddr("10.0.0.0")
	mine := ipam.Holding{Address: address, Pool: "p", Service: key(0)}
	tests := []struct {
		name string
		do   func(*Ledger)
		want bool
	}{
		{"what was loaded past the cache", func(l *Ledger) { l.Load(pool(t, "10.0.0.0/30"), []ipam.Holding{mine}) }, true},
		{"what came out of the cache", func(l *Ledger) { l.Observe(mine) }, false},
		{"what was written", func(l *Ledger) { l.Observe(mine); l.Confirm(address) }, true},
		{"what was released since", func(l *Ledger) { l.Observe(mine); l.Confirm(address); l.Release(address, key(0)) }, false},
		{"what was corrected since", func(l *Ledger) {
			l.Observe(mine)
			l.Confirm(address)
			l.Replace(mine, ipam.Holding{Address: address, Service: key(1)})
		}, false},
		{"what was loaded anew without it", func(l *Ledger) { l.Confirm(address); l.Load(nil, nil) }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := New()
			tt.do(l)
			if got := l.Confirmed(address); got != tt.want {
				t.Errorf("confirmed: got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestConcurrentRequestsGetDifferentAddresses(t *testing.T) {
	l := New()
	l.SetPools(pool(t, "10.0.0.0/24"))
	var group sync.WaitGroup
	for i := range 256 {
		group.Go(func() { l.Assign(request(i)) })
	}
	group.Wait()
	seen := map[netip.Addr]lb.ServiceKey{}
	for i := range 256 {
		held := l.HeldBy(key(i))
		if len(held) != 1 {
			t.Fatalf("%s holds %v, want one address", key(i), held)
		}
		if other, ok := seen[held[0].Address]; ok {
			t.Fatalf("%s: both %s and %s hold it", held[0].Address, other, key(i))
		}
		seen[held[0].Address] = key(i)
	}
}
