package bgp

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/lbstack/lbstack/internal/bgp/session"
	"github.com/lbstack/lbstack/internal/bgp/wire"
)

const (
	// writeWithin is how long a router may take nothing before it counts as dead.
	writeWithin = 30 * time.Second
	// lingerFor is how long a router has to end its side of a connection, after ours has
	// ended: until then it has perhaps not read why.
	lingerFor = time.Second
	// drainWithin is how long a router has to take that all routes go.
	drainWithin = 5 * time.Second
)

// link is a TCP connection with a router. The peer's goroutine has the state; reading
// and writing have goroutines of their own, so that a router that reads nothing holds
// up nobody.
type link struct {
	side    session.Side
	conn    net.Conn
	pending []byte    // to be written next
	idle    bool      // the writer has nothing to do
	seen    time.Time // when the reason for the routes that it has was seen; zero: it has none, or at no time
	ended   bool
	out     chan []byte
}

// newLink begins to read and to write. What happens is told to the peer, unless the
// link is no longer its own by then. The connection is closed when both sides have
// ended.
func (p *peer) newLink(side session.Side, conn net.Conn) *link {
	l := &link{side: side, conn: conn, idle: true, out: make(chan []byte, 1)}
	p.talking.Go(func() {
		var both sync.WaitGroup
		both.Go(func() { l.read(p) })
		both.Go(func() { l.write(p) })
		both.Wait()
		_ = conn.Close()
	})
	return l
}

func (l *link) read(p *peer) {
	r := wire.NewReader(l.conn)
	for {
		message, err := r.Read()
		if err != nil {
			p.tell(func(now time.Time) []session.Action {
				if p.links[l.side] != l {
					return nil
				}
				return p.machine.Closed(now, l.side, lostWords(err))
			})
			return
		}
		p.metrics.read(message)
		p.tell(func(now time.Time) []session.Action {
			if p.links[l.side] != l {
				return nil
			}
			return p.machine.Received(now, l.side, message)
		})
	}
}

func (l *link) write(p *peer) {
	for octets := range l.out {
		_ = l.conn.SetWriteDeadline(time.Now().Add(writeWithin))
		n, err := l.conn.Write(octets)
		p.metrics.wrote(octets[:n])
		if err != nil {
			break // the reader says so, when the connection is closed
		}
		written := time.Now()
		p.tell(func(time.Time) []session.Action { p.written(l, written); return nil })
	}
	if half, ok := l.conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = l.conn.SetReadDeadline(time.Now().Add(lingerFor))
	go func() {
		for range l.out { // nobody waits for a writer that has given up
		}
	}()
}

// written says that the writer has done what it had to do.
func (p *peer) written(l *link, at time.Time) {
	if !l.seen.IsZero() {
		p.metrics.announce.Observe(at.Sub(l.seen).Seconds())
		l.seen = time.Time{}
	}
	l.idle = true
	l.kick()
}

// send has octets written after all that came before.
func (l *link) send(octets []byte) {
	l.pending = append(l.pending, octets...)
	l.kick()
}

// kick hands what is pending to the writer, when it has nothing to do.
func (l *link) kick() {
	if l.idle && len(l.pending) > 0 && !l.ended {
		l.idle = false
		l.out <- l.pending
		l.pending = nil
	}
}

// end ends our side of the link, after what is pending has been written.
func (l *link) end() {
	l.ended = true
	pending := l.pending
	if len(pending) == 0 {
		close(l.out)
		return
	}
	if l.idle {
		l.out <- pending
		close(l.out)
		return
	}
	go func() { // the writer has one to finish
		l.out <- pending
		close(l.out)
	}()
}

func addrOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap()
}
