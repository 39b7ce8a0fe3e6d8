package scenario

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/hack/devcluster/lan"
	"github.com/lbstack/lbstack/hack/devcluster/plan"
)

// RouteWatch records whether the kernel of the router has a route for an address.
type RouteWatch struct {
	stop context.CancelFunc
	done chan struct{}

	mu      sync.Mutex
	changes []routeChange
}

// routeChange is the notification that there is a route, or none.
type routeChange struct {
	at  time.Time
	has bool
}

// WatchRoute records the notifications of the router's kernel for an address until Close. The router
// must have a route for the address already. The number of next hops does not matter.
func (s *Scenario) WatchRoute(address string) (*RouteWatch, error) {
	watched, err := netip.ParseAddr(address)
	if err != nil {
		return nil, fmt.Errorf("watching a route: %w", err)
	}
	router, err := netns.GetFromPath(lan.NamespacePath(lan.NamespaceName(s.Cluster.Name(), plan.Router)))
	if err != nil {
		return nil, fmt.Errorf("opening the namespace of the router: %w", err)
	}
	defer func() { _ = router.Close() }()
	ctx, stop := context.WithCancel(context.Background())
	updates := make(chan netlink.RouteUpdate, 1024)
	if err := netlink.RouteSubscribeAt(router, updates, ctx.Done()); err != nil {
		stop()
		return nil, fmt.Errorf("watching the routes of the router: %w", err)
	}
	w := &RouteWatch{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for u := range updates {
			if u.Dst == nil {
				continue
			}
			if ones, bits := u.Dst.Mask.Size(); ones != bits || !u.Dst.IP.Equal(watched.AsSlice()) {
				continue
			}
			w.mu.Lock()
			w.changes = append(w.changes, routeChange{time.Now(), u.Type == unix.RTM_NEWROUTE})
			w.mu.Unlock()
		}
	}()
	return w, nil
}

// Close ends the watch. The recorded changes stay available.
func (w *RouteWatch) Close() {
	w.stop()
	<-w.done
}

// Absent returns the longest time without a route from a time until now.
func (w *RouteWatch) Absent(from time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return longestAbsence(slices.Clone(w.changes), from, time.Now())
}

// longestAbsence returns the longest time without a route; there is one before the first change.
func longestAbsence(changes []routeChange, from, to time.Time) (longest time.Duration) {
	var since time.Time // without a route since; zero: there is a route
	for _, c := range append(changes, routeChange{at: to, has: true}) {
		switch {
		case !c.has && since.IsZero():
			since = c.at
		case c.has && !since.IsZero():
			if since.Before(from) {
				since = from
			}
			longest, since = max(longest, c.at.Sub(since)), time.Time{}
		}
	}
	return longest
}
