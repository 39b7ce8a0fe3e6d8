package session

import (
	"time"

	"github.com/lbstack/lbstack/internal/bfd"
	"github.com/lbstack/lbstack/internal/bfd/wire"
)

// Next returns when Tick is due. Nothing may be due: a passive side that has received
// nobody waits.
func (m *Machine) Next() (at time.Time, due bool) {
	at, due = m.nextSend()
	if !m.doubtUntil.IsZero() && (!due || m.doubtUntil.Before(at)) {
		at, due = m.doubtUntil, true
	}
	if deadline, watched := m.deadline(); watched && (!due || deadline.Before(at)) {
		return deadline, true
	}
	return at, due
}

// deadline is when the other side has been silent for too long.
func (m *Machine) deadline() (at time.Time, watched bool) {
	if m.remote.discriminator == 0 || m.status.State == bfd.AdminDown {
		return time.Time{}, false
	}
	return m.received.Add(m.detection() + m.grace), true
}

// detection is the detection time of asynchronous mode (RFC 5880 section 6.8.4).
func (m *Machine) detection() time.Duration {
	return time.Duration(m.remote.multiplier) * m.agreed()
}

// agreed is how often the other side is to send.
func (m *Machine) agreed() time.Duration { return max(m.inEffect.rx, m.remote.minTx) }

// interval is how often this side sends, before jitter (RFC 5880 section 6.8.2).
func (m *Machine) interval() time.Duration { return max(m.inEffect.tx, m.remote.minRx) }

// transmits reports whether periodic packets are sent (RFC 5880 section 6.8.7).
func (m *Machine) transmits() bool {
	switch {
	case m.profile.Passive && m.remote.discriminator == 0, m.remote.minRx == 0:
		return false
	case m.remote.demand && m.status.State == bfd.Up && m.status.Remote == bfd.Up:
		return m.polling
	}
	return true
}

// nextSend is when the next periodic packet is due. It is counted from the last one,
// so that an interval that becomes shorter counts at once (RFC 5880 section 6.8.3).
func (m *Machine) nextSend() (at time.Time, sends bool) {
	if !m.transmits() {
		return time.Time{}, false
	}
	return m.sent.Add(time.Duration(float64(m.interval()) * m.fraction)), true
}

// jitter is the part of the interval to wait: 75 to 100 %, or 75 to 90 % if not even
// one packet may be missed (RFC 5880 section 6.8.7).
func (m *Machine) jitter() float64 {
	most := 1.0
	if m.profile.Multiplier == 1 {
		most = 0.9
	}
	return 0.75 + (most-0.75)*m.chance()
}

// Repeat sends the state again, ahead of its time, if this side may send at all. What
// it returns is to be sent at once.
func (m *Machine) Repeat(now time.Time) []wire.Packet { return m.sendState(now) }

// sendState sends that the state has changed, if this side is to send at all.
func (m *Machine) sendState(now time.Time) []wire.Packet {
	if m.profile.Passive && m.remote.discriminator == 0 {
		return nil
	}
	return []wire.Packet{m.send(now)}
}

// send makes the next packet that does not answer a poll.
func (m *Machine) send(now time.Time) wire.Packet {
	m.sent, m.fraction = now, m.jitter()
	return m.packet(false)
}

func (m *Machine) packet(final bool) wire.Packet {
	m.status.Out++
	m.polled = m.polled || m.polling && !final
	return wire.Packet{
		Diagnostic: m.status.Diagnostic, State: m.status.State,
		Poll: m.polling && !final, Final: final,
		Multiplier: m.profile.Multiplier, Mine: m.discriminator, Yours: m.remote.discriminator,
		DesiredMinTx: m.advertised.tx, RequiredMinRx: m.advertised.rx,
	}
}

// wanted are the intervals of the profile, in this state.
func (m *Machine) wanted() intervals {
	w := intervals{tx: encodable(m.profile.Transmit), rx: encodable(m.profile.Receive)}
	if m.status.State != bfd.Up {
		w.tx = max(w.tx, slow)
	}
	return w
}

// encodable rounds to what a packet can carry; 0 would mean never.
func encodable(d time.Duration) time.Duration {
	return min(max(d.Truncate(time.Microsecond), time.Microsecond), wire.MaxInterval)
}

// adopt makes the wanted intervals count at once: the session is not Up.
func (m *Machine) adopt() {
	m.advertised = m.wanted()
	m.inEffect = m.advertised
	m.polling = false
}

// propose sends the wanted intervals by a poll sequence. Until it ends nothing is
// sent less often, and silence is not noticed sooner (RFC 5880 section 6.8.3). Another
// change waits for its end: the answer would not say which of the two it is for.
func (m *Machine) propose() {
	if m.polling || m.advertised == m.wanted() {
		return
	}
	m.polling, m.polled = true, false
	m.advertised = m.wanted()
	m.inEffect = intervals{tx: min(m.inEffect.tx, m.advertised.tx), rx: max(m.inEffect.rx, m.advertised.rx)}
}

// final ends the poll sequence (RFC 5880 section 6.5). One that comes before the poll
// was sent answers an earlier one.
func (m *Machine) final() {
	if m.polling && m.polled {
		m.polling = false
		m.inEffect = m.advertised
		m.propose()
	}
}

// forgive does not blame the other side for the time in which this one did not run:
// packets that it sent meanwhile may wait to be read. It gets that time, and one interval at
// least, but only once.
func (m *Machine) forgive(now time.Time) {
	due, _ := m.Next()
	if due.Before(m.ran) {
		due = m.ran
	}
	deadline, watched := m.deadline()
	late := now.Sub(due)
	alive := m.status.State == bfd.Init || m.status.State == bfd.Up
	if !watched || !alive || m.forgiven || now.Before(deadline) || late <= m.agreed() {
		return
	}
	m.forgiven = true
	m.status.Stalls++
	m.grace = max(late, now.Sub(deadline)+m.agreed())
}
