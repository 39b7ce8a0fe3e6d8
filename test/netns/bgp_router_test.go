package netns

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/router"
)

// frrConfig returns a router in AS 64513 with these lines about its neighbours. The router accepts
// routes of both families from the neighbours in activate.
func frrConfig(neighbours string, activate ...string) string {
	var families strings.Builder
	for _, family := range []string{"ipv4", "ipv6"} {
		fmt.Fprintf(&families, " address-family %s unicast\n", family)
		for _, n := range activate {
			fmt.Fprintf(&families, "  neighbor %s activate\n", n)
		}
		families.WriteString(" exit-address-family\n")
	}
	return "hostname router\nrouter bgp 64513\n bgp router-id 192.168.1.2\n no bgp default ipv4-unicast\n no bgp ebgp-requires-policy\n" +
		" bgp log-neighbor-changes\n" + indent(neighbours) + families.String()
}

func indent(lines string) string {
	return " " + strings.ReplaceAll(strings.TrimSpace(lines), "\n", "\n ") + "\n"
}

func (b *bed) frr(host, neighbours string, activate ...string) *router.Router {
	b.Helper()
	return router.FRR(b.T, b.prefix+host, frrConfig(neighbours, activate...), "bgpd", "bfdd")
}

// path is a route as FRR has it.
type path struct {
	Valid       bool   `json:"valid"`
	Stale       bool   `json:"stale"`
	Path        string `json:"path"`
	Med         *int   `json:"metric"`
	LocalPref   *int   `json:"locPrf"`
	Origin      string `json:"origin"`
	NextHops    []hop  `json:"nexthops"`
	Communities string
}

type hop struct {
	IP    string `json:"ip"`
	Scope string `json:"scope"`
	Used  bool   `json:"used"`
}

// table returns the routes that FRR has in a family.
func table(ctx context.Context, r *router.Router, family string) (map[string][]path, error) {
	text, err := r.Ask(ctx, "show bgp "+family+" unicast json")
	if err != nil {
		return nil, err
	}
	var t struct {
		Routes map[string][]path `json:"routes"`
	}
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return nil, fmt.Errorf("reading %q: %w", text, err)
	}
	return t.Routes, nil
}

// has waits until FRR has exactly these routes in a family, all valid.
func has(t *testing.T, r *router.Router, family string, prefixes ...string) map[string][]path {
	t.Helper()
	return hasWithin(t, soon, r, family, prefixes...)
}

func hasWithin(t *testing.T, within time.Duration, r *router.Router, family string, prefixes ...string) (found map[string][]path) {
	t.Helper()
	eventually.Succeed(t, within, "the router has the "+family+" routes "+strings.Join(prefixes, ", "), func(ctx context.Context) (err error) {
		if found, err = table(ctx, r, family); err != nil {
			return err
		}
		for _, p := range prefixes {
			if len(found[p]) == 0 || !found[p][0].Valid {
				return fmt.Errorf("of %s it has %+v, in all %d", p, found[p], len(found))
			}
		}
		if len(found) != len(prefixes) {
			return fmt.Errorf("it has %+v", found)
		}
		return nil
	})
	return found
}

// forwards waits until the kernel of a host sends packets for a prefix to the wanted next hop.
func (b *bed) forwards(t *testing.T, host, prefix, to string) {
	t.Helper()
	eventually.Succeed(t, soon, fmt.Sprintf("%s forwards %s to %s", host, prefix, to), func(context.Context) error {
		if got := b.kernelRoute(host, prefix); !strings.Contains(got, to) {
			return fmt.Errorf("its route is %q", got)
		}
		return nil
	})
}

// kernelRoute returns the route that the kernel of a host has for a prefix.
func (b *bed) kernelRoute(host, prefix string) string {
	family := "-4"
	if strings.Contains(prefix, ":") {
		family = "-6"
	}
	out, _ := exec.Command("ip", "-n", b.prefix+host, family, "route", "show", prefix).CombinedOutput()
	return string(out)
}

// linkLocal waits until the link-local address of a host is usable, and returns it.
func (b *bed) linkLocal(host string) netip.Addr {
	b.Helper()
	fields := strings.Fields(b.ip(host, "-6", "-o", "address", "show", "dev", "eth0", "scope", "link"))
	if len(fields) < 4 {
		b.Fatalf("%s has no link-local address", host)
	}
	return netip.MustParsePrefix(fields[3]).Addr()
}

// bgpNeighbour is a session as FRR has it.
type bgpNeighbour struct {
	State            string `json:"bgpState"`
	Established      int    `json:"connectionsEstablished"`
	Dropped          int    `json:"connectionsDropped"`
	LastNotification string `json:"lastNotificationReason"`
	LastCode         string `json:"lastErrorCodeSubcode"`
	ShutdownText     string `json:"lastShutdownDescription"`
	Messages         struct {
		UpdatesReceived int `json:"updatesRecv"`
		UpdatesSent     int `json:"updatesSent"`
	} `json:"messageStats"`
	GracefulRestart map[string]any `json:"gracefulRestartInfo"`
}

// neighbourOf returns FRR's output for a session.
func neighbourOf(ctx context.Context, r *router.Router, address string) (n bgpNeighbour, err error) {
	text, err := r.Ask(ctx, "show bgp neighbors "+address+" json")
	if err != nil {
		return n, err
	}
	var all map[string]bgpNeighbour
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return n, fmt.Errorf("reading %q: %w", text, err)
	}
	n, known := all[address]
	if !known {
		return n, fmt.Errorf("it does not know %s: %s", address, text)
	}
	return n, nil
}

// saw waits until FRR's output for a session is as wanted.
func saw(t *testing.T, r *router.Router, address, what string, is func(bgpNeighbour) bool) (n bgpNeighbour) {
	t.Helper()
	eventually.Succeed(t, soon, fmt.Sprintf("the router shows of %s: %s", address, what), func(ctx context.Context) (err error) {
		if n, err = neighbourOf(ctx, r, address); err == nil && !is(n) {
			err = fmt.Errorf("it shows %+v", n)
		}
		return err
	})
	return n
}

// birdConfig is BIRD in AS 64513 with these protocols; its routes go to the kernel.
func birdConfig(protocols string) string {
	return `router id 192.168.1.3;
log stderr all;
protocol device {}
protocol direct { ipv4; ipv6; interface "eth0"; }
protocol kernel { ipv4 { export where source = RTS_BGP; }; merge paths on; }
protocol kernel { ipv6 { export where source = RTS_BGP; }; merge paths on; }
` + protocols
}

// birdHas waits until BIRD has exactly these routes from a protocol.
func birdHas(t *testing.T, r *router.Router, protocol string, prefixes ...string) {
	t.Helper()
	eventually.Succeed(t, soon, "BIRD has from "+protocol+" "+strings.Join(prefixes, ", "), func(ctx context.Context) error {
		text, err := r.Ask(ctx, "show route protocol "+protocol)
		if err != nil {
			return err
		}
		var got []string
		for line := range strings.Lines(text) {
			if fields := strings.Fields(line); len(fields) > 1 && strings.Contains(fields[0], "/") {
				got = append(got, fields[0])
			}
		}
		slices.Sort(got)
		want := slices.Sorted(slices.Values(prefixes))
		if !slices.Equal(got, want) {
			return fmt.Errorf("it has %s", text)
		}
		return nil
	})
}
