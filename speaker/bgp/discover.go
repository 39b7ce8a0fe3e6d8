package bgp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/mdlayher/ndp"
	"golang.org/x/net/ipv6"
	"golang.org/x/time/rate"

	"github.com/lbstack/lbstack/internal/backoff"
)

const (
	// firstAnnouncements is how many times an advertisement and a solicitation are sent at
	// firstAnnounceInterval. After that, both are sent at announceInterval.
	firstAnnouncements    = 5
	firstAnnounceInterval = 2 * time.Second
	announceInterval      = 10 * time.Second
	// silenceTimeout is the time without an advertisement after which a router counts as gone. By then it
	// has not answered three solicitations.
	silenceTimeout = 3*announceInterval + firstAnnounceInterval
	// tryDuration is how long a router may take to establish a session. After that, another host that
	// sends router advertisements is tried: any host of the link can send them.
	tryDuration = 20 * time.Second
	// maxReadsPerSecond is how many messages are read from an interface each second: any host of the link can send
	// messages. Further messages wait in the kernel, which drops them when its buffer is full.
	maxReadsPerSecond = 1000
)

// interfaceBackOff is the back-off between attempts to use an interface, which may not exist yet. The
// back-off starts again after an attempt that lasted for more than twice the longest wait.
var interfaceBackOff = backoff.Exponential{First: time.Second, Last: 10 * time.Second}

var (
	allNodes   = netip.MustParseAddr("ff02::1")
	allRouters = netip.MustParseAddr("ff02::2")
)

// Discover returns a function for Options.Discover. The function finds the router on an interface by
// its router advertisements (RFC 4861 section 6). It also sends advertisements, by which the router
// finds this node. In these advertisements the router lifetime is 0, since the node is no default
// router.
func Discover(log logr.Logger) func(ctx context.Context, device string, found func(netip.Addr), established func() bool) {
	return func(ctx context.Context, device string, found func(netip.Addr), established func() bool) {
		retryDiscovery(ctx, log.WithValues("interface", device), func() error { return discoverRouter(ctx, device, found, established) })
	}
}

// retryDiscovery runs a function again and again until the context ends. The function returns only when
// it fails.
func retryDiscovery(ctx context.Context, log logr.Logger, try func() error) {
	logged := ""
	for failures := 1; ctx.Err() == nil; failures++ {
		began := time.Now()
		err := try()
		if ctx.Err() != nil {
			return
		}
		if why := err.Error(); why != logged {
			logged = why
			log.Error(err, "looking for a router on the interface failed; trying again")
		}
		if time.Since(began) > 2*interfaceBackOff.Last {
			failures = 1
		}
		select {
		case <-ctx.Done():
		case <-time.After(interfaceBackOff.Wait(failures)):
		}
	}
}

func discoverRouter(ctx context.Context, device string, found func(netip.Addr), established func() bool) error {
	link, err := net.InterfaceByName(device)
	if err != nil {
		return fmt.Errorf("opening the interface %s: %w", device, err)
	}
	conn, self, err := ndp.Listen(link, ndp.LinkLocal)
	if err != nil {
		return fmt.Errorf("listening for router advertisements on %s: %w", device, err)
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	var filter ipv6.ICMPFilter
	filter.SetAll(true)
	filter.Accept(ipv6.ICMPTypeRouterAdvertisement)
	filter.Accept(ipv6.ICMPTypeRouterSolicitation)
	// The hop limit shows whether a message comes from a neighbour.
	if err := errors.Join(conn.SetICMPFilter(&filter), conn.SetControlMessage(ipv6.FlagHopLimit, true), conn.JoinGroup(allRouters)); err != nil {
		return fmt.Errorf("preparing to receive router advertisements on %s: %w", device, err)
	}
	d := discovery{conn: conn, link: link, self: self}
	pace := rate.NewLimiter(maxReadsPerSecond, maxReadsPerSecond)
	for {
		d.sendAdvertisement()
		_ = conn.SetReadDeadline(d.nextAdvertisementTime())
		err := receiveAdvertisements(ctx, pace, d.readAdvertisement, func(from netip.Addr) {
			if d.choice.handleAdvertisement(time.Now(), from, established()) {
				found(from.WithZone(device))
			}
		})
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("receiving from routers on %s: %w", device, err)
		}
	}
}

// receiveAdvertisements reads router advertisements, and calls a function with the sender of each. It
// reads at a bounded pace, until reading fails or the context ends.
func receiveAdvertisements(ctx context.Context, pace *rate.Limiter, read func() (netip.Addr, error), follow func(netip.Addr)) error {
	for {
		if err := pace.Wait(ctx); err != nil {
			return err
		}
		from, err := read()
		if err != nil {
			return err
		}
		if from.IsValid() {
			follow(from)
		}
	}
}

type discovery struct {
	conn *ndp.Conn
	link *net.Interface
	self netip.Addr
	sent int

	choice routerChoice
}

// routerChoice is the router on a link that this node has chosen.
type routerChoice struct {
	router        netip.Addr
	since, latest time.Time // when the router was chosen, and when its last advertisement arrived
}

func (d *discovery) nextAdvertisementTime() time.Time {
	if d.sent <= firstAnnouncements {
		return time.Now().Add(firstAnnounceInterval)
	}
	return time.Now().Add(announceInterval)
}

// sendAdvertisement sends an advertisement and a solicitation. Errors are ignored: both are sent again.
func (d *discovery) sendAdvertisement() {
	d.sent++
	source := &ndp.LinkLayerAddress{Direction: ndp.Source, Addr: d.link.HardwareAddr}
	_ = d.conn.WriteTo(&ndp.RouterAdvertisement{Options: []ndp.Option{source}}, nil, allNodes)
	_ = d.conn.WriteTo(&ndp.RouterSolicitation{Options: []ndp.Option{source}}, nil, allRouters)
}

// handleAdvertisement handles an advertisement, and reports whether its sender is the chosen router. The router of an
// established session stays chosen. Without a session the router stays chosen while it sends
// advertisements. If there are other routers, it stays chosen for at most tryDuration, so that all
// routers are tried in turn.
func (c *routerChoice) handleAdvertisement(now time.Time, from netip.Addr, established bool) bool {
	if from != c.router {
		if c.router.IsValid() && (established || now.Sub(c.latest) < silenceTimeout && now.Sub(c.since) < tryDuration) {
			return false
		}
		c.router, c.since = from, now
	}
	c.latest = now
	if established {
		c.since = now // so that the router of a session that ends has tryDuration for the next one
	}
	return true
}

// readAdvertisement returns the sender of the next message; invalid if the message is no router
// advertisement, or was not sent by a neighbour (RFC 4861 section 6.1.2).
func (d *discovery) readAdvertisement() (netip.Addr, error) {
	message, control, from, err := d.conn.ReadFrom()
	var network net.Error
	switch {
	case errors.As(err, &network):
		return netip.Addr{}, err
	case errors.Is(err, net.ErrClosed):
		return netip.Addr{}, err
	case err != nil:
		return netip.Addr{}, nil // malformed
	}
	_, is := message.(*ndp.RouterAdvertisement)
	from = from.WithZone("")
	if !is || control == nil || control.HopLimit != ndp.HopLimit || !from.IsLinkLocalUnicast() || from == d.self.WithZone("") {
		return netip.Addr{}, nil
	}
	return from, nil
}
