package ipam

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"github.com/lbstack/lbstack/internal/lb"
)

var v4 = []lb.Family{lb.IPv4}

func poolOf(b testing.TB, prefix string) []Pool {
	b.Helper()
	pools := []Pool{{Name: "p", AutoAssign: true, Listed: []lb.Range{lb.RangeOf(netip.MustParsePrefix(prefix))}}}
	Resolve(pools, nil)
	return pools
}

// services are named before the clock runs: names are the caller's.
func services(n int) []lb.ServiceKey {
	list := make([]lb.ServiceKey, n)
	for i := range list {
		list[i] = lb.ServiceKey{Namespace: "namespace", Name: fmt.Sprint("service-", i)}
	}
	return list
}

// fill gives an address to every Service, from pools that nobody has used.
func fill(b testing.TB, pools []Pool, list []lb.ServiceKey) *Allocator {
	a := New()
	a.SetPools(pools)
	assignAll(b, a, list, familiesOf(pools))
	return a
}

func familiesOf(pools []Pool) []lb.Family { return []lb.Family{pools[0].Gives[0].Family()} }

func assignAll(b testing.TB, a *Allocator, list []lb.ServiceKey, families []lb.Family) {
	for _, service := range list {
		if d := a.Assign(Request{Service: service, Families: families}); d.Refusal != nil {
			b.Fatal(d.Refusal)
		}
	}
}

// BenchmarkAssign gives addresses from pools of several sizes, from empty to
// 65,536 or, of the /12, to the last one: the time for one must depend on
// neither size nor fill.
func BenchmarkAssign(b *testing.B) {
	for _, bench := range []struct {
		prefix string
		count  int
	}{{"10.0.0.0/8", 1 << 16}, {"10.0.0.0/12", 1 << 16}, {"10.0.0.0/12", 1 << 20}, {"10.0.0.0/16", 1 << 16}, {"2001:db8::/64", 1 << 16}} {
		b.Run(fmt.Sprintf("pool=%s/services=%d", bench.prefix, bench.count), func(b *testing.B) {
			pools := poolOf(b, bench.prefix)
			list, families := services(bench.count), familiesOf(pools)
			b.ReportAllocs()
			var a *Allocator
			for i := 0; b.Loop(); i++ {
				n := i % len(list)
				if n == 0 {
					a = New()
					a.SetPools(pools)
				}
				if d := a.Assign(Request{Service: list[n], Families: families}); d.Refusal != nil {
					b.Fatal(d.Refusal)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "allocations/s")
		})
	}
}

// BenchmarkRefill fills a pool to its last address, frees every second one and
// fills it again: the second filling must not be slower for each address, and
// not slower in a larger pool.
func BenchmarkRefill(b *testing.B) {
	for _, prefix := range []string{"10.0.0.0/20", "10.0.0.0/18", "10.0.0.0/16"} {
		b.Run("pool="+prefix, func(b *testing.B) {
			pools := poolOf(b, prefix)
			size := int(pools[0].Gives[0].Size().Int64())
			list := services(size)
			var freed []lb.ServiceKey
			for i := 0; i < size; i += 2 {
				freed = append(freed, list[i])
			}
			for b.Loop() {
				b.StopTimer()
				a := fill(b, pools, list)
				for _, r := range freed {
					a.Release(a.HeldBy(r)[0].Address, r)
				}
				b.StartTimer()
				assignAll(b, a, freed, v4)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(freed)), "ns/allocation")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkAgain asks for what a Service has already: what each reconcile of a
// cluster at rest does.
func BenchmarkAgain(b *testing.B) {
	list := services(1 << 16)
	a := fill(b, poolOf(b, "10.0.0.0/12"), list)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		a.Assign(Request{Service: list[i%len(list)], Families: v4})
	}
}

// BenchmarkAssignShared asks for an address with a sharing key of which there are many
// addresses that all agree but in the last of 1024 ports: the time must not grow with
// their number.
func BenchmarkAssignShared(b *testing.B) {
	for _, count := range []int{10, 64, 200, 1000, 10000} {
		b.Run(fmt.Sprintf("addresses=%d", count), func(b *testing.B) {
			a := New()
			a.SetPools(poolOf(b, "10.0.0.0/16"))
			last := uint16(65535)
			for i, address := range services(count) {
				at := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
				if !a.Hold(Holding{Address: at, Pool: "p", Service: address}, share("k", append(numbered(1, 1023), last)...)) {
					b.Fatalf("Hold(%s): got false, want true", at)
				}
			}
			req := Request{Service: lb.ServiceKey{Namespace: "namespace", Name: "web"}, Families: v4, Terms: share("k", append(numbered(2000, 1023), last)...)}
			for b.Loop() {
				d := a.Assign(req)
				a.Release(d.Keep[0].Address, req.Service)
			}
		})
	}
}

// BenchmarkMemory measures what is stored for each address that a Service holds alone,
// the bytes of names aside: those are the caller's.
func BenchmarkMemory(b *testing.B) {
	for _, bench := range []struct {
		prefix string
		count  int
	}{{"10.0.0.0/12", 1000}, {"10.0.0.0/12", 1 << 16}, {"10.0.0.0/12", 1 << 20}, {"2001:db8::/64", 1 << 16}} {
		b.Run(fmt.Sprintf("pool=%s/services=%d", bench.prefix, bench.count), func(b *testing.B) {
			pools := poolOf(b, bench.prefix)
			list := services(bench.count)
			var perAddress float64
			for b.Loop() {
				before := heapSize()
				a := fill(b, pools, list)
				perAddress = float64(heapSize()-before) / float64(bench.count)
				runtime.KeepAlive(a)
			}
			runtime.KeepAlive(list)
			b.ReportMetric(perAddress, "B/address")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func heapSize() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
