// Package session is the state machine of one BFD session (RFC 5880 section 6.8) in asynchronous mode.
// It has no clock and no sockets: each method takes packets and the time, and returns the packets to
// send.
package session

import (
	"time"

	"github.com/lbstack/lbstack/internal/bfd"
	"github.com/lbstack/lbstack/internal/bfd/wire"
)

// minDownInterval is the shortest interval at which a side sends while its session is not Up (RFC 5880
// section 6.8.3).
const minDownInterval = time.Second

// intervals are the two intervals that this side sends in its packets (DesiredMinTx and RequiredMinRx).
// While the session is Up, they change only in a poll sequence.
type intervals struct{ tx, rx time.Duration }

// remoteState has what the last packet from the other side reported.
type remoteState struct {
	discriminator uint32
	multiplier    uint8
	minTx, minRx  time.Duration
	demand        bool
}

// initialRemoteState is the state of the other side before its first packet arrives (RFC 5880 section 6.8.1).
var initialRemoteState = remoteState{minRx: time.Microsecond}

// Machine is one side of a session. Make it with New. One goroutine at a time may use it.
type Machine struct {
	discriminator uint32
	profile       bfd.Profile
	chance        func() float64

	status bfd.Status
	remote remoteState

	advertised intervals // sent in packets
	inEffect   intervals // used by this side; equal to advertised unless a poll sequence is running
	polling    bool
	polled     bool // a packet of the running poll sequence was sent

	// doubted is a packet that arrived while the session was Up, and in which our discriminator is missing:
	// see Receive. doubtUntil is when this packet is accepted, unless a packet with our discriminator
	// arrives first; zero: no packet waits.
	doubted    wire.Packet
	doubtUntil time.Time

	fraction float64       // part of the interval to wait before the next packet (jitter)
	sent     time.Time     // when the last packet was sent, not counting answers to polls
	received time.Time     // when the last packet of the other side was accepted
	ran      time.Time     // when a method of this side last handled a packet or a timer
	grace    time.Duration // added to the detection time until the next packet arrives: see extendDeadline
	extended bool          // grace has been set since the last packet arrived
}

// New returns a session that is Down. The discriminator must not be 0, and no other session of this
// system may have it. chance returns random numbers in [0, 1), for jitter.
func New(now time.Time, discriminator uint32, p bfd.Profile, chance func() float64) *Machine {
	m := &Machine{discriminator: discriminator, profile: p.WithDefaults(), chance: chance, remote: initialRemoteState}
	m.status = bfd.Status{State: bfd.Down, Remote: bfd.Down, Since: now}
	m.adoptWantedIntervals()
	m.fraction = m.jitterFraction()
	return m
}

// Status returns the status of the session.
func (m *Machine) Status() bfd.Status {
	s := m.status
	if m.sendsPeriodically() {
		s.Transmit = m.sendInterval()
	}
	if m.remote.discriminator != 0 {
		s.Receive, s.Detection = m.receiveInterval(), m.detectionTime()
	}
	return s
}

// Discriminator returns the discriminator of this side.
func (m *Machine) Discriminator() uint32 { return m.discriminator }

// Profile returns the profile of the session, with defaults.
func (m *Machine) Profile() bfd.Profile { return m.profile }

// Receive handles a packet of the other side (RFC 5880 section 6.8.6), and returns packets to send at
// once. The caller has checked that the packet belongs to this session.
//
// While the session is Up, the packets of the other side have our discriminator. A packet without it
// comes from another side that has restarted or has declared this side down, or from a host that forges
// the address. Such a packet is accepted after one interval, unless a packet with our discriminator
// arrives first.
func (m *Machine) Receive(now time.Time, p wire.Packet) []wire.Packet {
	if m.status.State == bfd.Up && p.Yours == 0 {
		m.ran = now
		if m.doubtUntil.IsZero() {
			m.doubted, m.doubtUntil = p, now.Add(m.receiveInterval()*5/4) // jitter only shortens intervals
		}
		return nil
	}
	return m.accept(now, p)
}

func (m *Machine) accept(now time.Time, p wire.Packet) []wire.Packet {
	m.doubtUntil = time.Time{}
	m.ran = now
	m.status.In++
	m.status.Remote, m.status.RemoteDiagnostic = p.State, p.Diagnostic
	m.remote = remoteState{p.Mine, p.Multiplier, p.DesiredMinTx, p.RequiredMinRx, p.Demand}
	if p.Final {
		m.endPoll()
	}
	if m.status.State == bfd.AdminDown {
		return nil
	}
	m.received, m.grace, m.extended = now, 0, false
	changed := m.applyRemoteState(now, p.State)
	var out []wire.Packet
	if p.Poll {
		// Answered at once, whatever the transmit interval (section 6.8.7).
		out = append(out, m.makePacket(true))
	}
	if changed && (m.polling || !p.Poll) {
		out = append(out, m.nextPacket(now))
	}
	return out
}

// applyRemoteState is the state machine of RFC 5880 section 6.2: it sets the state that follows from the
// state of the other side.
func (m *Machine) applyRemoteState(now time.Time, remote bfd.State) (changed bool) {
	switch {
	case remote == bfd.AdminDown:
		m.status.Failed = false
		if m.status.State != bfd.Down {
			return m.enterDown(now, bfd.NeighborSignaledDown)
		}
	case m.status.State == bfd.Down && remote == bfd.Down:
		return m.enterState(now, bfd.Init)
	case m.status.State == bfd.Down && remote == bfd.Init, m.status.State == bfd.Init && remote != bfd.Down:
		return m.enterState(now, bfd.Up)
	case m.status.State == bfd.Up && remote == bfd.Down:
		return m.enterDown(now, bfd.NeighborSignaledDown)
	}
	return false
}

// enterDown enters Down. Leaving Up counts as a failure unless the other side is AdminDown.
func (m *Machine) enterDown(now time.Time, why bfd.Diagnostic) bool {
	if m.status.State == bfd.Up && m.status.Remote != bfd.AdminDown {
		m.status.Flaps++
		m.status.Failed = true
	}
	m.status.Diagnostic = why
	return m.enterState(now, bfd.Down)
}

func (m *Machine) enterState(now time.Time, s bfd.State) bool {
	m.status.State, m.status.Since = s, now
	m.status.Transitions++
	m.doubtUntil = time.Time{}
	if s == bfd.Up {
		m.status.Failed = false
		m.status.Diagnostic = bfd.NoDiagnostic
		m.startPoll()
	} else {
		m.adoptWantedIntervals()
	}
	return true
}

// SetAdminDown takes this side down, or lets it begin again (RFC 5880 section 6.8.16). It returns
// packets to send at once. While this side is down, those packets and the packets of Tick report
// AdminDown.
func (m *Machine) SetAdminDown(now time.Time, down bool) []wire.Packet {
	if down == (m.status.State == bfd.AdminDown) {
		return nil
	}
	m.status.Failed = false
	if !down {
		m.remote, m.status.Remote = initialRemoteState, bfd.Down
		m.enterState(now, bfd.Down)
		return nil
	}
	m.status.Diagnostic = bfd.AdministrativelyDown
	m.enterState(now, bfd.AdminDown)
	return m.newStatePackets(now)
}

// SetProfile changes the profile. A session that is Up stays Up, and sends the new intervals in a poll
// sequence.
func (m *Machine) SetProfile(p bfd.Profile) {
	m.profile = p.WithDefaults()
	if m.status.State == bfd.Up {
		m.startPoll()
	} else {
		m.adoptWantedIntervals()
	}
}

// Tick handles what is due, and returns packets to send at once.
func (m *Machine) Tick(now time.Time) []wire.Packet {
	m.extendDeadline(now)
	m.ran = now
	var out []wire.Packet
	if at, watched := m.deadline(); watched && !now.Before(at) {
		if m.expire(now) {
			out = m.newStatePackets(now)
		}
	}
	if !m.doubtUntil.IsZero() && !now.Before(m.doubtUntil) {
		out = append(out, m.accept(now, m.doubted)...)
	}
	if at, sends := m.nextSend(); sends && !now.Before(at) {
		out = append(out, m.nextPacket(now))
	}
	return out
}

// expire handles the end of the detection time (RFC 5880 section 6.8.4). In every state it resets what
// the other side reported (section 6.8.1).
func (m *Machine) expire(now time.Time) (changed bool) {
	m.remote = initialRemoteState
	if m.status.State == bfd.Init || m.status.State == bfd.Up {
		changed = m.enterDown(now, bfd.DetectionTimeExpired)
	}
	// If the other side reported AdminDown, Remote stays AdminDown until another packet arrives.
	if m.status.Remote != bfd.AdminDown {
		m.status.Remote = bfd.Down
	}
	return changed
}
