package kube

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/bgp/session"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	speakerbfd "github.com/lbstack/lbstack/speaker/bfd"
	speakerbgp "github.com/lbstack/lbstack/speaker/bgp"
)

const (
	// maxListedPeers is how many peers status.bgpPeers lists at most.
	maxListedPeers = 128
	// maxTextBytes is how many bytes a text in status.bgpPeers has at most.
	maxTextBytes = 1024
)

// RoutingState is the state of the sessions and routes of this node.
type RoutingState struct {
	// Sessions are the sessions with routers, sorted by the name of the peer.
	Sessions []speakerbgp.Status
	// Path returns the BFD status of the path to the router of a peer; false: BFD does not watch the
	// path.
	Path func(bgp.PeerName) (speakerbfd.Status, bool)
	// Changes are the changes of the routes that routers have, since the last call of StateWriter.Routing.
	Changes map[bgp.PeerName]speakerbgp.RouteChanges
	// Problems are sentences about objects that are invalid, missing or in conflict.
	Problems []string
	// Peers are the peers of this node that have a problem. A peer that has no session because of its
	// problem is not among the Sessions.
	Peers map[bgp.PeerName]bgp.PeerState
	// Refused are addresses that Services hold and that this speaker must not begin to announce.
	Refused RefusedAddresses
}

// RefusedAddresses are addresses that may not be announced.
type RefusedAddresses struct {
	// Count is the number of all these addresses.
	Count int
	// First are the first few of these addresses, sorted.
	First []eligibility.Refusal
}

// String returns a sentence that names the first of these addresses.
func (r RefusedAddresses) String() string {
	parts := make([]string, 0, len(r.First)+1)
	for _, one := range r.First {
		parts = append(parts, fmt.Sprintf("%s: %s", one.Address, one.Why))
	}
	if more := r.Count - len(r.First); more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("this node does not announce some addresses of Services (%s). A speaker begins to announce an address only if the pool of its IPAddressClaim lists the address: add the addresses to the pools, or delete the claims",
		strings.Join(parts, "; "))
}

// fillStatus sets the fields of a status that are about routing.
func (r RoutingState) fillStatus(next *v1beta1.SpeakerStateStatus) {
	next.RefusedAddresses = int32(r.Refused.Count)
	for _, s := range r.Sessions {
		next.BGPPeers = append(next.BGPPeers, r.apiPeer(s))
	}
	for name, state := range r.Peers {
		if !state.AbsentSince.IsZero() && !slices.ContainsFunc(r.Sessions, func(s speakerbgp.Status) bool { return s.Peer == name }) {
			next.BGPPeers = append(next.BGPPeers, v1beta1.SpeakerBGPPeer{
				Name: v1beta1.ObjectName(name), State: v1beta1.BGPIdle, Since: truncateToSecond(state.AbsentSince), LastError: boundText(state.Message), Problem: apiProblem(state.Problem),
			})
		}
	}
	slices.SortFunc(next.BGPPeers, func(x, y v1beta1.SpeakerBGPPeer) int { return cmp.Compare(x.Name, y.Name) })
	next.BGPPeers = next.BGPPeers[:min(len(next.BGPPeers), maxListedPeers)]
}

// apiProblem returns a problem in the form of the API; nil: there is no problem.
func apiProblem(p bgp.Problem) *v1beta1.SpeakerBGPProblem {
	if p.Reason == "" {
		return nil
	}
	return &v1beta1.SpeakerBGPProblem{Reason: string(p.Reason), Message: boundText(p.Message)}
}

// stateAfterStop returns the state to report when the speaker has ended: no session is established. The
// result stays has the peers whose routers retain their routes until the next speaker runs (RFC 4724).
func (r RoutingState) stateAfterStop(now time.Time) (left RoutingState, stays map[bgp.PeerName]bool) {
	left.Path = func(bgp.PeerName) (speakerbfd.Status, bool) { return speakerbfd.Status{}, false }
	stays = map[bgp.PeerName]bool{}
	for _, s := range r.Sessions {
		now := speakerbgp.Status{Peer: s.Peer, Router: s.Router, State: session.Idle, Since: now, LastError: "the speaker on this node was stopped"}
		if s.Negotiated != nil && s.Negotiated.GracefulRestart != nil {
			stays[s.Peer], now.Prefixes = true, s.Prefixes
			now.LastError += "; the router keeps the routes of this node until the next speaker runs, or until the restart time has passed"
		}
		left.Sessions = append(left.Sessions, now)
	}
	return left, stays
}

func (r RoutingState) apiPeer(s speakerbgp.Status) v1beta1.SpeakerBGPPeer {
	p := v1beta1.SpeakerBGPPeer{
		Name: v1beta1.ObjectName(s.Peer), State: v1beta1.BGPState(s.State.String()), Since: truncateToSecond(s.Since),
		LastError: boundText(s.LastError), Prefixes: int32(s.Prefixes), RetrySeconds: int32(s.Retry / time.Second),
		Flaps: int32(min(s.Flaps, 1<<31-1)), Problem: apiProblem(cmp.Or(r.Peers[s.Peer].Problem, s.Problem)),
	}
	if s.Router.IsValid() {
		p.Address = s.Router.String()
	}
	if s.WaitsForBFD {
		p.LastError = boundText("the session waits for BFD (strictBFD): " + r.pathMessage(s.Peer))
	}
	if n := s.Negotiated; n != nil {
		p.PeerASN, p.PeerRouterID, p.LocalAddress = int64(n.Remote.ASN), n.Remote.RouterID.String(), s.Local.String()
		p.HoldTimeSeconds, p.KeepaliveTimeSeconds = new(int32(n.Hold/time.Second)), new(int32(n.Keepalive/time.Second))
		p.Capabilities = n.Remote.Capabilities.Names()
		if s.IPv4 {
			p.Families = append(p.Families, lb.IPv4.String())
		}
		if s.IPv6 {
			p.Families = append(p.Families, lb.IPv6.String())
		}
	}
	if path, watched := r.Path(s.Peer); watched {
		p.BFD = &v1beta1.SpeakerBFD{
			State: v1beta1.BFDState(path.State.String()), Since: truncateToSecond(path.Since), Diagnostic: path.Diagnostic.String(),
			TransmitIntervalMilliseconds: toMilliseconds(path.Transmit), ReceiveIntervalMilliseconds: toMilliseconds(path.Receive),
			DetectionTimeMilliseconds: toMilliseconds(path.Detection), Flaps: int32(min(path.Flaps, 1<<31-1)),
		}
		if path.Problem != "" && p.LastError == "" {
			p.LastError = boundText(unwatchedMessage(path))
		}
	}
	return p
}

func unwatchedMessage(path speakerbfd.Status) string { return "BFD does not work: " + path.Problem }

func (r RoutingState) pathMessage(peer bgp.PeerName) string {
	path, watched := r.Path(peer)
	switch {
	case !watched:
		return "BFD does not watch the path yet: the BFDProfile is missing, or the router's address is not known"
	case path.Problem != "":
		return path.Problem
	}
	return fmt.Sprintf("the BFD session is %s on the router and %s on this node: check that BFD is enabled on the router for this node", path.Remote, path.State)
}

// flappingMessages returns a sentence for each session that is flapping.
func (r RoutingState) flappingMessages() (sentences []string) {
	for _, s := range r.Sessions {
		if s.Flaps >= bgp.FlappingThreshold && (s.State == session.Established || time.Since(s.Since) < speakerbgp.DownAfter) {
			sentences = append(sentences, fmt.Sprintf("BGPPeer %q: the session is flapping: it ended %d times without staying established for %d minutes; last error: %s", s.Peer, s.Flaps, int(bgp.StableAfter.Minutes()), s.LastError))
		}
	}
	return sentences
}

// downMessages returns a sentence for each session that is not established, or whose path BFD cannot watch.
func (r RoutingState) downMessages(now time.Time) (sentences []string) {
	for _, s := range r.Sessions {
		p := r.apiPeer(s)
		path, watched := r.Path(s.Peer)
		switch {
		case s.State != session.Established && now.Sub(s.Since) >= speakerbgp.DownAfter:
			sentences = append(sentences, fmt.Sprintf("BGPPeer %q: no session since %s: %s", s.Peer, p.Since.UTC().Format(time.RFC3339), cmp.Or(p.LastError, string(p.State))))
		case s.State == session.Established && watched && path.Problem != "":
			sentences = append(sentences, fmt.Sprintf("BGPPeer %q: the session is established, but BFD does not watch its path: %s", s.Peer, unwatchedMessage(path)))
		}
	}
	return sentences
}

func toMilliseconds(d time.Duration) int32 { return int32(min(d.Milliseconds(), 1<<31-1)) }

func boundText(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxTextBytes)], "")
}
