package ipam

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/lbstack/lbstack/internal/lb"
)

// BenchmarkAssign gives addresses from pools of several sizes: the time for one
// must not depend on the size.
func BenchmarkAssign(b *testing.B) {
	for _, prefix := range []string{"10.0.0.0/8", "10.0.0.0/12", "2001:db8::/64"} {
		b.Run(prefix, func(b *testing.B) {
			p := netip.MustParsePrefix(prefix)
			families := []lb.Family{lb.FamilyOf(p.Addr())}
			keys := make([]lb.ServiceKey, 1<<16)
			for i := range keys {
				keys[i] = lb.ServiceKey{Namespace: "n", Name: fmt.Sprint(i)}
			}
			a := New()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%len(keys) == 0 {
					a = New()
					a.SetPools([]Pool{{Name: "p", AutoAssign: true, Ranges: []lb.Range{lb.RangeOf(p)}}})
				}
				if _, refusal := a.Assign(Request{Service: keys[i%len(keys)], Families: families}); refusal != nil {
					b.Fatal(refusal)
				}
			}
		})
	}
}
