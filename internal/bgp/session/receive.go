package session

import (
	"cmp"
	"fmt"
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
)

// The types of received messages, besides bgp.Open and *bgp.Notification.
type (
	// Keepalive is a KEEPALIVE.
	Keepalive struct{}
	// Update is an UPDATE. Its content is ignored: this side learns no routes.
	Update struct{}
	// RouteRefresh is a ROUTE-REFRESH.
	RouteRefresh struct{}
	// MalformedMessage is an invalid message, with the notification that answers it.
	MalformedMessage struct{ Notification *bgp.Notification }
)

// HandleMessage handles a message of the router.
func (m *Machine) HandleMessage(now time.Time, side Side, message any) []Action {
	c := m.conns[side]
	if c == nil {
		return m.takeActions(now)
	}
	switch message := message.(type) {
	case bgp.Open:
		m.handleOpen(now, side, c, message)
	case *bgp.Notification:
		m.conns[side] = nil
		m.out = append(m.out, Close{side, nil})
		rejected := message.Code == bgp.Cease && (message.Subcode == bgp.ConnectionRejected || message.Subcode == bgp.ConnectionCollision)
		m.handleLostConn(now, c, "the router ended the connection: "+message.String(), !rejected)
	case MalformedMessage:
		m.endConn(now, side, message.Notification, "the router sent an invalid message: "+message.Notification.String())
	case Keepalive:
		if c.state == OpenConfirm {
			m.establish(now, side, c)
		}
		m.restartHold(now, side, c)
	case Update:
		m.restartHold(now, side, c)
	case RouteRefresh:
		m.restartHold(now, side, c)
		switch {
		case c.state != Established:
		case now.Sub(m.refreshed) >= refreshInterval:
			m.answerRefresh(now)
		case m.refreshAt.IsZero():
			m.refreshAt = m.refreshed.Add(refreshInterval)
		}
	}
	return m.takeActions(now)
}

// restartHold restarts the hold timer of an established session. Before the session is established, a
// message that restarts the timer is an error (RFC 6608): only an OPEN, and then a KEEPALIVE, may arrive.
func (m *Machine) restartHold(now time.Time, side Side, c *conn) {
	switch c.state {
	case Established:
		if c.hold > 0 {
			c.holdAt = now.Add(c.hold)
		}
	case OpenSent:
		m.rejectUnexpected(now, side, bgp.UnexpectedInOpenSent)
	case OpenConfirm:
		m.rejectUnexpected(now, side, bgp.UnexpectedInOpenConfirm)
	}
}

func (m *Machine) rejectUnexpected(now time.Time, side Side, where uint8) {
	n := &bgp.Notification{Code: bgp.StateMachineError, Subcode: where}
	m.endConn(now, side, n, "the router sent a message that is not allowed in the state of the session: "+n.String())
}

func (m *Machine) handleOpen(now time.Time, side Side, c *conn, open bgp.Open) {
	if c.state != OpenSent {
		where := bgp.UnexpectedInOpenConfirm
		if c.state == Established {
			where = bgp.UnexpectedInEstablished
		}
		m.rejectUnexpected(now, side, where)
		return
	}
	if subcode, why := m.whyRefused(open); why != "" {
		m.endConn(now, side, &bgp.Notification{Code: bgp.OpenError, Subcode: subcode}, why)
		return
	}
	if !m.resolveCollision(side, open) {
		return
	}
	c.opened = open
	c.hold = min(m.config.Hold, open.Hold)
	if c.keepalive = c.hold / 3; m.config.Keepalive > 0 && c.hold > 0 {
		c.keepalive = min(m.config.Keepalive, c.keepalive)
	}
	c.state, c.holdAt, c.sendAt = OpenConfirm, time.Time{}, time.Time{}
	if c.hold > 0 {
		c.holdAt, c.sendAt = now.Add(c.hold), now.Add(m.withJitter(c.keepalive))
	}
	m.out = append(m.out, SendKeepalive{side})
}

// whyRefused returns why the OPEN of the router is refused (RFC 4271 section 6.2); empty: the OPEN is
// accepted.
func (m *Machine) whyRefused(open bgp.Open) (subcode uint8, why string) {
	if why := m.whyWrongASN(open.ASN); why != "" {
		return bgp.BadPeerASN, why
	}
	if !open.RouterID.Is4() || open.RouterID.IsUnspecified() {
		return bgp.BadRouterID, "the router sent the BGP identifier 0.0.0.0, which is invalid"
	}
	if open.RouterID == m.config.RouterID && open.ASN == m.config.ASN {
		return bgp.BadRouterID, fmt.Sprintf("the router has the same BGP identifier as this node, %s: set routerID of the BGPPeer to another address", open.RouterID)
	}
	if open.Hold != 0 && open.Hold < 3*time.Second {
		return bgp.UnacceptableHoldTime, fmt.Sprintf("the router requests a hold time of %s, and at least 3s are required: configure a longer hold time on the router", open.Hold)
	}
	return 0, ""
}

// resolveCollision is called when an OPEN has arrived on the connection of a side, and reports whether this
// connection stays. If the router has sent an OPEN on the other connection too, resolveCollision closes one
// of the two (RFC 4271 section 6.8, and for equal identifiers RFC 6286 section 2.3).
func (m *Machine) resolveCollision(side Side, open bgp.Open) bool {
	other := TheirSide - side
	c := m.conns[other]
	if c == nil || c.state != OpenConfirm {
		return true
	}
	theirs := addressLess(m.config.RouterID, open.RouterID)
	if m.config.RouterID == open.RouterID {
		theirs = cmp.Less(m.config.ASN, open.ASN)
	}
	loser := TheirSide
	if theirs {
		loser = OurSide
	}
	m.closeConn(loser, bgp.NewCease(bgp.ConnectionCollision, ""))
	return loser != side
}

func (m *Machine) establish(now time.Time, side Side, c *conn) {
	if other := TheirSide - side; m.conns[other] != nil {
		m.closeConn(other, bgp.NewCease(bgp.ConnectionCollision, ""))
	}
	c.state, c.upSince = Established, now
	m.retryAt = time.Time{}
	m.config.Restarted = false // the next sessions do not follow a restart of the speaker
	m.lastIsRefusal = false
	m.out = append(m.out, SessionUp{Negotiated{
		Side: side, Remote: c.opened, Capabilities: m.ownOpen().Capabilities.SharedWith(c.opened.Capabilities),
		Hold: c.hold, Keepalive: c.keepalive, Internal: c.opened.ASN == m.config.ASN,
	}})
}
