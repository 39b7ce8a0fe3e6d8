package mesh

import (
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

// peer is what is known of another speaker.
type peer struct {
	node        lb.NodeName
	added       time.Time // since when it is known that there should be one
	expected    bool      // the cluster says that it should be there
	incarnation uint64
	sequence    uint64 // of the state that is known
	state       wire.State
	back        time.Time // when it is back, if it restarts
	interval    time.Duration

	live      bool
	dead      bool      // was lost, and not heard since
	asked     time.Time // when it was asked whether it is back
	since     time.Time // when it came to life
	heard     time.Time // when it was heard last
	datagram  time.Time // when its last datagram came
	deaf      time.Time // when it said last that ours do not come
	late      bool      // it was silent too when another one was lost
	lost      bool      // it lives, and its datagrams do not come
	suspected time.Time // since when it is; zero: it is not
	suspects  []lb.NodeName
	beat      time.Time // when its last beat came
	answered  time.Time // when it was told at once that this speaker lives, since it is deaf
	denied    time.Time // when one of its suspicions was denied at once
	nonce     uint64    // the latest that it returned
	told      ack       // what of ours it has acted on
	acked     ack       // what of its we have said that we acted on
}

// ack names a state.
type ack struct{ incarnation, sequence uint64 }

// restarting says whether the speaker has said that it will be back, and the time
// is not up.
func (p *peer) restarting(now time.Time) bool {
	return p.state.Phase == ownership.Restarting && now.Before(p.back)
}

// Receive takes a message, and when it came. That of a quiet one may be before what was
// received last, but must not be before the last Tick but one.
func (m *Machine) Receive(now time.Time, msg *wire.Message) []Send {
	if msg.From == m.self || msg.From == "" {
		return nil
	}
	p, known := m.peers[msg.From]
	if !known {
		p = &peer{node: msg.From, added: now}
		m.peers[msg.From] = p
		m.watcherCache = nil
	}
	if msg.Incarnation < p.incarnation {
		return nil // the last words of a process that is gone
	}
	newcomer := !known || msg.Incarnation > p.incarnation
	m.noteWay(now, p, msg.Stream, msg.Deaf)
	m.hear(now, p, msg)
	var sends []Send
	if newcomer {
		sends = append(sends, m.stateTo(now, p.node, 0))
		sends = append(sends, m.relay(now, p.node)...)
	}
	if msg.Stream && msg.Deaf {
		sends = append(sends, m.answerDeaf(now, p)...)
	}
	switch msg.Kind {
	case wire.KindBeat:
		p.beat, p.suspects = later(p.beat, now), msg.Suspects
		if msg.Sequence > p.sequence {
			sends = append(sends, m.pull(p.node, 0))
		}
		if p.acked == (ack{p.incarnation, p.sequence}) {
			sends = append(sends, m.ack(p)) // the first one may have been lost
		}
		sends = append(sends, m.deny(now, p)...)
		m.judgeAll(now)
	case wire.KindState:
		m.learn(now, p, msg)
	case wire.KindPull:
		sends = append(sends, m.stateTo(now, p.node, msg.Nonce))
		sends = append(sends, m.relay(now, p.node)...)
	case wire.KindAck:
		p.told = ack{msg.AckedIncarnation, msg.AckedSequence}
	}
	return sends
}

// deny tells one who suspects a speaker that it is heard here. The next beat would
// say so too, but it goes only to those who watch this one, and may come later than
// the verdict. The pause keeps two who suspect and deny each other from doing so as
// fast as the network carries it.
func (m *Machine) deny(now time.Time, p *peer) []Send {
	if now.Sub(p.denied) < m.timing.Beat/denials || !slices.ContainsFunc(p.suspects, func(n lb.NodeName) bool { return m.vouches(now, n) }) {
		return nil
	}
	p.denied = now
	return m.beats(now, []lb.NodeName{p.node})
}

// vouches says whether this speaker watches another one and hears it.
func (m *Machine) vouches(now time.Time, node lb.NodeName) bool {
	p := m.peers[node]
	return p != nil && p.live && p.suspected.IsZero() && p.state.Phase != ownership.Restarting &&
		m.watches(node) && now.Sub(p.heard) < m.silence(p)
}

// hear notes that a speaker lives. The process before the one that starts anew is
// dead; what it said stays until the new one has something to say, if it said that
// it would be back.
func (m *Machine) hear(now time.Time, p *peer, msg *wire.Message) {
	if msg.Incarnation > p.incarnation {
		p.incarnation, p.sequence = msg.Incarnation, 0
		p.told, p.acked, p.suspects = ack{}, ack{}, nil
		if !p.restarting(now) {
			p.live, p.state = false, wire.State{}
			m.version++
		}
	}
	p.dead = false
	if p.late {
		p.late = false
		m.version++
	}
	p.heard, p.suspected, p.interval = later(p.heard, now), time.Time{}, msg.Interval
	if !p.live && p.sequence > 0 && msg.Sequence <= p.sequence {
		m.revive(now, p)
	}
}

func later(x, y time.Time) time.Time {
	if x.After(y) {
		return x
	}
	return y
}

// revive counts on a speaker from now on.
func (m *Machine) revive(now time.Time, p *peer) {
	p.live, p.since = true, now
	m.version++
}

func (m *Machine) learn(now time.Time, p *peer, msg *wire.Message) {
	if m.checking && msg.Nonce == m.nonce {
		p.nonce = msg.Nonce
		m.version++
	}
	if msg.Sequence <= p.sequence {
		return
	}
	p.sequence = msg.Sequence
	if msg.State.Phase != ownership.Starting || !p.live {
		p.state = msg.State
		p.back = now.Add(msg.State.Back)
	}
	if !p.live {
		m.revive(now, p)
	}
	m.version++
}

// Acted says that everything in a view has been acted on: those who restart wait
// for it.
func (m *Machine) Acted(now time.Time, v View) []Send {
	var sends []Send
	for i := range v.Peers {
		seen := &v.Peers[i]
		p := m.peers[seen.Node]
		is := ack{seen.incarnation, seen.sequence}
		if p == nil || p.acked == is || !p.restarting(now) || seen.State.Phase != ownership.Restarting {
			continue
		}
		p.acked = is
		sends = append(sends, m.ack(p))
	}
	return sends
}

// ack says that what a speaker said has been acted on.
func (m *Machine) ack(p *peer) Send {
	msg := m.message(wire.KindAck)
	msg.AckedIncarnation, msg.AckedSequence = p.acked.incarnation, p.acked.sequence
	return Send{To: p.node, Message: msg}
}

// Heeded says whether all who live have acted on what this speaker said last.
func (m *Machine) Heeded() bool {
	for _, p := range m.peers {
		if p.live && p.state.Phase != ownership.Restarting && p.told != (ack{m.incarnation, m.sequence}) {
			return false
		}
	}
	return true
}

// Recheck asks all who live anew what they own: this process stood still, and may
// have been replaced meanwhile. It is done when Checked says so.
func (m *Machine) Recheck(now time.Time) []Send {
	m.nonce++
	m.checking = true
	m.version++
	var sends []Send
	for _, p := range m.peers {
		if p.live {
			p.heard, p.suspected = now, time.Time{}
		}
		sends = append(sends, m.pull(p.node, m.nonce))
	}
	return sends
}

// Checked says whether all who live have answered since the last Recheck.
func (m *Machine) Checked() bool {
	if m.checking {
		for _, p := range m.peers {
			if m.owes(p) {
				return false
			}
		}
	}
	return true
}

// askAgain asks those who have not answered.
func (m *Machine) askAgain() []Send {
	if !m.checking {
		return nil
	}
	var sends []Send
	for _, node := range m.known() {
		if p := m.peers[node]; m.owes(p) {
			sends = append(sends, m.pull(node, m.nonce))
		}
	}
	m.checking = len(sends) > 0
	return sends
}

// owes says whether a speaker must answer before this one goes on.
func (m *Machine) owes(p *peer) bool {
	return p.live && p.state.Phase != ownership.Restarting && p.nonce != m.nonce
}

func (m *Machine) message(kind wire.Kind) *wire.Message {
	return &wire.Message{Kind: kind, From: m.self, Incarnation: m.incarnation, Sequence: m.sequence, Interval: m.timing.Beat}
}

func (m *Machine) stateTo(now time.Time, node lb.NodeName, nonce uint64) Send {
	msg := m.message(wire.KindState)
	msg.Nonce, msg.State = nonce, m.state
	msg.State.Back = max(0, m.until.Sub(now))
	return Send{To: node, Message: msg}
}

// askMissing asks those who should be there and do not live: a speaker that is not
// watched from here sends no beats that would say that it is back.
func (m *Machine) askMissing(now time.Time) []Send {
	var sends []Send
	for _, node := range m.known() {
		if p := m.peers[node]; !p.live && now.Sub(p.asked) >= m.timing.Silence {
			p.asked = now
			sends = append(sends, m.pull(node, 0))
		}
	}
	return sends
}

// relay says for those who restart what they said last: who starts meanwhile must
// not take what they keep.
func (m *Machine) relay(now time.Time, to lb.NodeName) []Send {
	var sends []Send
	for node, p := range m.peers {
		if node == to || !p.live || !p.restarting(now) || p.sequence == 0 {
			continue
		}
		msg := &wire.Message{Kind: wire.KindState, From: node, Incarnation: p.incarnation, Sequence: p.sequence, Interval: p.interval, State: p.state}
		msg.State.Back = p.back.Sub(now)
		sends = append(sends, Send{To: to, Message: msg})
	}
	return sends
}

// Own is the state of this speaker as a message that goes over a connection.
func (m *Machine) Own(now time.Time) *wire.Message {
	msg := m.stateTo(now, "", 0).Message
	msg.Stream = true
	return msg
}

func (m *Machine) pull(node lb.NodeName, nonce uint64) Send {
	msg := m.message(wire.KindPull)
	msg.Nonce = nonce
	return Send{To: node, Message: msg}
}

// absent says whether a speaker should be there and was not heard for as long as one
// may be silent: who has not heard it since he started is no witness for it.
func (m *Machine) absent(now time.Time, p *peer) bool {
	return !p.live && now.Sub(p.heard) >= m.silence(p) && now.Sub(p.added) >= m.silence(p)
}

// regularBeats are those that come with the time. They are quiet unless they accuse.
func (m *Machine) regularBeats(now time.Time) []Send {
	sends := m.beats(now, m.listeners(now))
	for i := range sends {
		sends[i].Quiet = len(sends[i].Message.Suspects) == 0
	}
	return sends
}

func (m *Machine) beats(now time.Time, to []lb.NodeName) []Send {
	msg := m.message(wire.KindBeat)
	for node, p := range m.peers {
		// One that was convicted stays on the list: who suspects it a moment later
		// must not take this speaker's silence for a denial.
		if !p.suspected.IsZero() || p.dead || m.absent(now, p) {
			msg.Suspects = append(msg.Suspects, node)
		}
	}
	slices.Sort(msg.Suspects)
	sends := make([]Send, 0, len(to))
	for _, node := range to {
		sends = append(sends, Send{To: node, Message: msg})
	}
	return sends
}
