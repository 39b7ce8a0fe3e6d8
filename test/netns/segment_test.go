package netns

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lbstack/lbstack/internal/segment"
	"github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/speaker/layer2/responder"
	"github.com/lbstack/lbstack/speaker/links"
	"github.com/lbstack/lbstack/test/eventually"
)

// asking is a node that probes its segment, with the latest results.
type asking struct {
	*node
	results chan segment.Results
	last    segment.Results
}

func (b *bed) asking(host string) *asking {
	b.Helper()
	a := &asking{node: &node{bed: b, host: host, link: b.link(host)}, results: make(chan segment.Results, 1000)}
	ctx, stop := context.WithCancel(context.Background())
	b.Cleanup(stop)
	a.Responder = responder.New(ctx, logr.Discard(), responder.Options{
		ARP: a.inside(responder.ListenARP), NDP: a.inside(responder.ListenNDP), Metrics: responder.NewMetrics(prometheus.NewRegistry()),
		Segment: func(r segment.Results) { a.results <- r },
		Witnesses: func(l layer2.Link) (list []netip.Addr) {
			b.in(host, func() error { list = links.Witnesses(l); return nil })
			return list
		},
	})
	a.SetLinks([]layer2.Link{a.link})
	return a
}

// ask probes addresses. Without addresses the probes end.
func (a *asking) ask(addresses ...netip.Addr) {
	var about *layer2.Questions
	if len(addresses) > 0 {
		about = &layer2.Questions{Addresses: map[netip.Addr][]string{}}
	}
	for _, address := range addresses {
		about.Addresses[address] = []string{"eth0"}
	}
	a.bed.in(a.host, func() error { a.SetQuestions(about); return nil })
}

// until waits for a result.
func (a *asking) until(what string, is func(segment.Results) bool) {
	a.bed.Helper()
	eventually.Succeed(a.bed.T, 5*time.Second, what, func(context.Context) error {
		for {
			select {
			case a.last = <-a.results:
				if is(a.last) {
					return nil
				}
				continue
			default:
			}
			return fmt.Errorf("the last result is %+v", a.last)
		}
	})
}

func TestSegment_AnswersForAddressesInUse(t *testing.T) {
	b := newBed(t, "node1", printer)
	n := b.asking("node1")
	mac := segment.Hardware(b.link(printer).Hardware)
	b.assign(printer, vip)
	b.assign(printer, vip6)
	for _, tt := range []struct{ used, free netip.Addr }{{vip, netip.MustParseAddr("192.168.1.251")}, {vip6, netip.MustParseAddr("2001:db8::241")}} {
		t.Run(tt.used.String(), func(t *testing.T) {
			n.ask(tt.used, tt.free)
			defer n.ask()
			n.until("one address is in use and the other is free", func(r segment.Results) bool {
				_, free := r.Free[tt.free]
				return r.InUse[tt.used].Hardware == mac && free
			})
			b.unassign(printer, tt.used)
			n.until("it is free when the host has it no more", func(r segment.Results) bool { _, free := r.Free[tt.used]; return free })
		})
	}
}

func TestSegment_IsReachedWhileAHostAnswers(t *testing.T) {
	for _, tt := range []struct {
		name  string
		route []string
	}{
		{"the gateway of a route", []string{"via", "192.168.1.2"}},
		{"one of the gateways of a route with two paths", []string{"nexthop", "via", "192.168.1.99", "nexthop", "via", "192.168.1.2"}},
		{"an IPv4 gateway's path with an IPv6 address", []string{"via", "inet6", "2001:db8::2"}},
	} {
		t.Run(tt.name, func(t *testing.T) { reachedWhileAHostAnswers(t, tt.route) })
	}
}

func reachedWhileAHostAnswers(t *testing.T, route []string) {
	b := newBed(t, "node1", printer)
	n := b.asking("node1")
	b.ip("node1", append([]string{"route", "add", "default"}, route...)...)
	n.ask(vip)
	defer n.ask()
	n.until("the gateway answers", func(r segment.Results) bool { return time.Since(r.Reached["eth0"]) < segment.ReachedLifetime })
	b.ip(printer, "link", "set", "eth0", "down")
	n.until("it was a while ago", func(r segment.Results) bool {
		_, free := r.Free[vip]
		return free && time.Since(r.Reached["eth0"]) > segment.ReachedLifetime
	})
}

// A network of clients need not have a gateway. A host that requests an address which the node
// waits to announce shows that the node receives from the segment, and is probed from then on.
func TestSegment_WithoutAGatewayIsReachedWhenAHostAsks(t *testing.T) {
	for _, address := range []netip.Addr{vip, vip6} {
		t.Run(address.String(), func(t *testing.T) {
			b := newBed(t, "node1", printer)
			n := b.asking("node1")
			free := netip.MustParseAddr("192.168.1.251")
			b.in("node1", func() error {
				n.SetQuestions(&layer2.Questions{Addresses: map[netip.Addr][]string{free: {"eth0"}}, Awaited: []netip.Addr{address}})
				return nil
			})
			defer n.ask()
			n.until("no host has answered", func(r segment.Results) bool {
				_, is := r.Free[free]
				return is && r.Reached["eth0"].IsZero()
			})
			b.sends(printer, address)
			n.until("the host that asked counts", func(r segment.Results) bool { return time.Since(r.Reached["eth0"]) < segment.ReachedLifetime })
			eventually.Stays(t, 3*time.Second, "it is asked, and answers", func(context.Context) error {
				for {
					select {
					case n.last = <-n.results:
						continue
					default:
					}
					if since := time.Since(n.last.Reached["eth0"]); since > segment.ReachedLifetime {
						return fmt.Errorf("the last answer came %s ago", since)
					}
					return nil
				}
			})
		})
	}
}
