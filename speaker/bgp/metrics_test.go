package bgp

import (
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/routes"
)

// counted returns the values of a registry by name{label="value"}, without the lbstack_bgp_ at
// the beginning; of a histogram, how many there were.
func counted(t *testing.T, registry prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, sample := range f.GetMetric() {
			var labels []string
			for _, l := range sample.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			name := fmt.Sprintf("%s{%s}", strings.TrimPrefix(f.GetName(), "lbstack_bgp_"), strings.Join(labels, ","))
			values[name] = sample.GetCounter().GetValue() + sample.GetGauge().GetValue() + float64(sample.GetHistogram().GetSampleCount())
		}
	}
	return values
}

// ofPeers returns what is counted for each peer but messages: how many KEEPALIVEs there are is a
// matter of time.
func ofPeers(t *testing.T, m observed) map[string]float64 {
	t.Helper()
	values := counted(t, m.registry)
	maps.DeleteFunc(values, func(name string, _ float64) bool {
		return !strings.Contains(name, "peer=") || strings.HasPrefix(name, "messages_total")
	})
	return values
}

// counts waits until the metrics of a manager's peers are these and no others.
func counts(t *testing.T, m observed, when string, want map[string]float64) {
	t.Helper()
	deadline, again := time.After(10*time.Second), time.NewTicker(5*time.Millisecond)
	defer again.Stop()
	for {
		diff := cmp.Diff(want, ofPeers(t, m))
		if diff == "" {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("%s: metrics (-want +got):\n%s", when, diff)
		}
	}
}

// series are the metrics of one peer.
func series(peer string, established, up, ended, prefixes, sent, received float64) map[string]float64 {
	label := fmt.Sprintf("peer=%q", peer)
	return map[string]float64{
		"session_established{" + label + "}":                        established,
		"session_transitions_total{" + label + `,to="established"}`: up,
		"session_transitions_total{" + label + `,to="ended"}`:       ended,
		"announced_prefixes{" + label + "}":                         prefixes,
		"updates_sent_total{" + label + "}":                         sent,
		"updates_received_total{" + label + "}":                     received,
	}
}

func together(all ...map[string]float64) map[string]float64 {
	sum := map[string]float64{}
	for _, one := range all {
		maps.Copy(sum, one)
	}
	return sum
}

func TestWhatBothSidesOfASessionCount(t *testing.T) {
	caller, listener, toListener, toCaller := pair(t)
	absent := toListener
	absent.Name, absent.Address, absent.Source = "absent", netip.MustParseAddr("127.0.0.3"), netip.MustParseAddr("127.0.0.4")
	silent := series("absent", 0, 0, 0, 0, 0, 0)
	listener.SetPeers([]bgp.Peer{toCaller}, has(routes.Table{}))
	caller.SetPeers([]bgp.Peer{toListener, absent}, func(bgp.PeerName) routes.Table {
		return routes.Table{one: red, two: red}
	})
	// Prefixes that have the same attributes are in one UPDATE; End-of-RIB is one as well.
	counts(t, caller, "at the beginning", together(silent, series("listener", 1, 1, 0, 2, 2, 1)))
	counts(t, listener, "at the beginning", series("caller", 1, 1, 0, 0, 1, 2))

	caller.SetRoutes("listener", routes.Table{three: blue}, []netip.Prefix{one})
	counts(t, caller, "one is announced and one withdrawn", together(silent, series("listener", 1, 1, 0, 2, 4, 1)))
	counts(t, listener, "one is announced and one withdrawn", series("caller", 1, 1, 0, 0, 1, 4))
	caller.SetRoutes("listener", routes.Table{three: blue}, nil)
	caller.SetRoutes("listener", routes.Table{one: blue}, nil)
	counts(t, caller, "what the router has is not sent", together(silent, series("listener", 1, 1, 0, 3, 5, 1)))

	caller.SetPeers([]bgp.Peer{absent}, has(nil))
	counts(t, caller, "a BGPPeer is gone", silent)
	becomes(t, listener, "ended", func(s Status) bool { return !established(s) })
	got := ofPeers(t, listener)
	delete(got, `updates_received_total{peer="caller"}`) // marked routes may be withdrawn before they are sent
	want := series("caller", 0, 1, 1, 0, 1, 0)
	delete(want, `updates_received_total{peer="caller"}`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the other side has ended: metrics (-want +got):\n%s", diff)
	}
}
