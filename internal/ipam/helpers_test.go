package ipam

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
)

var (
	v6  = []lb.Family{lb.IPv6}
	v46 = []lb.Family{lb.IPv4, lb.IPv6}
	v64 = []lb.Family{lb.IPv6, lb.IPv4}
)

var byValue = cmp.Comparer(func(x, y netip.Addr) bool { return x == y })

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// rangesIn reads ranges as users write them: "10.0.0.1-10.0.0.9 2001:db8::/64 10.0.1.1".
func rangesIn(s string) (list []lb.Range) {
	for item := range strings.FieldsSeq(s) {
		first, last, two := strings.Cut(item, "-")
		switch {
		case strings.Contains(item, "/"):
			list = append(list, lb.RangeOf(netip.MustParsePrefix(item)))
		case two:
			list = append(list, lb.Range{First: addr(first), Last: addr(last)})
		default:
			list = append(list, lb.Range{First: addr(item), Last: addr(item)})
		}
	}
	return list
}

// service reads "namespace/name"; without a namespace it is "n".
func service(s string) lb.ServiceKey {
	if namespace, name, ok := strings.Cut(s, "/"); ok {
		return lb.ServiceKey{Namespace: namespace, Name: name}
	}
	return lb.ServiceKey{Namespace: "n", Name: s}
}

type poolOption func(*Pool)

func newPool(name lb.PoolName, ranges string, options ...poolOption) Pool {
	p := Pool{Name: name, Listed: rangesIn(ranges), AutoAssign: true}
	for _, o := range options {
		o(&p)
	}
	return p
}

func manual(p *Pool)   { p.AutoAssign = false }
func drained(p *Pool)  { p.Draining = true }
func evicting(p *Pool) { p.Evict = true }
func avoiding(p *Pool) { p.AvoidBuggy = true }
func across(p *Pool)   { p.ShareAcrossNamespaces = true }

func broken(why string) poolOption { return func(p *Pool) { p.Unusable = why } }
func quota(n int) poolOption       { return func(p *Pool) { p.MaxPerNamespace = n } }
func perService(n int) poolOption  { return func(p *Pool) { p.MaxPerService = n } }
func without(ranges string) poolOption {
	return func(p *Pool) { p.Excluded = rangesIn(ranges) }
}

func selecting(change func(*Selection)) poolOption {
	return func(p *Pool) {
		if p.Selection == nil {
			p.Selection = &Selection{}
		}
		change(p.Selection)
	}
}

func priority(n int32) poolOption {
	return selecting(func(s *Selection) { s.Priority = n })
}

func forNamespaces(names ...string) poolOption {
	return selecting(func(s *Selection) { s.Namespaces = names })
}

func forNamespacesWith(labels ...label) poolOption {
	return selecting(func(s *Selection) { s.NamespaceSelectors = matchers(labels) })
}

func forServicesWith(labels ...label) poolOption {
	return selecting(func(s *Selection) { s.ServiceSelectors = matchers(labels) })
}

// label is a selector of one label, "key=value".
type label string

func (l label) Matches(labels map[string]string) bool {
	key, value, _ := strings.Cut(string(l), "=")
	got, ok := labels[key]
	return ok && got == value
}

func matchers(labels []label) (list []Matcher) {
	for _, l := range labels {
		list = append(list, l)
	}
	return list
}

func labelsOf(items ...string) map[string]string {
	labels := map[string]string{}
	for _, item := range items {
		key, value, _ := strings.Cut(item, "=")
		labels[key] = value
	}
	return labels
}

// allocator returns an allocator with these pools, oldest first.
func allocator(pools ...Pool) *Allocator {
	a := New()
	setPools(a, pools...)
	return a
}

func setPools(a *Allocator, pools ...Pool) {
	Resolve(pools, nil)
	a.SetPools(pools)
}

type requestOption func(*Request)

func ask(name string, options ...requestOption) Request {
	req := Request{Service: service(name), Families: v4}
	for _, o := range options {
		o(&req)
	}
	return req
}

func using(families []lb.Family) requestOption {
	return func(r *Request) { r.Families = families }
}

func both(policy FamilyPolicy, families []lb.Family) requestOption {
	return func(r *Request) { r.Policy, r.Families = policy, families }
}

func from(pool lb.PoolName) requestOption { return func(r *Request) { r.Pool = pool } }

func wants(addresses ...string) requestOption {
	return func(r *Request) {
		for _, a := range addresses {
			r.Addresses = append(r.Addresses, addr(a))
		}
	}
}

func on(terms lb.Sharing) requestOption { return func(r *Request) { r.Terms = terms } }

func labelled(items ...string) requestOption {
	return func(r *Request) { r.Labels = labelsOf(items...) }
}

func inNamespaceWith(items ...string) requestOption {
	return func(r *Request) { r.NamespaceLabels = labelsOf(items...) }
}

// share returns the sharing terms of a Service with this key and these TCP ports.
func share(key string, ports ...uint16) lb.Sharing {
	terms := lb.Sharing{Key: key}
	for _, n := range ports {
		terms.Ports = append(terms.Ports, lb.Port{Protocol: "TCP", Number: n})
	}
	slices.SortFunc(terms.Ports, lb.Port.Compare)
	return terms
}

// local returns sharing terms with externalTrafficPolicy: Local.
func local(selector string, terms lb.Sharing) lb.Sharing {
	terms.Traffic = selector
	return terms
}

// outcome returns a decision in one line, such as "keep 10.0.0.1@p, drop 10.0.0.2@p".
func outcome(d Decision) string {
	var words []string
	add := func(what string, list []Holding) {
		if len(list) == 0 {
			return
		}
		for _, h := range list {
			what += fmt.Sprintf(" %s@%s", h.Address, h.Pool)
		}
		words = append(words, what)
	}
	add("keep", d.Keep)
	add("drop", d.Drop)
	var lost []Holding
	for _, l := range d.Lost {
		lost = append(lost, l.Holding)
	}
	add("lost", lost)
	if d.Refusal != nil {
		words = append(words, "refused "+string(d.Refusal.Reason))
	}
	if d.Missing != nil {
		words = append(words, "missing "+string(d.Missing.Reason))
	}
	return strings.Join(words, ", ")
}

// decide assigns, checks the invariants of every decision, and compares the decision.
func decide(t testing.TB, a *Allocator, req Request, want string) Decision {
	t.Helper()
	d := a.Assign(req)
	if got := outcome(d); got != want {
		t.Errorf("%s: got %q, want %q", req.Service, got, want)
		for _, r := range []*Refusal{d.Refusal, d.Missing} {
			if r != nil {
				t.Logf("refusal: %s", r)
			}
		}
	}
	checkDecision(t, a, req, d)
	return d
}

// settle calls decide, and releases dropped addresses as the controller does.
func settle(t testing.TB, a *Allocator, req Request, want string) Decision {
	t.Helper()
	d := decide(t, a, req, want)
	for _, h := range d.Drop {
		a.Release(h.Address, h.Service)
	}
	checkInside(t, a)
	return d
}

// take records an address of a pool for a Service: "10.0.0.1@p".
func take(t testing.TB, a *Allocator, name, what string, terms ...lb.Sharing) {
	t.Helper()
	terms = append(terms, lb.Sharing{})
	if h := holding(name, what); !a.Hold(h, terms[0]) {
		t.Fatalf("Hold(%v): got false, want true", h)
	}
	checkInside(t, a)
}

func holding(name, what string) Holding {
	address, pool, _ := strings.Cut(what, "@")
	return Holding{Address: addr(address), Pool: lb.PoolName(pool), Service: service(name)}
}

// heldBy returns the addresses of a Service: "10.0.0.1@p 10.0.0.2@p".
func heldBy(a *Allocator, name string) string {
	var words []string
	for _, h := range a.HeldBy(service(name)) {
		words = append(words, fmt.Sprintf("%s@%s", h.Address, h.Pool))
	}
	return strings.Join(words, " ")
}

// holdersOf returns the holders of an address in their order.
func holdersOf(a *Allocator, address string) string {
	holders, _ := a.Holders(addr(address))
	var words []string
	for _, h := range holders {
		words = append(words, h.Service.Name)
	}
	return strings.Join(words, " ")
}
