package ipam

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
)

var (
	web   = lb.ServiceKey{Namespace: "default", Name: "web"}
	other = lb.ServiceKey{Namespace: "default", Name: "other"}
	v4    = []lb.Family{lb.IPv4}
	v6    = []lb.Family{lb.IPv6}
	v64   = []lb.Family{lb.IPv6, lb.IPv4}
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func rng(first, last string) lb.Range { return lb.Range{First: addr(first), Last: addr(last)} }

var byValue = cmp.Comparer(func(x, y netip.Addr) bool { return x == y })

func allocator(t *testing.T, pools []Pool, held ...Holding) *Allocator {
	t.Helper()
	a := New()
	a.SetPools(pools)
	for _, h := range held {
		if !a.Hold(h) {
			t.Fatalf("holding %v: somebody else has it", h)
		}
	}
	return a
}

func TestAssign(t *testing.T) {
	alpha := Pool{Name: "alpha", Ranges: []lb.Range{rng("10.0.0.1", "10.0.0.2")}, AutoAssign: true}
	beta := Pool{Name: "beta", Ranges: []lb.Range{rng("10.0.1.1", "10.0.1.9"), rng("2001:db8::1", "2001:db8::9")}, AutoAssign: true}
	manual := Pool{Name: "manual", Ranges: []lb.Range{rng("10.0.2.1", "10.0.2.9")}}
	broken := Pool{Name: "broken", Ranges: []lb.Range{rng("10.0.3.1", "10.0.3.9")}, AutoAssign: true, Unusable: "it overlaps"}
	reserved := Holding{Address: addr("10.0.0.1"), Pool: "alpha"}
	taken := Holding{Address: addr("10.0.0.2"), Pool: "alpha", Service: other}

	tests := []struct {
		name    string
		pools   []Pool
		held    []Holding
		req     Request
		want    string
		pool    lb.PoolName
		refusal Reason
	}{
		{name: "the lowest address of the first pool by name", pools: []Pool{beta, alpha}, req: Request{Families: v4}, want: "10.0.0.1", pool: "alpha"},
		{name: "a reserved address is passed over", pools: []Pool{alpha}, held: []Holding{reserved}, req: Request{Families: v4}, want: "10.0.0.2", pool: "alpha"},
		{name: "a full pool sends to the next one", pools: []Pool{alpha, beta}, held: []Holding{reserved, taken}, req: Request{Families: v4}, want: "10.0.1.1", pool: "beta"},
		{name: "IPv6 comes from the pool that has it", pools: []Pool{alpha, beta}, req: Request{Families: v6}, want: "2001:db8::1", pool: "beta"},
		{name: "the second family is used when no pool has the first", pools: []Pool{alpha}, req: Request{Families: v64}, want: "10.0.0.1", pool: "alpha"},
		{name: "a named pool gives even if it does not give itself", pools: []Pool{alpha, manual}, req: Request{Pool: "manual", Families: v4}, want: "10.0.2.1", pool: "manual"},
		{name: "a wanted address is given from the pool that has it", pools: []Pool{alpha, manual}, req: Request{Address: addr("10.0.2.7"), Families: v4}, want: "10.0.2.7", pool: "manual"},
		{name: "what the Service has and wants stays", pools: []Pool{alpha, beta}, held: []Holding{{Address: addr("10.0.1.5"), Pool: "beta", Service: web}}, req: Request{Families: v4}, want: "10.0.1.5", pool: "beta"},
		{name: "what the Service has stays when its pool is gone", pools: []Pool{alpha}, held: []Holding{{Address: addr("10.9.9.9"), Pool: "gone", Service: web}}, req: Request{Families: v4}, want: "10.9.9.9", pool: "gone"},
		{name: "a broken pool does not stop the others", pools: []Pool{broken, beta}, req: Request{Families: v4}, want: "10.0.1.1", pool: "beta"},

		{name: "no pool", req: Request{Families: v4}, refusal: ReasonNoPool},
		{name: "no pool gives itself", pools: []Pool{manual}, req: Request{Families: v4}, refusal: ReasonNoPool},
		{name: "no pool of the family", pools: []Pool{alpha}, req: Request{Families: v6}, refusal: ReasonNoPool},
		{name: "all is taken", pools: []Pool{alpha}, held: []Holding{reserved, taken}, req: Request{Families: v4}, refusal: ReasonPoolExhausted},
		{name: "the named pool does not exist", pools: []Pool{alpha}, req: Request{Pool: "nope", Families: v4}, refusal: ReasonUnknownPool},
		{name: "the named pool is broken", pools: []Pool{broken}, req: Request{Pool: "broken", Families: v4}, refusal: ReasonPoolUnusable},
		{name: "the only pool is broken", pools: []Pool{broken}, req: Request{Families: v4}, refusal: ReasonPoolUnusable},
		{name: "the wanted address is in no pool", pools: []Pool{alpha}, req: Request{Address: addr("10.7.7.7"), Families: v4}, refusal: ReasonAddressNotInPool},
		{name: "the wanted address is not in the named pool", pools: []Pool{alpha, beta}, req: Request{Pool: "beta", Address: addr("10.0.0.1"), Families: v4}, refusal: ReasonAddressNotInPool},
		{name: "the wanted address is another Service's", pools: []Pool{alpha}, held: []Holding{taken}, req: Request{Address: addr("10.0.0.2"), Families: v4}, refusal: ReasonAddressInUse},
		{name: "the wanted address is reserved", pools: []Pool{alpha}, held: []Holding{reserved}, req: Request{Address: addr("10.0.0.1"), Families: v4}, refusal: ReasonAddressInUse},
		{name: "the wanted address is of the wrong family", pools: []Pool{alpha}, req: Request{Address: addr("10.0.0.1"), Families: v6}, refusal: ReasonInvalidRequest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := allocator(t, tt.pools, tt.held...)
			tt.req.Service = web
			got, refusal := a.Assign(tt.req)
			if tt.refusal != "" {
				if refusal == nil || refusal.Reason != tt.refusal || refusal.Message == "" {
					t.Fatalf("got %v and refusal %+v, want refusal %s with a message", got, refusal, tt.refusal)
				}
				return
			}
			if refusal != nil {
				t.Fatalf("refused: %s: %s", refusal.Reason, refusal.Message)
			}
			want := Holding{Address: addr(tt.want), Pool: tt.pool, Service: web}
			if diff := cmp.Diff(want, got, byValue); diff != "" {
				t.Errorf("holding (-want +got):\n%s", diff)
			}
			if again, _ := a.Assign(tt.req); again != got {
				t.Errorf("asked again: got %v, want the same %v", again, got)
			}
		})
	}
}

func TestReleasedAddressIsGivenAgainLowestFirst(t *testing.T) {
	a := allocator(t, []Pool{{Name: "p", Ranges: []lb.Range{rng("10.0.0.1", "10.0.0.4")}, AutoAssign: true}})
	services := make([]lb.ServiceKey, 4)
	for i := range services {
		services[i] = lb.ServiceKey{Namespace: "n", Name: string(rune('a' + i))}
		if _, refusal := a.Assign(Request{Service: services[i], Families: v4}); refusal != nil {
			t.Fatal(refusal)
		}
	}
	a.Release(addr("10.0.0.3"), services[2])
	a.Release(addr("10.0.0.2"), services[1])
	a.Release(addr("10.0.0.1"), services[3]) // not the holder
	got, refusal := a.Assign(Request{Service: web, Families: v4})
	if refusal != nil || got.Address != addr("10.0.0.2") {
		t.Errorf("got %v, %v, want 10.0.0.2", got, refusal)
	}
	if h, ok := a.Holder(addr("10.0.0.1")); !ok || h.Service != services[0] {
		t.Errorf("10.0.0.1: got %v, %v, want still held by %v", h, ok, services[0])
	}
}

func TestPoolEditTakesNothingAway(t *testing.T) {
	a := allocator(t, []Pool{{Name: "p", Ranges: []lb.Range{rng("10.0.0.1", "10.0.0.4")}, AutoAssign: true}})
	before, _ := a.Assign(Request{Service: web, Families: v4})
	a.SetPools([]Pool{{Name: "p", Ranges: []lb.Range{rng("10.0.0.3", "10.0.0.4")}, AutoAssign: true}})
	if diff := cmp.Diff([]Holding{before}, a.HeldBy(web), byValue); diff != "" {
		t.Errorf("holdings after the edit (-want +got):\n%s", diff)
	}
	u := a.Usage()["p"][lb.IPv4]
	if u.Used != 0 || u.Free().Int64() != 2 {
		t.Errorf("usage: got %d used and %s free, want 0 and 2", u.Used, u.Free())
	}
}

func TestCheck(t *testing.T) {
	tests := []struct {
		name  string
		pools []Pool
		want  map[lb.PoolName]string
	}{
		{name: "neighbours are fine", pools: []Pool{{Name: "a", Ranges: []lb.Range{rng("10.0.0.1", "10.0.0.9")}}, {Name: "b", Ranges: []lb.Range{rng("10.0.0.10", "10.0.0.20"), rng("::1", "::9")}}}},
		{name: "the younger pool is told", pools: []Pool{{Name: "z-old", Ranges: []lb.Range{rng("10.0.0.1", "10.0.0.9")}}, {Name: "a-new", Ranges: []lb.Range{rng("10.0.0.9", "10.0.0.20")}}},
			want: map[lb.PoolName]string{"a-new": `10.0.0.9-10.0.0.20 overlaps 10.0.0.1-10.0.0.9 of the pool "z-old"`}},
		{name: "an overlap inside a pool is told", pools: []Pool{{Name: "a", Ranges: []lb.Range{rng("10.0.0.1", "10.0.0.9"), rng("10.0.0.5", "10.0.0.5")}}},
			want: map[lb.PoolName]string{"a": `10.0.0.5 overlaps 10.0.0.1-10.0.0.9 of the pool "a"`}},
		{name: "a pool that is refused blocks no third one", pools: []Pool{{Name: "a", Ranges: []lb.Range{rng("10.0.0.1", "10.0.0.9")}}, {Name: "b", Ranges: []lb.Range{rng("10.0.0.20", "10.0.0.30"), rng("10.0.0.9", "10.0.0.9")}}, {Name: "c", Ranges: []lb.Range{rng("10.0.0.25", "10.0.0.26")}}},
			want: map[lb.PoolName]string{"b": `10.0.0.9 overlaps 10.0.0.1-10.0.0.9 of the pool "a"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := map[lb.PoolName]string{}
			for name, o := range Check(tt.pools) {
				got[name] = o.String()
			}
			if tt.want == nil {
				tt.want = map[lb.PoolName]string{}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("overlaps (-want +got):\n%s", diff)
			}
		})
	}
}
