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
