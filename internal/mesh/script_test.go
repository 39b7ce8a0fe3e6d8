package mesh

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

var (
	vip     = netip.MustParseAddr("192.168.1.240")
	byValue = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})
	active  = wire.State{Phase: ownership.Active, Claims: ownership.Claims{}}
)

func restartingFor(back time.Duration) wire.State {
	return wire.State{Phase: ownership.Restarting, Back: back, Claims: ownership.Claims{vip: 7}}
}

// script is the machine of node a among peers whose messages the test sends. A script fails the test when
// the view changes and its version does not.
type script struct {
	t     *testing.T
	m     *Machine
	now   time.Time
	sent  []OutgoingMessage // since take was called
	peers map[lb.NodeName]*scripted
	last  View
	// members and peerList are copies from the machine after the last event.
	members  uint64
	peerList []lb.NodeName
	// flips counts how often a peer became alive or dead.
	flips map[lb.NodeName]int
}

// scripted is a peer of the script.
type scripted struct {
	met      bool // the machine has a session with the peer
	instance wire.Instance
	sequence uint64
	suspects []lb.NodeName
	acksOnly bool // the peer sends acknowledgements instead of heartbeats
	sentAt   time.Time
}

// begin returns a script in which all others have just published that they are active.
func begin(t *testing.T, others ...lb.NodeName) *script {
	s := &script{t: t, m: New("a", standard), now: time.Unix(1000, 0), peers: map[lb.NodeName]*scripted{}, flips: map[lb.NodeName]int{}}
	s.setPeers(others...)
	s.note(s.m.Publish(s.now, active))
	for _, node := range others {
		s.publish(node, active)
	}
	s.note(s.m.Tick(s.now))
	s.sent = nil
	clear(s.flips)
	return s
}

func (s *script) setPeers(others ...lb.NodeName) {
	s.m.SetPeers(s.now, append([]lb.NodeName{"a"}, others...))
	for _, node := range others {
		if s.peers[node] == nil {
			s.peers[node] = &scripted{instance: wire.Instance{1}}
		}
	}
	s.note(nil)
}

// note records what the machine sends, and checks its view.
func (s *script) note(sends []OutgoingMessage) {
	s.t.Helper()
	s.sent = append(s.sent, sends...)
	for _, node := range s.m.TakeLost() {
		s.peers[node].met = false
	}
	if len(s.peers) > 8 && s.m.Version() == s.last.Version {
		return // comparing views of many peers takes too long
	}
	if members, was := s.m.MembersVersion(), s.members; !slices.Equal(s.m.Peers(), s.peerList) && members == was {
		s.t.Errorf("Peers changed from %v to %v, and Members did not", s.peerList, s.m.Peers())
	}
	s.members, s.peerList = s.m.MembersVersion(), s.m.Peers()
	v := s.m.View()
	if v.Version <= s.last.Version && !reflect.DeepEqual(comparable(s.last), comparable(v)) {
		s.t.Errorf("the view changed, and its version %d did not:\n%s", v.Version, cmp.Diff(comparable(s.last), comparable(v), byValue, cmp.AllowUnexported(Peer{})))
	}
	for _, node := range difference(alive(s.last), alive(v)) {
		s.flips[node]++
	}
	s.last = v
}

// comparable returns a view without the fields that may change within a version: when the
// missing peers were last received from changes with every message of a speaker that has not
// published anything.
func comparable(v View) View {
	v.Version, v.Peers, v.Missing = 0, slices.Clone(v.Peers), slices.Clone(v.Missing)
	for i := range v.Peers {
		v.Peers[i].instance, v.Peers[i].sequence = wire.Instance{}, 0
	}
	for i := range v.Missing {
		v.Missing[i].Received = time.Time{}
	}
	return v
}

func difference(x, y []lb.NodeName) []lb.NodeName {
	both := slices.Concat(x, y)
	return slices.DeleteFunc(both, func(node lb.NodeName) bool { return slices.Contains(x, node) && slices.Contains(y, node) })
}

// deliver has the machine receive a message. It opens a session with the peer if there is none.
func (s *script) deliver(node lb.NodeName, msg wire.Message) {
	s.t.Helper()
	p := s.peers[node]
	if !p.met {
		p.met = true
		s.note(s.m.NoteMet(s.now, node, p.instance))
	}
	if msg.Sequence == 0 {
		msg.Sequence = p.sequence
	}
	msg.Interval = standard.Interval
	s.note(s.m.Receive(s.now, node, p.instance, &msg))
}

// publish has a peer publish its next state.
func (s *script) publish(node lb.NodeName, state wire.State) {
	s.t.Helper()
	s.peers[node].sequence++
	for _, msg := range pieces(state, 0) {
		s.deliver(node, msg)
	}
	s.peers[node].sentAt = s.now
}

// pieces returns the messages that publish a state.
func pieces(state wire.State, nonce uint64) (messages []wire.Message) {
	split := wire.SplitState(&state)
	for i, data := range split {
		messages = append(messages, wire.Message{Kind: wire.KindState, Nonce: nonce, Piece: wire.Piece{Back: state.Back, Index: i, Count: len(split), Data: data}})
	}
	return messages
}

// relayedPieces returns the messages that send the state of another node.
func relayedPieces(about lb.NodeName, instance wire.Instance, sequence uint64, state wire.State) []wire.Message {
	messages := pieces(state, 0)
	for i := range messages {
		p := &messages[i].Piece
		p.About, p.Instance, p.Sequence = wire.IDOf(about), instance, sequence
	}
	return messages
}

// restart replaces the process of a peer. The machine has received nothing from the new process yet.
func (s *script) restart(node lb.NodeName) {
	p := s.peers[node]
	*p = scripted{instance: wire.Instance{p.instance[0] + 1}, sentAt: s.now}
}

// heartbeat has a peer send a heartbeat.
func (s *script) heartbeat(node lb.NodeName) {
	s.t.Helper()
	p := s.peers[node]
	p.sentAt = s.now
	msg := wire.Message{Kind: wire.KindHeartbeat, Suspects: ids(p.suspects...)}
	if p.acksOnly {
		msg = wire.Message{Kind: wire.KindAck}
	}
	s.deliver(node, msg)
}

func ids(nodes ...lb.NodeName) (list []wire.NodeID) {
	for _, node := range nodes {
		list = append(list, wire.IDOf(node))
	}
	return list
}

// pass advances the time, while only these peers send heartbeats.
func (s *script) pass(d time.Duration, sending ...lb.NodeName) {
	s.t.Helper()
	for end := s.now.Add(d); s.now.Before(end); {
		s.now = s.now.Add(step)
		for _, node := range sending {
			if s.now.Sub(s.peers[node].sentAt) >= standard.Interval {
				s.heartbeat(node)
			}
		}
		s.note(s.m.Tick(s.now))
	}
}

// alive fails unless exactly these peers are alive.
func (s *script) alive(when string, want ...lb.NodeName) {
	s.t.Helper()
	if diff := cmp.Diff(want, alive(s.m.View()), cmpopts.EquateEmpty()); diff != "" {
		s.t.Errorf("%s: peers that are alive (-want +got):\n%s", when, diff)
	}
}

// state returns what the view has of a peer.
func (s *script) state(node lb.NodeName) (wire.State, bool) {
	for _, p := range s.m.View().Peers {
		if p.Node == node {
			return p.State, true
		}
	}
	return wire.State{}, false
}

// take returns the last message of a kind to each receiver since the last call.
func (s *script) take(kind wire.Kind) map[lb.NodeName]*wire.Message {
	got := map[lb.NodeName]*wire.Message{}
	for _, send := range s.sent {
		if send.Message.Kind == kind {
			got[send.To] = send.Message
		}
	}
	s.sent = nil
	return got
}

// named returns the suspects in the heartbeats since the last take, by receiver.
func (s *script) named() map[lb.NodeName][]wire.NodeID {
	got := map[lb.NodeName][]wire.NodeID{}
	for to, msg := range s.take(wire.KindHeartbeat) {
		if len(msg.Suspects) > 0 {
			got[to] = msg.Suspects
		}
	}
	return got
}

// nodes returns names of peers.
func nodes(count int) (names []lb.NodeName) {
	for i := range count {
		names = append(names, lb.NodeName(fmt.Sprintf("node%03d", i)))
	}
	return names
}
