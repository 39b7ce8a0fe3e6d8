// Package netlimit bounds what clients of a TCP port can cost before they are authenticated: the number
// of connections, the bytes of each connection, and the sources that may connect.
package netlimit

import (
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Listener bounds the number of connections of a listener that are open at once. A new connection
// beyond the bound is accepted, and another connection is closed. Otherwise a host could fill the bound
// with idle connections, and so shut out the probes of the kubelet. The closed connection is the oldest
// one of the source that has the most connections. A source with one connection therefore loses it only
// if no source has more than one. Listener also bounds how many connections are accepted each second,
// and how many are served, since each costs processor time.
type Listener struct {
	net.Listener
	limits Limits
	pace   connPacer // used only by the goroutine that calls Accept

	mu      sync.Mutex
	open    []*conn                  // oldest first
	sources map[netip.Prefix]*source // the sources that have a connection
}

// maxAcceptedPerSecond is how many connections are accepted each second, including those that are
// closed at once. Further connections wait in the queue of the kernel, which drops connections when the
// queue is full. Then the kernel of the client tries again after a second, so the client is delayed but
// not refused.
const maxAcceptedPerSecond = 10000

// Limits are the bounds of a Listener.
type Limits struct {
	// Connections is how many connections may be open at once, at least 1.
	Connections int
	// Bytes is how many bytes may be read from each connection. After that, a read returns io.EOF.
	Bytes int64
	// PerSecond is how many connections are served each second, in one burst or spread over the second; 0:
	// any number. Beyond this rate, a connection is served only if its source has not connected for a
	// second. Other connections are closed before anything is read from them.
	PerSecond int
	// Allow reports whether a source may connect; nil: every source may. A connection from any other
	// source is closed before anything is read from it.
	Allow func(netip.Addr) bool
}

// NewListener returns a Listener around another listener.
func NewListener(inner net.Listener, limits Limits) *Listener {
	return &Listener{
		Listener: NewPacedListener(inner), limits: limits, sources: map[netip.Prefix]*source{}, pace: newConnPacer(limits.PerSecond),
	}
}

// NewPacedListener returns a listener that accepts at most maxAcceptedPerSecond connections each second from another
// listener.
func NewPacedListener(inner net.Listener) net.Listener {
	return pacedListener{inner, rate.NewLimiter(maxAcceptedPerSecond, maxAcceptedPerSecond/10)}
}

type pacedListener struct {
	net.Listener
	accepts *rate.Limiter
}

// Accept implements net.Listener.
func (p pacedListener) Accept() (net.Conn, error) {
	time.Sleep(p.accepts.Reserve().Delay())
	return p.Listener.Accept()
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := sourceOf(accepted)
		if l.limits.Allow != nil && !l.limits.Allow(from) || !l.pace.admit(sourceBlock(from), time.Now()) {
			Abort(accepted)
			continue
		}
		setBuffers(accepted)
		c := &conn{Conn: accepted, left: l.limits.Bytes, listener: l}
		if victim := l.add(c, sourceBlock(from)); victim != nil {
			Abort(victim.Conn)
		}
		return c, nil
	}
}

// receiveBufferBytes and sendBufferBytes are the sizes of a connection's buffers in the kernel, which
// uses up to twice as much for the packets. This memory counts towards the memory limit of the
// container. By default, the kernel would buffer up to 4 MiB of an answer that the client does not
// read. With a smaller send buffer than this one, answers would wait for delayed acknowledgements.
const receiveBufferBytes, sendBufferBytes = 16 << 10, 64 << 10

// setBuffers sets the buffer sizes of a connection. Errors are ignored: the connection may have ended
// already.
func setBuffers(c net.Conn) {
	if tcp, is := c.(*net.TCPConn); is {
		_, _ = tcp.SetReadBuffer(receiveBufferBytes), tcp.SetWriteBuffer(sendBufferBytes)
	}
}

// source is a block of addresses (see sourceBlock) from which connections are open.
type source struct {
	block netip.Prefix
	open  int // number of connections
}

// add adds a connection, and returns the connection to close in its place; nil: none.
func (l *Listener) add(c *conn, from netip.Prefix) (victim *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.limits.Connections {
		victim = connToClose(l.open)
		l.removeLocked(victim)
	}
	c.source = l.sources[from]
	if c.source == nil {
		c.source = &source{block: from}
		l.sources[from] = c.source
	}
	c.source.open++
	l.open = append(l.open, c)
	return victim
}

func (l *Listener) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removeLocked(c)
}

// removeLocked removes a connection, if it is among the open ones. The caller holds the lock.
func (l *Listener) removeLocked(c *conn) {
	at := slices.Index(l.open, c)
	if at < 0 {
		return
	}
	l.open = slices.Delete(l.open, at, at+1)
	if c.source.open--; c.source.open == 0 {
		delete(l.sources, c.source.block)
	}
}

// connToClose returns the oldest connection of the source that has the most connections.
func connToClose(open []*conn) *conn {
	found := open[0]
	for _, c := range open {
		if c.source.open > found.source.open {
			found = c
		}
	}
	return found
}

// conn is an open connection, which the listener counts until it is closed.
type conn struct {
	net.Conn
	left     int64 // bytes that may still be read; only the reading goroutine uses it
	source   *source
	listener *Listener
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.listener.remove(c)
	return c.Conn.Close()
}

// Abort closes a connection with a reset, so that the kernel frees all memory of the connection at
// once. Errors are ignored: the connection is closed in any case.
func Abort(c net.Conn) {
	if tcp, is := c.(*net.TCPConn); is {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// sourceOf returns the source address of a connection; the zero value: it is not TCP.
func sourceOf(c net.Conn) netip.Addr {
	if from, is := c.RemoteAddr().(*net.TCPAddr); is {
		return from.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// sourceBlock returns the block of addresses that counts as one source: an IPv4 address itself, or the
// /64 from which an IPv6 host chooses its addresses.
func sourceBlock(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	prefix, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
