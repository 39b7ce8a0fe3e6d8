package session

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
)

const (
	// chaos is how long connections are lost; calm is the following time without losses.
	chaos, calm = 60 * time.Second, 60 * time.Second
	runs        = 400
)

// simulation is two machines that connect to each other over a bad network.
type simulation struct {
	*testing.T
	random *rand.Rand
	now    time.Time
	bad    bool
	events []*occurrence
	ends   [2]*end
}

// occurrence is an event at a time.
type occurrence struct {
	at time.Time
	do func()
}

// end is one of the two machines, with its connections by side.
type end struct {
	sim     *simulation
	name    string
	machine *Machine
	other   *end
	conns   [sideCount]*wireConn
	offered *wireConn
}

// wireConn is one end of a connection: messages arrive in order at peer.
type wireConn struct {
	owner  *end
	side   Side
	peer   *wireConn
	last   time.Time // when the last sent message arrives
	closed bool
}

func (s *simulation) after(d time.Duration, do func()) {
	s.events = append(s.events, &occurrence{s.now.Add(d), do})
}

// next removes the earliest occurrence; of several at one time, a random one.
func (s *simulation) next() *occurrence {
	s.random.Shuffle(len(s.events), func(i, j int) { s.events[i], s.events[j] = s.events[j], s.events[i] })
	first := 0
	for i, e := range s.events {
		if e.at.Before(s.events[first].at) {
			first = i
		}
	}
	e := s.events[first]
	s.events = append(s.events[:first], s.events[first+1:]...)
	return e
}

// delay returns a delay of the network. While the network is bad, few delays are long.
func (s *simulation) delay() time.Duration {
	if s.bad && s.random.IntN(10) == 0 {
		return time.Duration(s.random.IntN(5000)) * time.Millisecond
	}
	return time.Duration(s.random.IntN(30)) * time.Millisecond
}

func (e *end) perform(actions []Action) {
	for _, action := range actions {
		switch a := action.(type) {
		case Dial:
			e.dial()
		case SendOpen:
			e.conns[a.Side] = e.offered
			e.offered = nil
			e.conns[a.Side].send(a.Open)
		case SendKeepalive:
			e.conns[a.Side].send(Keepalive{})
		case Close:
			if c := e.conns[a.Side]; c != nil {
				e.conns[a.Side] = nil
				c.close(a.Notify)
			}
		case Reject:
			e.offered.close(a.Notify)
			e.offered = nil
		}
	}
	established := 0
	for _, c := range e.machine.conns {
		if c != nil && c.state == Established {
			established++
		}
	}
	if established > 1 {
		e.sim.Fatalf("%s has two established connections", e.name)
	}
}

func (e *end) dial() {
	s := e.sim
	if s.bad && s.random.IntN(3) == 0 {
		s.after(4*time.Second, func() { e.perform(e.machine.HandleDialFailure(s.now, "no answer")) })
		return
	}
	ours := &wireConn{owner: e, side: OurSide}
	theirs := &wireConn{owner: e.other, side: TheirSide, peer: ours}
	ours.peer = theirs
	arrives := s.delay()
	ours.last, theirs.last = s.now.Add(2*arrives), s.now.Add(2*arrives)
	s.after(arrives, func() { theirs.offer() })
	s.after(2*arrives, func() { ours.offer() })
	if s.bad && s.random.IntN(4) == 0 {
		s.after(s.delay()*20, func() { ours.lose(); theirs.lose() })
	}
}

// offer passes an event to the owner of a connection, if the owner still runs.
func (c *wireConn) offer() {
	if c.closed {
		if c.side == OurSide {
			c.owner.perform(c.owner.machine.HandleDialFailure(c.owner.sim.now, "reset"))
		}
		return
	}
	c.owner.offered = c
	c.owner.perform(c.owner.machine.HandleConn(c.owner.sim.now, c.side))
}

func (c *wireConn) send(message any) {
	c.arrive(func() {
		if e := c.peer.owner; e.conns[c.peer.side] == c.peer {
			e.perform(e.machine.HandleMessage(e.sim.now, c.peer.side, message))
		}
	})
}

// arrive schedules an event at the other end, after all messages that were sent before.
func (c *wireConn) arrive(do func()) {
	s := c.owner.sim
	at := s.now.Add(s.delay())
	if !at.After(c.last) {
		at = c.last.Add(time.Microsecond)
	}
	c.last = at
	s.after(at.Sub(s.now), do)
}

func (c *wireConn) close(n *bgp.Notification) {
	c.closed = true
	if n != nil {
		c.send(n)
	}
	c.arrive(c.peer.lose)
}

// lose closes a connection for its owner.
func (c *wireConn) lose() {
	c.closed = true
	if e := c.owner; e.conns[c.side] == c {
		e.conns[c.side] = nil
		e.perform(e.machine.HandleClose(e.sim.now, c.side, "lost"))
	}
}

func (s *simulation) run() {
	for _, e := range s.ends {
		s.after(s.delay(), func() { e.perform(e.machine.Start(s.now)) })
	}
	s.after(chaos, func() { s.bad = false })
	for s.now.Before(zero.Add(chaos + calm)) {
		due := s.now.Add(time.Hour)
		for _, e := range s.events {
			if e.at.Before(due) {
				due = e.at
			}
		}
		var ticks *end
		for _, e := range s.ends {
			if at := e.machine.Next(); !at.IsZero() && at.Before(due) {
				due, ticks = at, e
			}
		}
		if due.After(s.now) {
			s.now = due
		}
		if ticks != nil {
			ticks.perform(ticks.machine.Tick(s.now))
		} else {
			s.next().do()
		}
	}
}

func TestTwoSidesThatCallEachOtherAgreeOnOneConnection(t *testing.T) {
	begin := rand.Uint64()
	for seed := begin; seed < begin+runs; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			s := &simulation{T: t, random: rand.New(rand.NewPCG(seed, 0)), now: zero, bad: true}
			identifiers := [][2]string{{"10.0.0.1", "10.0.0.2"}, {"10.0.0.2", "10.0.0.1"}, {"10.0.0.1", "10.0.0.1"}}[s.random.IntN(3)]
			restart := time.Duration(s.random.IntN(2)) * time.Minute
			for i := range s.ends {
				asn := bgp.ASN(64512 + i)
				s.ends[i] = &end{sim: s, name: fmt.Sprint("side ", i), machine: New(zero, Config{Peer: bgp.Peer{
					ASN: asn, Remote: bgp.RemoteASN{Kind: bgp.ExternalPeer}, RouterID: netip.MustParseAddr(identifiers[i]),
					Hold: 9 * time.Second, ConnectRetry: 2 * time.Second, RestartTime: restart,
				}, IPv4: true, Random: s.random.Float64})}
			}
			s.ends[0].other, s.ends[1].other = s.ends[1], s.ends[0]
			s.run()
			a, b := s.ends[0], s.ends[1]
			for _, e := range s.ends {
				if state, _ := e.machine.State(); state != Established {
					last, _ := e.machine.LastError()
					t.Fatalf("%s is %s after %s without trouble: %s", e.name, state, calm, last)
				}
			}
			if one := a.established(); one == nil || one.peer != b.established() {
				t.Fatal("the two have different connections")
			}
			if open := a.count() + b.count(); open != 2 {
				t.Errorf("%d ends of connections are open, want 2", open)
			}
		})
	}
}

func (e *end) established() *wireConn {
	for side, c := range e.machine.conns {
		if c != nil && c.state == Established {
			return e.conns[side]
		}
	}
	return nil
}

func (e *end) count() (n int) {
	for _, c := range e.conns {
		if c != nil {
			n++
		}
	}
	return n
}
