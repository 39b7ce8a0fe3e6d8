package bfd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lbstack/lbstack/internal/bfd/wire"
)

// listener is a socket with the goroutine that reads it.
type listener struct {
	class    PacketClass
	receiver Receiver
	cancel   context.CancelFunc
	// sources are the routers that have a session of the class. The engine replaces the map, and never
	// changes it.
	sources atomic.Pointer[map[netip.Addr]bool]
}

// arrivedPacket is a valid packet that has not been matched with a session yet.
type arrivedPacket struct {
	class  PacketClass
	packet wire.Packet
	// Arrival has everything but the bytes of the datagram (Packet), since their buffer is used again.
	Arrival
}

// socketError is the error of a listener that failed and reads nothing more.
type socketError struct {
	listener *listener
	err      error
}

// listen opens the socket of a class, if it is not open.
func (e *Engine) listen(ctx context.Context, c PacketClass) error {
	if e.listeners[c] != nil {
		return nil
	}
	receiver, err := e.options.Network.Listen(c)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("UDP port %d is taken by another program of the node, such as bfdd or BIRD: stop that program, or do not use BFD on this node: %w", c.port(), err)
	}
	if err != nil {
		return fmt.Errorf("listening on UDP port %d: %w", c.port(), err)
	}
	ctx, cancel := context.WithCancel(ctx)
	l := &listener{class: c, receiver: receiver, cancel: cancel}
	e.listeners[c] = l
	e.admitSources()
	go e.read(ctx, l)
	return nil
}

// admitSources makes each socket accept only packets of the routers that have a session on the socket.
// The kernel drops most other packets, and read drops those that the kernel passes.
func (e *Engine) admitSources() {
	sources := map[PacketClass]map[netip.Addr]bool{}
	for _, w := range e.sessions {
		if sources[w.class] == nil {
			sources[w.class] = map[netip.Addr]bool{}
		}
		sources[w.class][w.peer] = true
	}
	for class, l := range e.listeners {
		before := l.sources.Swap(new(sources[class]))
		if before != nil && maps.Equal(*before, sources[class]) {
			continue
		}
		if err := l.receiver.Admit(slices.Collect(maps.Keys(sources[class]))); err != nil {
			e.options.Log.Error(err, "the kernel does not filter BFD packets by their source; the speaker ignores packets of unknown hosts itself", "port", class.port())
		}
	}
}

// closeUnusedListeners closes the listeners that no session needs, and updates from which routers the remaining
// listeners accept packets.
func (e *Engine) closeUnusedListeners() {
	needed := map[PacketClass]bool{}
	for _, w := range e.sessions {
		needed[w.class] = true
	}
	for class, l := range e.listeners {
		if !needed[class] {
			e.close(l)
		}
	}
	e.admitSources()
}

func (e *Engine) close(l *listener) {
	l.cancel()
	l.receiver.Close()
	delete(e.listeners, l.class)
}

// read reads a socket until it fails or is closed. While the engine handles earlier packets, packets
// wait in the buffer of the socket, which the kernel bounds.
func (e *Engine) read(ctx context.Context, l *listener) {
	buffer := make([]byte, 512)
	for {
		a, err := l.receiver.Read(buffer)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			select {
			case e.socketErrors <- socketError{l, err}:
			case <-ctx.Done():
			}
			return
		}
		if !(*l.sources.Load())[a.From] {
			e.options.Metrics.countIgnored(ignoredUnknown)
			continue
		}
		if !l.class.Multihop && a.TTL != 255 {
			// RFC 5881 section 5. A kernel that applies IP_MINTTL or IPV6_MINHOPCOUNT to UDP has already dropped
			// such packets.
			e.options.Metrics.countIgnored(ignoredTTL)
			continue
		}
		p, err := wire.Decode(a.Packet)
		if err != nil {
			e.options.Metrics.countIgnored(ignoredMalformed)
			continue
		}
		a.Packet = nil
		select {
		case e.arrived <- arrivedPacket{l.class, p, a}:
		case <-ctx.Done():
			return
		}
	}
}

// handleSocketError closes a listener that failed. Its sessions open a new listener later.
func (e *Engine) handleSocketError(b socketError) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.listeners[b.listener.class] != b.listener {
		return
	}
	e.close(b.listener)
	now := time.Now()
	for _, w := range e.sessions {
		if w.class == b.listener.class {
			w.problem = fmt.Sprintf("receiving BFD packets on UDP port %d failed: %v", w.class.port(), b.err)
			w.sendFailed = false
			w.retryLater(now)
			e.recordStatus(w, now)
		}
	}
}

// receive passes a packet to its session (RFC 5880 section 6.8.6).
func (e *Engine) receive(a arrivedPacket) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := e.findSession(a)
	switch {
	case w == nil:
		e.options.Metrics.countIgnored(ignoredUnknown)
		return
	case w.class.Multihop && a.TTL < int(w.machine.Profile().MinimumTTL):
		e.options.Metrics.countIgnored(ignoredTTL)
		w.ttl = a.TTL
		e.recordStatus(w, time.Now())
		return
	}
	e.options.Metrics.in.Inc()
	now := time.Now()
	w.ttl = 0
	e.send(w, now, w.machine.Receive(now, a.packet))
	e.recordStatus(w, now)
}

// findSession returns the session of a packet; nil: there is none. If Yours is not 0, the packet
// belongs to the session with this discriminator, but only if the addresses match too, since
// discriminators can be guessed. If Yours is 0, the packet belongs to the matching session whose key is
// most specific (see specificity).
func (e *Engine) findSession(a arrivedPacket) *watchedSession {
	if a.packet.Yours != 0 {
		if w := e.byDiscriminator[a.packet.Yours]; w != nil && w.matches(a) {
			return w
		}
		return nil
	}
	var best *watchedSession
	for _, w := range e.sessions {
		if w.matches(a) && (best == nil || w.specificity() > best.specificity()) {
			best = w
		}
	}
	return best
}

func (w *watchedSession) matches(a arrivedPacket) bool {
	return w.started && w.class == a.class && w.peer == a.From &&
		(w.link == 0 || w.link == a.Interface) &&
		(!w.key.Local.IsValid() || w.key.Local.Unmap().WithZone("") == a.To)
}

// specificity returns how many optional fields of the key a packet must match.
func (w *watchedSession) specificity() (n int) {
	if w.link != 0 {
		n++
	}
	if w.key.Local.IsValid() {
		n++
	}
	return n
}
