package bgp

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/lbstack/lbstack/internal/bgp/session"
	"github.com/lbstack/lbstack/internal/bgp/wire"
)

const (
	// writeTimeout is how long a router may read nothing before the link fails.
	writeTimeout = 30 * time.Second
	// lingerTimeout is how long a router has to close its side of a connection after this side has closed:
	// the router may not have read the NOTIFICATION yet.
	lingerTimeout = time.Second
	// drainTimeout is how long a router has to read what is queued when this side ends a
	// connection.
	drainTimeout = 5 * time.Second
	// maxLingeringLinks is how many connections of one peer may linger. If there is one more, the oldest is
	// closed at once: a router cannot make connections accumulate.
	maxLingeringLinks = 2
	// maxOctetsBeforeKeepalive is how many octets may wait to be written when a KEEPALIVE is queued behind
	// them: a router that reads nothing does not make KEEPALIVEs accumulate.
	maxOctetsBeforeKeepalive = 2000
	// maxDiscardedOctets is how many octets are discarded after a malformed message.
	maxDiscardedOctets = 64 << 10
)

var errMalformed = errors.New("the router sent a malformed message")

// link is a TCP connection with a router. Its goroutine (run) owns the connection. Only run and
// releaseLink close the connection. run returns when either side has ended the connection: at the latest
// drainTimeout plus lingerTimeout after end was called. No goroutine of the link is left then.
//
// The peer's goroutine fills the queue. It calls end to end the link; run calls end when reading has
// ended. A separate writer empties the queue, so that a router that reads nothing delays nothing else.
type link struct {
	side   session.Side
	conn   net.Conn
	queued chan struct{} // holds a token when the queue has changed
	closed chan struct{} // closed with the connection

	mu      sync.Mutex
	pending []byte    // to be written next
	since   time.Time // when the oldest change in pending was observed; zero: not measured
	writing bool      // the writer has taken octets from the queue, and has not written all of them
	ending  bool      // end was called: nothing more can be queued
	failed  error     // error of the writer
}

// newLink starts the goroutines of a link.
func (p *peer) newLink(side session.Side, conn net.Conn) *link {
	l := &link{side: side, conn: conn, queued: make(chan struct{}, 1), closed: make(chan struct{})}
	p.linkGoroutines.Go(func() { l.run(p) })
	return l
}

func (l *link) run(p *peer) {
	defer close(l.closed)
	var writer sync.WaitGroup
	writer.Go(func() { l.write(p) })
	err := l.read(p)
	p.enqueue(func(now time.Time) []session.Action {
		if p.links[l.side] != l {
			return nil
		}
		p.releaseLink(l)
		return p.machine.HandleClose(now, l.side, lostConnMessage(l.endCause(err)))
	})
	l.end(nil, lingerTimeout)
	writer.Wait()
	_ = l.conn.Close()
}

// read reads messages until the connection ends or the router sends a malformed message. A failed write
// also ends the connection for reading.
func (l *link) read(p *peer) error {
	r := wire.NewReader(l.conn)
	for {
		message, err := r.Read()
		if err != nil {
			return err
		}
		p.metrics.countRead(message)
		p.enqueue(func(now time.Time) []session.Action {
			if p.links[l.side] != l {
				return nil
			}
			return p.machine.HandleMessage(now, l.side, message)
		})
		if _, is := message.(session.MalformedMessage); is {
			// The machine ends the link. Further octets are discarded: closing a connection with unread
			// octets resets it, and the router would not get the NOTIFICATION. A router that sends more
			// than maxDiscardedOctets octets may not get it.
			_, _ = io.CopyN(io.Discard, l.conn, maxDiscardedOctets)
			return errMalformed
		}
	}
}

// write writes queued octets until the link ends, or the router reads nothing for writeTimeout.
func (l *link) write(p *peer) {
	for {
		octets, since, ending := l.takeQueued()
		if len(octets) == 0 {
			if ending {
				break
			}
			<-l.queued
			continue
		}
		n, err := l.conn.Write(octets)
		p.metrics.countWritten(octets[:n])
		if !l.noteWritten(err) {
			_ = l.conn.SetReadDeadline(time.Now()) // the reader ends
			return
		}
		if !since.IsZero() {
			p.metrics.announce.Observe(time.Since(since).Seconds())
		}
		p.enqueue(func(time.Time) []session.Action { return nil }) // makes the peer call sendNext: there may be more routes to send
	}
	if half, ok := l.conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = l.conn.SetReadDeadline(time.Now().Add(lingerTimeout))
}

// takeQueued takes all octets from the queue, to be written.
func (l *link) takeQueued() (octets []byte, since time.Time, ending bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	octets, since = l.pending, l.since
	l.pending, l.since, l.writing = nil, time.Time{}, len(octets) > 0
	if !l.ending { // end has set another deadline
		_ = l.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	}
	return octets, since, l.ending
}

// noteWritten records the result of a write, and reports whether the writer continues.
func (l *link) noteWritten(err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writing, l.failed = false, err
	return err == nil
}

// endCause returns the error that ended the link. If the writer failed, this is its error, since a failed
// write also ends the reader; otherwise it is the error of the reader.
func (l *link) endCause(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return l.failed
	}
	return err
}

// send queues octets. since is when the oldest change in them was observed; zero: not measured.
func (l *link) send(octets []byte, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ending {
		return
	}
	l.pending = append(l.pending, octets...)
	if l.since.IsZero() {
		l.since = since
	}
	l.wake()
}

// hasWrittenAll reports whether all queued octets are written.
func (l *link) hasWrittenAll() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.writing && len(l.pending) == 0
}

// hasRoom reports whether fewer octets than maxOctetsBeforeKeepalive wait to be written. A KEEPALIVE may then
// be queued, even if the router reads nothing at the moment.
func (l *link) hasRoom() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.pending) < maxOctetsBeforeKeepalive
}

// end ends this side of the link. The queued octets, and then the octets in last, are still written,
// unless the given time passes first. If last is empty, the queued octets are discarded.
func (l *link) end(last []byte, within time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ending {
		return
	}
	l.ending = true
	if l.pending = append(l.pending, last...); len(last) == 0 {
		l.pending = nil
	}
	_ = l.conn.SetWriteDeadline(time.Now().Add(within))
	l.wake()
}

func (l *link) wake() {
	select {
	case l.queued <- struct{}{}:
	default:
	}
}

// releaseLink moves a link that is ending or has ended to the lingering links. Only the goroutine of the
// peer calls it.
func (p *peer) releaseLink(l *link) {
	delete(p.links, l.side)
	lingering := p.lingering[:0]
	for _, other := range p.lingering {
		select {
		case <-other.closed:
		default:
			lingering = append(lingering, other)
		}
	}
	p.lingering = append(lingering, l)
	if len(p.lingering) > maxLingeringLinks {
		_ = p.lingering[0].conn.Close()
		p.lingering = p.lingering[1:]
	}
}

// enableKeepAlive turns TCP keep-alives on. Either side may request the hold time 0, and then there are
// no KEEPALIVEs (RFC 4271 section 4.4). Without keep-alives of TCP, the session with a router that lost
// its power would stay established for ever.
func enableKeepAlive(conn net.Conn) {
	if tcp, is := conn.(*net.TCPConn); is {
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 10 * time.Second, Count: 3})
	}
}

func addrOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap()
}
