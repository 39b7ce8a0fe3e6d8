package apiconv

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
)

func TestSpeakerReportOfSessions(t *testing.T) {
	state := &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
	state.Status.BGPPeers = []v1beta1.SpeakerBGPPeer{
		{Name: "tor-a", State: v1beta1.BGPEstablished, Families: []string{"IPv6"}},
		{Name: "tor-b", State: v1beta1.BGPActive, LastError: "connection refused", Flaps: 3, RetrySeconds: 32},
		{Name: "tor-c", State: v1beta1.BGPIdle, Problem: &v1beta1.SpeakerBGPProblem{Reason: v1beta1.ReasonDuplicatePeer, Message: "why"}},
	}
	state.Status.MissingSpeakers, state.Status.Phase = []v1beta1.NodeName{"n2", "n3.example"}, v1beta1.SpeakerStopped
	want := reports.Report{
		Node: "n1", Missing: []lb.NodeName{"n2", "n3.example"}, Stopped: true,
		Sessions: []reports.Session{
			{Peer: "tor-a", Established: true, State: "Established", IPv6: true},
			{Peer: "tor-b", State: "Active", LastError: "connection refused", Flaps: 3, Retry: 32 * time.Second},
			{Peer: "tor-c", State: "Idle", Problem: bgp.Problem{Reason: bgp.DuplicatePeer, Message: "why"}},
		},
	}
	got := SpeakerReport(state)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if got, want := got.Sessions[1].WhyDown(), "connection refused"; got != want {
		t.Errorf("why tor-b is down: got %q, want %q", got, want)
	}
}

func TestSpeakerRoutes(t *testing.T) {
	node, got := SpeakerRoutes(&v1beta1.SpeakerRouteSlice{Node: "n1", Routes: []v1beta1.SpeakerBGPRoute{
		{Prefix: "192.0.2.10/32", Peers: []v1beta1.ObjectName{"tor-b", "tor-a"}},
		{Prefix: "192.0.2.12/32"},
		{Prefix: "192.0.2.99/24", Peers: []v1beta1.ObjectName{"tor-a"}}, // bits of a host
		{Prefix: "nonsense", Peers: []v1beta1.ObjectName{"tor-a"}},
		{Prefix: "2001:db8::/64", Peers: []v1beta1.ObjectName{"tor-a"}},
	}})
	want := []reports.Route{
		{Prefix: netip.MustParsePrefix("192.0.2.10/32"), Peers: []bgp.PeerName{"tor-a", "tor-b"}},
		{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Peers: []bgp.PeerName{"tor-a"}},
		{Prefix: netip.MustParsePrefix("2001:db8::/64"), Peers: []bgp.PeerName{"tor-a"}},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(x, y netip.Prefix) bool { return x == y })); diff != "" || node != "n1" {
		t.Errorf("routes of %q (-want +got):\n%s", node, diff)
	}
}
