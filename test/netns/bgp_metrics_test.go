package netns

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/test/bgpspeaker/protocol"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/router"
)

// scrape returns the metrics that a speaker serves, as name{label="value"}, without the prefix
// lbstack_.
func (s *speaking) scrape(ctx context.Context) (map[string]float64, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", s.metrics)
	}}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://speaker/metrics", nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	values := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, number, is := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "lbstack_")), " ")
		if value, err := strconv.ParseFloat(number, 64); is && err == nil {
			values[name] = value
		}
	}
	return values, nil
}

// counts waits until the metrics of peers and of BFD are exactly these. It leaves out metrics that
// depend on the router or on time: agrees checks those.
func (s *speaking) counts(when string, want map[string]float64) (all map[string]float64) {
	s.t.Helper()
	eventually.Succeed(s.t, soon, when+", the metrics have it", func(ctx context.Context) (err error) {
		if all, err = s.scrape(ctx); err != nil {
			return err
		}
		got := map[string]float64{}
		for name, value := range all {
			ofPeer := strings.Contains(name, "peer=") && !strings.HasPrefix(name, "bgp_messages") &&
				!strings.HasPrefix(name, "bgp_updates_received") && !strings.HasPrefix(name, "bgp_attempts_failed")
			if ofPeer || strings.HasPrefix(name, "bfd_sessions") || name == "bfd_flaps_total" {
				got[name] = value
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("(-want +got):\n%s", diff)
		}
		return nil
	})
	return all
}

// agrees waits until the metrics have as many UPDATEs as the router, in both directions.
func (s *speaking) agrees(r *router.Router, peer bgp.PeerName, address string) {
	s.t.Helper()
	eventually.Succeed(s.t, soon, "speaker and router agree on the UPDATEs between them", func(ctx context.Context) error {
		all, err := s.scrape(ctx)
		if err != nil {
			return err
		}
		n, err := neighbourOf(ctx, r, address)
		if err != nil {
			return err
		}
		label := fmt.Sprintf("{peer=%q}", peer)
		sent, received := all["bgp_updates_sent_total"+label], all["bgp_updates_received_total"+label]
		if sent != float64(n.Messages.UpdatesReceived) || received != float64(n.Messages.UpdatesSent) {
			return fmt.Errorf("the speaker counts %v sent, %v received, and the router %+v", sent, received, n.Messages)
		}
		return nil
	})
}

// metricsOf are the metrics of the session with the peer frr and its path.
type metricsOf struct {
	established, began, ended, prefixes, sent float64 // the session
	up, down, flaps                           float64 // the path
}

func (m metricsOf) all() map[string]float64 {
	return map[string]float64{
		`bgp_session_established{peer="frr"}`: m.established, `bgp_announced_prefixes{peer="frr"}`: m.prefixes,
		`bgp_session_transitions_total{peer="frr",to="established"}`: m.began, `bgp_session_transitions_total{peer="frr",to="ended"}`: m.ended,
		`bgp_updates_sent_total{peer="frr"}`: m.sent,
		`bfd_sessions{state="Up"}`:           m.up, `bfd_sessions{state="Down"}`: m.down, `bfd_sessions{state="Init"}`: 0, `bfd_sessions{state="AdminDown"}`: 0,
		"bfd_flaps_total": m.flaps,
	}
}

func TestBGPMetricsAgreeWithTheRouter(t *testing.T) {
	const second4, third4 = "203.0.113.2/32", "203.0.113.3/32"
	b := newBed(t, "node", "router")
	r := b.bfdFRR("router", watchedBy(""))
	s := b.speaker("node")
	// Late enough to read the status while the session is down.
	retry := func(p *bgp.Peer) { p.ConnectRetry = 5 * time.Second }
	s.set(toAll(plain(first4, second4), peer("frr", "192.168.1.2", retry)))
	s.establishes("frr")
	s.counts("with two prefixes in one UPDATE, and End-of-RIB", metricsOf{established: 1, began: 1, prefixes: 2, sent: 2}.all())
	s.agrees(r, "frr", "192.168.1.1")

	// BFD begins only now, since FRR restarts its BFD when its first session is established.
	s.change(func(c *protocol.Config) { c.Peers[0].BFD = &tight })
	s.counts("with BFD", metricsOf{established: 1, began: 1, prefixes: 2, sent: 2, up: 1}.all())

	s.change(func(c *protocol.Config) { c.Routes = toAll(plain(first4, second4, third4), c.Peers...).Routes })
	has(t, r, "ipv4", first4, second4, third4)
	r.MustAsk("configure terminal\nrouter bgp 64513\naddress-family ipv4 unicast\nnetwork 192.168.1.0/24")
	saw(t, r, "192.168.1.1", "an UPDATE went", func(n bgpNeighbour) bool { return n.Messages.UpdatesSent > 0 })
	all := s.counts("with one prefix more on each side", metricsOf{established: 1, began: 1, prefixes: 3, sent: 3, up: 1}.all())
	s.agrees(r, "frr", "192.168.1.1")
	if waited := all["bgp_announce_seconds_count"]; waited != 1 || all["bgp_announce_seconds_sum"] > 1 {
		t.Errorf("the router waited %v times, %v s in all, for what changed; want once, and less than 1 s", waited, all["bgp_announce_seconds_sum"])
	}
	if _, path := s.status("frr"); all["bfd_transitions_total"] != float64(path.Transitions) || path.Transitions == 0 {
		t.Errorf("BFD counts %v changes of state, and the path has %d", all["bfd_transitions_total"], path.Transitions)
	}

	b.dropBFD("node")
	s.counts("the path is cut", metricsOf{began: 1, ended: 1, sent: 3, down: 1, flaps: 1}.all())
	// The session comes back without BFD. With BFD the number of sessions would be random, since FRR may still
	// act on the end of BFD when BFD is up again.
	s.change(func(c *protocol.Config) { c.Peers[0].BFD = nil })
	// All three prefixes again in one UPDATE, and End-of-RIB.
	s.counts("it is back", metricsOf{established: 1, began: 2, ended: 1, prefixes: 3, sent: 5, flaps: 1}.all())
	s.agrees(r, "frr", "192.168.1.1")

	s.change(func(c *protocol.Config) { c.Peers = []bgp.Peer{} })
	has(t, r, "ipv4", "192.168.1.0/24")
	s.counts("the BGPPeer was deleted", map[string]float64{
		`bfd_sessions{state="Up"}`: 0, `bfd_sessions{state="Down"}`: 0, `bfd_sessions{state="Init"}`: 0, `bfd_sessions{state="AdminDown"}`: 0, "bfd_flaps_total": 1,
	})
}
