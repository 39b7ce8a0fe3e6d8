package kube

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bfd"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bgp/session"
	speakerbfd "github.com/lbstack/lbstack/speaker/bfd"
	speakerbgp "github.com/lbstack/lbstack/speaker/bgp"
	"github.com/lbstack/lbstack/speaker/layer2"
)

func TestSessionFailureIsInTheSpeakerState(t *testing.T) {
	long := time.Now().Add(-time.Hour)
	taken := &speakerbfd.Status{Status: bfd.Status{State: bfd.Down}, Problem: "port 3784 is taken"}
	silent := &speakerbfd.Status{Status: bfd.Status{State: bfd.Down, Remote: bfd.Down}}
	for _, tt := range []struct {
		name             string
		session          speakerbgp.Status
		path             *speakerbfd.Status
		lastError, ready string // what they contain; empty: nothing is wrong
	}{
		{"an established session is well", speakerbgp.Status{State: session.Established, Since: long}, nil, "", ""},
		{"a path that cannot be watched is reported although the session is up", speakerbgp.Status{State: session.Established, Since: long}, taken, "port 3784 is taken", "BFD does not watch its path"},
		{"a router without BFD takes nothing from a session that does not wait for it", speakerbgp.Status{State: session.Established, Since: long}, silent, "", ""},
		{"a session that waits for BFD reports the states of both sides", speakerbgp.Status{State: session.Idle, Since: long, WaitsForBFD: true}, silent, "strictBFD", "strictBFD"},
		{"a session that waits for BFD which cannot work has the reason", speakerbgp.Status{State: session.Idle, Since: long, WaitsForBFD: true}, taken, "port 3784 is taken", "port 3784 is taken"},
		{"a session that waits for a profile reports the profile", speakerbgp.Status{State: session.Idle, Since: long, WaitsForBFD: true}, nil, "BFDProfile is missing", "BFDProfile is missing"},
		{"one that is down for long is not ready", speakerbgp.Status{State: session.Active, Since: long, LastError: "refused"}, nil, "refused", "no session since"},
		{"one that has just begun is given time", speakerbgp.Status{State: session.Active, Since: time.Now(), LastError: "refused"}, nil, "refused", ""},
		{"what broke the session goes before what is wrong with BFD", speakerbgp.Status{State: session.Active, Since: long, LastError: "refused"}, taken, "refused", "refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.session.Peer = "tor"
			r := RoutingState{Sessions: []speakerbgp.Status{tt.session}, Path: func(bgp.PeerName) (speakerbfd.Status, bool) {
				if tt.path == nil {
					return speakerbfd.Status{}, false
				}
				return *tt.path, true
			}}
			got := desiredStatus(&v1beta1.SpeakerState{}, layer2.Report{Links: []layer2.Link{{Name: "eth0"}}}, r, nil)
			p := got.BGPPeers[0]
			if (tt.lastError == "") != (p.LastError == "") || !strings.Contains(p.LastError, tt.lastError) {
				t.Errorf("lastError is %q, want %q in it", p.LastError, tt.lastError)
			}
			if (p.BFD != nil) != (tt.path != nil) {
				t.Errorf("the state has BFD %+v, want it only if the path is watched", p.BFD)
			}
			ready := got.Conditions[0]
			if (ready.Status == metav1.ConditionTrue) != (tt.ready == "") || !strings.Contains(ready.Message, tt.ready) {
				t.Errorf("Ready is %s, %q, want %q in it", ready.Status, ready.Message, tt.ready)
			}
		})
	}
}

func TestRouting_ProblemsAndFlapsAreReported(t *testing.T) {
	now := time.Now()
	duplicate := bgp.PeerState{Problem: bgp.Problem{Reason: bgp.DuplicatePeer, Message: "a is in effect"}, AbsentSince: now}
	password := bgp.PeerState{Problem: bgp.Problem{Reason: bgp.PasswordMissing, Message: "no Secret"}}
	r := RoutingState{
		Sessions: []speakerbgp.Status{
			{Peer: "a", State: session.Established, Since: now, Problem: bgp.Problem{Reason: bgp.NoNextHop, Message: "no IPv6"}},
			{Peer: "c", State: session.Established, Since: now, Flaps: 3, LastError: "closed", Problem: bgp.Problem{Reason: bgp.NoNextHop, Message: "no IPv6"}},
		},
		Peers: map[bgp.PeerName]bgp.PeerState{"b": duplicate, "c": password},
		Path:  func(bgp.PeerName) (speakerbfd.Status, bool) { return speakerbfd.Status{}, false },
	}
	got := desiredStatus(&v1beta1.SpeakerState{}, layer2.Report{}, r, nil)
	want := []v1beta1.SpeakerBGPPeer{
		{Name: "a", State: v1beta1.BGPEstablished, Since: truncateToSecond(now), Problem: &v1beta1.SpeakerBGPProblem{Reason: v1beta1.ReasonNoNextHop, Message: "no IPv6"}},
		{Name: "b", State: v1beta1.BGPIdle, Since: truncateToSecond(now), LastError: "a is in effect", Problem: &v1beta1.SpeakerBGPProblem{Reason: v1beta1.ReasonDuplicatePeer, Message: "a is in effect"}},
		{Name: "c", State: v1beta1.BGPEstablished, Since: truncateToSecond(now), LastError: "closed", Flaps: 3, Problem: &v1beta1.SpeakerBGPProblem{Reason: v1beta1.ReasonPasswordMissing, Message: "no Secret"}},
	}
	if diff := cmp.Diff(want, got.BGPPeers); diff != "" {
		t.Errorf("peers (-want +got):\n%s", diff)
	}
	if ready := got.Conditions[0]; ready.Reason != v1beta1.ReasonFlapping || !strings.Contains(ready.Message, `BGPPeer "c": the session is flapping: it ended 3 times without staying established for 10 minutes; last error: closed`) {
		t.Errorf("Ready: got %+v, want %s with the peer c", ready, v1beta1.ReasonFlapping)
	}
}

func TestRouting_FamiliesOfRoutesAreReported(t *testing.T) {
	agreed := &session.Negotiated{}
	for _, tt := range []struct {
		name    string
		session speakerbgp.Status
		want    []string
	}{
		{"both families", speakerbgp.Status{State: session.Established, Negotiated: agreed, IPv4: true, IPv6: true}, []string{"IPv4", "IPv6"}},
		{"one family", speakerbgp.Status{State: session.Established, Negotiated: agreed, IPv6: true}, []string{"IPv6"}},
		{"no session", speakerbgp.Status{State: session.Active}, nil},
	} {
		r := RoutingState{Sessions: []speakerbgp.Status{tt.session}, Path: func(bgp.PeerName) (speakerbfd.Status, bool) { return speakerbfd.Status{}, false }}
		got := desiredStatus(&v1beta1.SpeakerState{}, layer2.Report{}, r, nil).BGPPeers[0].Families
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestReportOfASpeakerThatEnds(t *testing.T) {
	restarts := &session.Negotiated{Capabilities: bgp.Capabilities{GracefulRestart: &bgp.GracefulRestart{}}}
	r := RoutingState{
		Sessions: []speakerbgp.Status{
			{Peer: "a", State: session.Established, Negotiated: &session.Negotiated{}, Prefixes: 2},
			{Peer: "b", State: session.Established, Negotiated: restarts, Prefixes: 1},
			{Peer: "c", State: session.Active, LastError: "refused"},
		},
	}
	parted, stays := r.stateAfterStop(time.Now())
	var got v1beta1.SpeakerStateStatus
	parted.fillStatus(&got)
	type left struct {
		state    v1beta1.BGPState
		prefixes int32
		keeps    bool
	}
	for i, want := range []left{{"Idle", 0, false}, {"Idle", 1, true}, {"Idle", 0, false}} {
		p := got.BGPPeers[i]
		if is := (left{p.State, p.Prefixes, strings.Contains(p.LastError, "keeps the routes of this node")}); is != want || !strings.Contains(p.LastError, "was stopped") {
			t.Errorf("the session with %s is %+v, want %+v; with the error %q", p.Name, is, want, p.LastError)
		}
	}
	if diff := cmp.Diff(map[bgp.PeerName]bool{"b": true}, stays); diff != "" {
		t.Errorf("peers whose routers keep the routes (-want +got):\n%s", diff)
	}
}
