package session

import (
	"time"

	"github.com/lbstack/lbstack/internal/bfd"
	"github.com/lbstack/lbstack/internal/bfd/wire"
)

// Next returns when to call Tick. due is false while there is nothing to do, for example for a passive
// side that has received no packet yet.
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

// deadline returns when the detection time ends; watched is false while no packets are expected.
func (m *Machine) deadline() (at time.Time, watched bool) {
	if m.remote.discriminator == 0 || m.status.State == bfd.AdminDown {
		return time.Time{}, false
	}
	return m.received.Add(m.detectionTime() + m.grace), true
}

// detectionTime returns the detection time of asynchronous mode (RFC 5880 section 6.8.4).
func (m *Machine) detectionTime() time.Duration {
	return time.Duration(m.remote.multiplier) * m.receiveInterval()
}

// receiveInterval returns the interval at which the other side should send.
func (m *Machine) receiveInterval() time.Duration { return max(m.inEffect.rx, m.remote.minTx) }

// sendInterval returns the interval at which this side sends, before jitter (RFC 5880 section 6.8.2).
func (m *Machine) sendInterval() time.Duration { return max(m.inEffect.tx, m.remote.minRx) }

// sendsPeriodically reports whether periodic packets are sent (RFC 5880 section 6.8.7).
func (m *Machine) sendsPeriodically() bool {
	switch {
	case m.profile.Passive && m.remote.discriminator == 0, m.remote.minRx == 0:
		return false
	case m.remote.demand && m.status.State == bfd.Up && m.status.Remote == bfd.Up:
		return m.polling
	}
	return true
}

// nextSend returns when the next periodic packet is due. The interval is counted from the last packet, so
// that an interval that becomes shorter takes effect at once (RFC 5880 section 6.8.3).
func (m *Machine) nextSend() (at time.Time, sends bool) {
	if !m.sendsPeriodically() {
		return time.Time{}, false
	}
	return m.sent.Add(time.Duration(float64(m.sendInterval()) * m.fraction)), true
}

// jitterFraction returns the part of the interval to wait: 75 to 100 %, or 75 to 90 % if the multiplier is 1
// (RFC 5880 section 6.8.7).
func (m *Machine) jitterFraction() float64 {
	most := 1.0
	if m.profile.Multiplier == 1 {
		most = 0.9
	}
	return 0.75 + (most-0.75)*m.chance()
}

// RepeatState returns a packet with the present state, to send at once although no packet is due. It
// returns no packet while a passive side may not send.
func (m *Machine) RepeatState(now time.Time) []wire.Packet { return m.newStatePackets(now) }

// newStatePackets returns a packet with the present state. It returns no packet while a passive side
// may not send.
func (m *Machine) newStatePackets(now time.Time) []wire.Packet {
	if m.profile.Passive && m.remote.discriminator == 0 {
		return nil
	}
	return []wire.Packet{m.nextPacket(now)}
}

// nextPacket returns the next packet that does not answer a poll.
func (m *Machine) nextPacket(now time.Time) wire.Packet {
	m.sent, m.fraction = now, m.jitterFraction()
	return m.makePacket(false)
}

func (m *Machine) makePacket(final bool) wire.Packet {
	m.status.Out++
	m.polled = m.polled || m.polling && !final
	return wire.Packet{
		Diagnostic: m.status.Diagnostic, State: m.status.State,
		Poll: m.polling && !final, Final: final,
		Multiplier: m.profile.Multiplier, Mine: m.discriminator, Yours: m.remote.discriminator,
		DesiredMinTx: m.advertised.tx, RequiredMinRx: m.advertised.rx,
	}
}

// wantedIntervals returns the intervals of the profile for the present state.
func (m *Machine) wantedIntervals() intervals {
	w := intervals{tx: encodableInterval(m.profile.Transmit), rx: encodableInterval(m.profile.Receive)}
	if m.status.State != bfd.Up {
		w.tx = max(w.tx, minDownInterval)
	}
	return w
}

// encodableInterval rounds an interval to one that a packet can have. The result is not 0, which would
// mean never.
func encodableInterval(d time.Duration) time.Duration {
	return min(max(d.Truncate(time.Microsecond), time.Microsecond), wire.MaxInterval)
}

// adoptWantedIntervals puts the wanted intervals into effect at once. Only a session that is not Up may do that.
func (m *Machine) adoptWantedIntervals() {
	m.advertised = m.wantedIntervals()
	m.inEffect = m.advertised
	m.polling = false
}

// startPoll starts a poll sequence for the wanted intervals. Until it ends, this side does not send
// less often, and does not detect a failure sooner (RFC 5880 section 6.8.3). If the wanted intervals
// change during a poll sequence, the change waits for the next one: a Final packet does not show which
// change it answers.
func (m *Machine) startPoll() {
	if m.polling || m.advertised == m.wantedIntervals() {
		return
	}
	m.polling, m.polled = true, false
	m.advertised = m.wantedIntervals()
	m.inEffect = intervals{tx: min(m.inEffect.tx, m.advertised.tx), rx: max(m.inEffect.rx, m.advertised.rx)}
}

// endPoll ends the poll sequence (RFC 5880 section 6.5). A Final packet that arrives before the first
// packet of this poll sequence was sent answers an earlier poll, and is ignored.
func (m *Machine) endPoll() {
	if m.polling && m.polled {
		m.polling = false
		m.inEffect = m.advertised
		m.startPoll()
	}
}

// extendDeadline gives the other side more time if this side did not run for longer than one interval:
// packets that arrived in that time may still wait to be read. The other side gets the time in which
// this side did not run, and at least one interval from now. This happens at most once between two
// packets.
func (m *Machine) extendDeadline(now time.Time) {
	due, _ := m.Next()
	if due.Before(m.ran) {
		due = m.ran
	}
	deadline, watched := m.deadline()
	late := now.Sub(due)
	alive := m.status.State == bfd.Init || m.status.State == bfd.Up
	if !watched || !alive || m.extended || now.Before(deadline) || late <= m.receiveInterval() {
		return
	}
	m.extended = true
	m.status.Stalls++
	m.grace = max(late, now.Sub(deadline)+m.receiveInterval())
}
