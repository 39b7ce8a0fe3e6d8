// Package netlimit bounds what the clients of a TCP port can cost before anybody knows who
// they are: the number of connections, the bytes of each, and where they may come from.
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

// Listener bounds the connections of a listener that are open at once. Where a new
// connection is one too many, another one is closed in its place: a bound that refuses new
// connections would let a few idle ones shut out the probes of the kubelet. The one that is
// closed is the oldest of the source that has most, so that a source with one connection
// loses it only if all have one. What connections cost of the processor is bounded as well:
// by how many of them are accepted each second, and how many of those are served.
type Listener struct {
	net.Listener
	limits Limits
	pace   pace // of the goroutine that accepts

	mu      sync.Mutex
	open    []*conn                  // oldest first
	sources map[netip.Prefix]*source // those that have a connection
}

// mostAccepted connections are accepted each second, those included that are closed at once.
// Others wait in the queue of the kernel, which drops what it has no place for: a client
// that tries again a second later, as kernels do, is late and not refused.
const mostAccepted = 10000

// Limits bound what a Listener accepts.
type Limits struct {
	// Connections are open at once, at least 1.
	Connections int
	// Bytes are read from each connection; the next read returns io.EOF.
	Bytes int64
	// PerSecond connections are served each second, and as many at once; 0: any number. Beyond
	// it only a source that has not connected within a second is served; others are closed
	// before anything is read from them.
	PerSecond int
	// Allow reports whether connections from a source are accepted; nil: from all. Others are
	// closed before anything is read from them.
	Allow func(netip.Addr) bool
}

// NewListener bounds a listener.
func NewListener(inner net.Listener, limits Limits) *Listener {
	return &Listener{
		Listener: Pace(inner), limits: limits, sources: map[netip.Prefix]*source{}, pace: newPace(limits.PerSecond),
	}
}

// Pace has a listener accept no more than mostAccepted connections each second.
func Pace(inner net.Listener) net.Listener {
	return paced{inner, rate.NewLimiter(mostAccepted, mostAccepted/10)}
}

type paced struct {
	net.Listener
	accepts *rate.Limiter
}

// Accept implements net.Listener.
func (p paced) Accept() (net.Conn, error) {
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
		if l.limits.Allow != nil && !l.limits.Allow(from) || !l.pace.admits(block(from), time.Now()) {
			Abort(accepted)
			continue
		}
		bound(accepted)
		c := &conn{Conn: accepted, left: l.limits.Bytes, listener: l}
		if victim := l.add(c, block(from)); victim != nil {
			Abort(victim.Conn)
		}
		return c, nil
	}
}

// receiveBytes and sendBytes are what the kernel may hold of a connection; it takes up to twice that
// for the packets. They count as memory of the container: by default the kernel takes 4 MiB of a
// long answer that the client does not take. With a smaller buffer for sending, answers would wait
// for delayed acknowledgements.
const receiveBytes, sendBytes = 16 << 10, 64 << 10

// bound bounds the buffers of a connection. One that has ended already is served as any other.
func bound(c net.Conn) {
	if tcp, is := c.(*net.TCPConn); is {
		_, _ = tcp.SetReadBuffer(receiveBytes), tcp.SetWriteBuffer(sendBytes)
	}
}

// source is where connections come from.
type source struct {
	block netip.Prefix
	open  int // connections
}

// add takes in a connection, and returns the one that has to be closed for it.
func (l *Listener) add(c *conn, from netip.Prefix) (victim *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.limits.Connections {
		victim = superfluous(l.open)
		l.drop(victim)
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
	l.drop(c)
}

// drop counts a connection no more, if it is counted. The caller holds the lock.
func (l *Listener) drop(c *conn) {
	at := slices.Index(l.open, c)
	if at < 0 {
		return
	}
	l.open = slices.Delete(l.open, at, at+1)
	if c.source.open--; c.source.open == 0 {
		delete(l.sources, c.source.block)
	}
}

// superfluous returns the oldest connection of the source that has most.
func superfluous(open []*conn) *conn {
	found := open[0]
	for _, c := range open {
		if c.source.open > found.source.open {
			found = c
		}
	}
	return found
}

// conn is a connection that the listener counts until it is closed.
type conn struct {
	net.Conn
	left     int64 // bytes that may still be read; of the goroutine that reads
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

// Abort closes a connection with a reset, after which the kernel keeps nothing of it. It
// does not belong to anybody who could do something about an error.
func Abort(c net.Conn) {
	if tcp, is := c.(*net.TCPConn); is {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// sourceOf returns where a connection comes from; the zero value: it is not TCP.
func sourceOf(c net.Conn) netip.Addr {
	if from, is := c.RemoteAddr().(*net.TCPAddr); is {
		return from.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// block is what a source counts as: an IPv4 address, or the /64 that a host of IPv6 chooses
// its addresses from.
func block(a netip.Addr) netip.Prefix {
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
