package bgp

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/lbstack/lbstack/internal/bgp/wire"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/routes"
)

// maxBatchRoutes is how many routes nextMessages returns at most. Further routes are sent once the link
// has written these routes.
const maxBatchRoutes = 2000

// routeTable has the routes of a router. The field want has the routes that the router should have. The
// field sent has the routes that were sent to it, the Adj-RIB-Out of RFC 4271 section 3.2. The field
// dirty has the prefixes for which nextMessages must compare both.
type routeTable struct {
	want  routes.Table
	sent  routes.Table
	dirty map[netip.Prefix]bool
	// leaving: routes are marked with GRACEFUL_SHUTDOWN, so that the router prefers other paths (RFC
	// 8326). marked has the marked copies of attributes.
	leaving bool
	marked  map[*routes.Attributes]*routes.Attributes
	// withdrawn: no route is announced.
	withdrawn bool
	// begun: the first routes of the session and the End-of-RIB markers were sent.
	begun bool
	// changes counts the changes of the field sent.
	changes uint64
	// unread are the prefixes that were announced (true) or withdrawn (false) since the last takeChanges.
	// unreported: takeChanges was not called in this session yet.
	unread     map[netip.Prefix]bool
	unreported bool
	// refused has the error of each route that cannot be encoded.
	refused map[netip.Prefix]error
}

// unknownAttributes differ from all other attributes: a route that has them in routeTable.sent is sent
// again.
var unknownAttributes = &routes.Attributes{}

func newRouteTable(want routes.Table) *routeTable {
	return &routeTable{
		want: want, sent: routes.Table{}, dirty: map[netip.Prefix]bool{}, marked: map[*routes.Attributes]*routes.Attributes{},
		refused: map[netip.Prefix]error{}, unread: map[netip.Prefix]bool{}, unreported: true,
	}
}

// changeWanted changes the routes that the router should have.
func (t *routeTable) changeWanted(announce routes.Table, withdraw []netip.Prefix) {
	for prefix, attributes := range announce {
		t.want[prefix] = attributes
		t.dirty[prefix] = true
	}
	for _, prefix := range withdraw {
		delete(t.want, prefix)
		t.dirty[prefix] = true
	}
}

// beginSession begins a session, in which the router has no routes yet.
func (t *routeTable) beginSession() {
	clear(t.sent)
	clear(t.refused)
	clear(t.unread)
	t.unreported = true
	t.begun = false
	t.changes++
	t.markAll()
}

// markAll makes nextMessages compare every route with what was sent.
func (t *routeTable) markAll() {
	for prefix := range t.want {
		t.dirty[prefix] = true
	}
	for prefix := range t.sent {
		t.dirty[prefix] = true
	}
}

// resendAll makes nextMessages send all routes once more, for a ROUTE-REFRESH. Pending withdrawals
// stay pending.
func (t *routeTable) resendAll() {
	for prefix := range t.sent {
		t.sent[prefix] = unknownAttributes
	}
	t.markAll()
}

// resendFamily makes nextMessages send the routes of a family once more, since their next hop has
// changed, or withdraw them, since there is no next hop any more.
func (t *routeTable) resendFamily(f lb.Family) {
	for prefix := range t.sent {
		if familyOf(prefix) == f {
			t.sent[prefix] = unknownAttributes
		}
	}
	t.markAll()
}

// setLeaving sets whether all routes are marked (leaving), and whether all are withdrawn.
func (t *routeTable) setLeaving(leaving, withdrawn bool) {
	if t.leaving != leaving || t.withdrawn != withdrawn {
		t.leaving, t.withdrawn = leaving, withdrawn
		clear(t.marked)
		t.markAll()
	}
}

// effectiveAttributes returns the attributes with which a route should now be announced; nil: it should
// not be announced.
func (t *routeTable) effectiveAttributes(prefix netip.Prefix, s wire.Encoding) *routes.Attributes {
	a := t.want[prefix]
	if a == nil || t.withdrawn || !s.NextHop(familyOf(prefix)).Address.IsValid() {
		return nil
	}
	if !t.leaving {
		return a
	}
	marked := t.marked[a]
	if marked == nil {
		m := *a
		m.Communities = slices.Clone(a.Communities)
		if i, has := slices.BinarySearch(m.Communities, routes.GracefulShutdown); !has {
			m.Communities = slices.Insert(m.Communities, i, routes.GracefulShutdown)
		}
		m.LocalPref = routes.OptionalNumber{Value: 0, Set: true} // RFC 8326 section 4.1
		marked = &m
		t.marked[a] = marked
	}
	return marked
}

// messageKey is the key by which routes are grouped: routes with the same key can go into the same
// messages.
type messageKey struct {
	family     lb.Family
	attributes *routes.Attributes // nil: to be withdrawn
}

func (g messageKey) encode(s wire.Encoding, prefixes []netip.Prefix) ([]byte, error) {
	if g.attributes == nil {
		return s.EncodeWithdrawals(g.family, prefixes)
	}
	return s.EncodeRoutes(g.family, prefixes, g.attributes)
}

// nextMessages returns messages for one batch of routes, and whether more routes are left to send. A
// route that cannot be encoded does not delay other routes.
func (t *routeTable) nextMessages(s wire.Encoding) (octets []byte, more bool) {
	groups := map[messageKey][]netip.Prefix{}
	n := 0
	for prefix := range t.dirty {
		if n == maxBatchRoutes {
			more = true
			break
		}
		delete(t.dirty, prefix)
		delete(t.refused, prefix)
		n++
		want := t.effectiveAttributes(prefix, s)
		if t.sent[prefix] == want {
			continue
		}
		g := messageKey{familyOf(prefix), want}
		groups[g] = append(groups[g], prefix)
	}
	for g, prefixes := range groups {
		slices.SortFunc(prefixes, netip.Prefix.Compare)
		written, err := g.encode(s, prefixes)
		for _, prefix := range prefixes {
			switch {
			case err != nil:
				t.refused[prefix] = err
			case g.attributes == nil:
				t.noteChange(prefix, false)
				delete(t.sent, prefix)
			default:
				t.noteChange(prefix, true)
				t.sent[prefix] = g.attributes
			}
		}
		if err == nil {
			t.changes += uint64(len(prefixes))
			octets = append(octets, written...)
		}
	}
	if len(octets) == 0 && more { // without a write, nothing would call nextMessages again
		return t.nextMessages(s)
	}
	return octets, more
}

// encodingProblem returns an error with the number of routes that cannot be encoded, and the reason for
// the first one; nil: all routes can be encoded.
func (t *routeTable) encodingProblem() error {
	if len(t.refused) == 0 {
		return nil
	}
	first := slices.MinFunc(slices.Collect(maps.Keys(t.refused)), netip.Prefix.Compare)
	return fmt.Errorf("%d routes cannot be sent to the router, the first of them is %s: %w", len(t.refused), first, t.refused[first])
}

func familyOf(p netip.Prefix) lb.Family { return lb.FamilyOf(p.Addr()) }
