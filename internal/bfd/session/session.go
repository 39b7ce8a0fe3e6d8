// Package session is one BFD session (RFC 5880 section 6.8) in asynchronous mode: a
// machine without a clock and without sockets. Packets and the time go in, packets
// come out.
package session

import (
	"time"

	"github.com/lbstack/lbstack/internal/bfd"
	"github.com/lbstack/lbstack/internal/bfd/wire"
)

// slow is how often a side sends at most while its session is not Up (RFC 5880
// section 6.8.3).
const slow = time.Second

// intervals are those that this side sends, and that a poll sequence changes.
type intervals struct{ tx, rx time.Duration }

// remote is what the last packet of the other side reported.
type remote struct {
	discriminator uint32
	multiplier    uint8
	minTx, minRx  time.Duration
	demand        bool
}

// stranger is the other side before a packet of it arrived (RFC 5880 section 6.8.1).
var stranger = remote{minRx: time.Microsecond}

// Machine is one side of a session. Make it with New; it is not safe for use by
// several goroutines at once.
type Machine struct {
	discriminator uint32
	profile       bfd.Profile
	chance        func() float64

	status bfd.Status
	remote remote

	advertised intervals // what packets say
	inEffect   intervals // what is lived by: it lags behind while a poll sequence runs
	polling    bool
	polled     bool // a packet of the poll sequence was sent

	// doubted is a packet that came while the session is Up and does not name it, and
	// doubtUntil is when it counts unless another packet arrives first; zero: there is none.
	doubted    wire.Packet
	doubtUntil time.Time

	fraction float64   // of the interval that is waited before the next packet
	sent     time.Time // the last packet that was not an answer to a poll
	received time.Time // the last packet of the other side, or when it was forgiven
	ran      time.Time // when this side did something last
	grace    time.Duration
	forgiven bool // since the last packet
}

// New returns a session that is Down. The discriminator is not 0 and is that of no
// other session of this system. Chance returns numbers from 0 to less than 1, for
// jitter.
func New(now time.Time, discriminator uint32, p bfd.Profile, chance func() float64) *Machine {
	m := &Machine{discriminator: discriminator, profile: p.WithDefaults(), chance: chance, remote: stranger}
	m.status = bfd.Status{State: bfd.Down, Remote: bfd.Down, Since: now}
	m.adopt()
	m.fraction = m.jitter()
	return m
}

// Status of the session.
func (m *Machine) Status() bfd.Status {
	s := m.status
	if m.transmits() {
		s.Transmit = m.interval()
	}
	if m.remote.discriminator != 0 {
		s.Receive, s.Detection = m.agreed(), m.detection()
	}
	return s
}

// Discriminator is this side's.
func (m *Machine) Discriminator() uint32 { return m.discriminator }

// Profile that the session is watched by.
func (m *Machine) Profile() bfd.Profile { return m.profile }

// Receive takes a packet of the other side (RFC 5880 section 6.8.6). The caller has
// found that it belongs to this session. What it returns is to be sent at once.
//
// While the session is Up the other side knows our discriminator. A packet without it comes from a
// side that has restarted or has declared us down, or from anybody who forges an address. It counts
// after one interval, unless a packet that names the session shows that nothing has changed there.
func (m *Machine) Receive(now time.Time, p wire.Packet) []wire.Packet {
	if m.status.State == bfd.Up && p.Yours == 0 {
		m.ran = now
		if m.doubtUntil.IsZero() {
			m.doubted, m.doubtUntil = p, now.Add(m.agreed()*5/4) // jitter only takes off
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
	m.remote = remote{p.Mine, p.Multiplier, p.DesiredMinTx, p.RequiredMinRx, p.Demand}
	if p.Final {
		m.final()
	}
	if m.status.State == bfd.AdminDown {
		return nil
	}
	m.received, m.grace, m.forgiven = now, 0, false
	changed := m.react(now, p.State)
	var out []wire.Packet
	if p.Poll {
		// Without respect to any limit of transmission (section 6.8.7).
		out = append(out, m.packet(true))
	}
	if changed && (m.polling || !p.Poll) {
		out = append(out, m.send(now))
	}
	return out
}

// react is the state machine of RFC 5880 section 6.2.
func (m *Machine) react(now time.Time, remote bfd.State) (changed bool) {
	switch {
	case remote == bfd.AdminDown:
		m.status.Failed = false
		if m.status.State != bfd.Down {
			return m.leave(now, bfd.NeighborSignaledDown)
		}
	case m.status.State == bfd.Down && remote == bfd.Down:
		return m.enter(now, bfd.Init)
	case m.status.State == bfd.Down && remote == bfd.Init, m.status.State == bfd.Init && remote != bfd.Down:
		return m.enter(now, bfd.Up)
	case m.status.State == bfd.Up && remote == bfd.Down:
		return m.leave(now, bfd.NeighborSignaledDown)
	}
	return false
}

// leave goes to Down.
func (m *Machine) leave(now time.Time, why bfd.Diagnostic) bool {
	if m.status.State == bfd.Up && m.status.Remote != bfd.AdminDown {
		m.status.Flaps++
		m.status.Failed = true
	}
	m.status.Diagnostic = why
	return m.enter(now, bfd.Down)
}

func (m *Machine) enter(now time.Time, s bfd.State) bool {
	m.status.State, m.status.Since = s, now
	m.status.Transitions++
	m.doubtUntil = time.Time{}
	if s == bfd.Up {
		m.status.Failed = false
		m.status.Diagnostic = bfd.NoDiagnostic
		m.propose()
	} else {
		m.adopt()
	}
	return true
}

// SetAdminDown takes this side down, or lets it begin again (RFC 5880 section
// 6.8.16). While it is down this is sent to the other side, by what this returns and by
// Tick.
func (m *Machine) SetAdminDown(now time.Time, down bool) []wire.Packet {
	if down == (m.status.State == bfd.AdminDown) {
		return nil
	}
	m.status.Failed = false
	if !down {
		m.remote, m.status.Remote = stranger, bfd.Down
		m.enter(now, bfd.Down)
		return nil
	}
	m.status.Diagnostic = bfd.AdministrativelyDown
	m.enter(now, bfd.AdminDown)
	return m.sendState(now)
}

// SetProfile changes how closely the path is watched. A session that is Up stays so:
// the other side gets them by a poll sequence.
func (m *Machine) SetProfile(p bfd.Profile) {
	m.profile = p.WithDefaults()
	if m.status.State == bfd.Up {
		m.propose()
	} else {
		m.adopt()
	}
}

// Tick does what is due. What it returns is to be sent at once.
func (m *Machine) Tick(now time.Time) []wire.Packet {
	m.forgive(now)
	m.ran = now
	var out []wire.Packet
	if at, watched := m.deadline(); watched && !now.Before(at) {
		if m.expire(now) {
			out = m.sendState(now)
		}
	}
	if !m.doubtUntil.IsZero() && !now.Before(m.doubtUntil) {
		out = append(out, m.accept(now, m.doubted)...)
	}
	if at, sends := m.nextSend(); sends && !now.Before(at) {
		out = append(out, m.send(now))
	}
	return out
}

// expire is when the detection time has passed (RFC 5880 section 6.8.4): whatever the
// state, the other side is forgotten (section 6.8.1).
func (m *Machine) expire(now time.Time) (changed bool) {
	m.remote = stranger
	if m.status.State == bfd.Init || m.status.State == bfd.Up {
		changed = m.leave(now, bfd.DetectionTimeExpired)
	}
	// What an administrator set remains until something else is received.
	if m.status.Remote != bfd.AdminDown {
		m.status.Remote = bfd.Down
	}
	return changed
}
