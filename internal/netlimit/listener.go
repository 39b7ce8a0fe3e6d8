// Package netlimit bounds what the clients of a TCP port can cost before anybody knows who
// they are: the number of connections, the bytes of each, and where they may come from.
package netlimit

import (
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
)

// Listener bounds the connections of a listener that are open at once. Where a new
// connection is one too many, another one is closed in its place: a bound that refuses new
// connections would let a few idle ones shut out the probes of the kubelet. The one that is
// closed is the oldest of the source that has most, so that a source with one connection
// loses it only if all have one.
type Listener struct {
	net.Listener
	limits Limits

	mu   sync.Mutex
	open []*conn // oldest first
}

// Limits bound what a Listener accepts.
type Limits struct {
	// Connections are open at once, at least 1.
	Connections int
	// Bytes are read from each connection; the next read returns io.EOF.
	Bytes int64
	// Allow says whether connections from a source are accepted; nil: from all. Others are
	// closed before anything is read from them.
	Allow func(netip.Addr) bool
}

// NewListener bounds a listener.
func NewListener(inner net.Listener, limits Limits) *Listener {
	return &Listener{Listener: inner, limits: limits}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := sourceOf(accepted)
		if l.limits.Allow != nil && !l.limits.Allow(from) {
			abort(accepted)
			continue
		}
		c := &conn{Conn: accepted, left: l.limits.Bytes, source: block(from), listener: l}
		if victim := l.add(c); victim != nil {
			abort(victim.Conn)
		}
		return c, nil
	}
}

// add takes in a connection, and returns the one that has to be closed for it.
func (l *Listener) add(c *conn) (victim *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.limits.Connections {
		at := superfluous(l.open)
		victim = l.open[at]
		l.open = slices.Delete(l.open, at, at+1)
	}
	l.open = append(l.open, c)
	return victim
}

func (l *Listener) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = slices.DeleteFunc(l.open, func(other *conn) bool { return other == c })
}

// superfluous returns the oldest connection of the source that has most.
func superfluous(open []*conn) (at int) {
	count := map[netip.Prefix]int{}
	for _, c := range open {
		count[c.source]++
	}
	for i, c := range open {
		if count[c.source] > count[open[at].source] {
			at = i
		}
	}
	return at
}

// conn is a connection that the listener counts until it is closed.
type conn struct {
	net.Conn
	left     int64 // bytes that may still be read; of the goroutine that reads
	source   netip.Prefix
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

// abort closes a connection with a reset, after which the kernel keeps nothing of it. It
// does not belong to anybody who could do something about an error.
func abort(c net.Conn) {
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
