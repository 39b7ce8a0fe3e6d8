package bgp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/netlimit"
	"github.com/lbstack/lbstack/internal/sourcefilter"
)

const (
	// firstListenDelay is how long to wait after the first failure to listen, before listening is tried
	// again. It is short, since another socket of this process may close soon and free the port.
	firstListenDelay = 100 * time.Millisecond
	// maxListenDelay is the longest wait before listening is tried again.
	maxListenDelay = 5 * time.Second
	// minAcceptPause is the first pause between two attempts to accept a connection, after file descriptors
	// or memory have run out. The pause doubles with each failed attempt.
	minAcceptPause = 5 * time.Millisecond
	// maxAcceptPause is the longest of these pauses.
	maxAcceptPause = time.Second
	// maxWaitingConns is how many connections of one router may wait until the goroutine of their peer
	// handles them.
	maxWaitingConns = 2
)

// listenPlace is where connections of routers are accepted: an address in a VRF. All places have the same
// port.
type listenPlace struct {
	address netip.Addr
	vrf     string
}

// listeners are the listening sockets. There are sockets only while there are passive peers.
type listeners struct {
	ctx      context.Context
	options  Options
	accepted func(net.Conn, string)
	listens  func(listenPlace, error) // called when listening at a place has begun (nil) or failed
	open     map[listenPlace]*listener
}

// listener is one listening socket, with the peers whose routers may connect to it.
type listener struct {
	end  context.CancelFunc
	log  logr.Logger
	four bool // IPv4

	mu    sync.Mutex
	peers []bgp.Peer                     // with the addresses of their routers, where these are known
	keys  map[netip.Addr]bgp.Password    // the passwords that are set on the socket, by router
	from  map[netip.Addr]bool            // hosts whose packets the kernel accepts; nil: all hosts
	fd    func(func(fd int) error) error // runs a function on the socket; nil while the socket is closed
}

func newListeners(ctx context.Context, o Options, accepted func(net.Conn, string), listens func(listenPlace, error)) listeners {
	return listeners{ctx: ctx, options: o, accepted: accepted, listens: listens, open: map[listenPlace]*listener{}}
}

// set replaces the peers. It ignores peers that are not passive.
func (ls *listeners) set(peers []bgp.Peer) {
	wanted := passivePeers(peers)
	for at, l := range ls.open {
		if wanted[at] == nil {
			l.end()
			delete(ls.open, at)
		}
	}
	for at, peers := range wanted {
		l := ls.open[at]
		if l == nil {
			ctx, end := context.WithCancel(ls.ctx)
			log := ls.options.Log.WithValues("address", at.address, "port", ls.options.ListenPort, "vrf", at.vrf)
			l = &listener{end: end, log: log, four: at.address.Is4(), peers: peers}
			ls.open[at] = l
			go ls.listen(ctx, at, l)
			continue
		}
		l.set(peers)
	}
}

// passivePeers returns the passive peers by the place that their routers connect to. A socket for all
// addresses replaces the sockets for single addresses: the kernel does not allow both.
func passivePeers(peers []bgp.Peer) map[listenPlace][]bgp.Peer {
	all := func(p bgp.Peer) listenPlace {
		if p.Address.Is4() || p.Source.Is4() {
			return listenPlace{netip.IPv4Unspecified(), p.VRF}
		}
		return listenPlace{netip.IPv6Unspecified(), p.VRF}
	}
	wide := map[listenPlace]bool{}
	for _, p := range peers {
		if p.Passive && !p.Source.IsValid() {
			wide[all(p)] = true
		}
	}
	wanted := map[listenPlace][]bgp.Peer{}
	for _, p := range peers {
		if !p.Passive {
			continue
		}
		at := all(p)
		if !wide[at] {
			at.address = p.Source
		}
		wanted[at] = append(wanted[at], p)
	}
	return wanted
}

// isPlaceOf reports whether the router of a passive peer connects to the place.
func (at listenPlace) isPlaceOf(p bgp.Peer) bool {
	four := p.Address.Is4() || p.Source.Is4()
	return at.vrf == p.VRF && at.address.Is4() == four && (at.address.IsUnspecified() || at.address == p.Source)
}

// set changes the peers whose routers are accepted.
func (l *listener) set(peers []bgp.Peer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.peers = peers
	if l.fd != nil {
		l.guardSocket(l.fd)
	}
}

// guardSocket makes the kernel check the source addresses, the signatures and, if all peers have a
// limit, the hop limits of packets. If the key of a router cannot be set, the connections of that
// router are refused, and all others are accepted. The caller holds l.mu.
func (l *listener) guardSocket(fd func(func(fd int) error) error) {
	passwords, routers := map[netip.Addr]bgp.Password{}, map[netip.Addr]bool{}
	least := 255
	for _, p := range l.peers {
		if p.Address.IsValid() {
			routers[p.Address] = true
		}
		if p.Password != "" && p.Address.IsValid() {
			passwords[p.Address] = p.Password
		}
		least = min(least, leastHopLimit(p))
	}
	set := func(router netip.Addr, password bgp.Password) {
		if err := fd(func(fd int) error { return setPassword(fd, router, password) }); err != nil {
			l.log.Error(err, "setting the password for connections of a router failed; connections of this router are refused", "router", router)
			return
		}
		l.keys[router] = password
	}
	for router := range l.keys {
		if passwords[router] == "" {
			set(router, "")
			delete(l.keys, router)
		}
	}
	for router, password := range passwords {
		if l.keys[router] != password {
			set(router, password)
		}
	}
	if err := fd(func(fd int) error { return setLeastHopLimit(fd, l.four, least) }); err != nil {
		l.log.Error(err, "setting the least hop limit (ttlSecurityHops) for connections of routers failed")
	}
	if l.from != nil && maps.Equal(l.from, routers) {
		return
	}
	// The kernel drops packets of other hosts: accepting and resetting their connections would cost
	// processor time.
	err := fd(func(fd int) error { return sourcefilter.Attach(fd, l.four, slices.Collect(maps.Keys(routers))) })
	if err != nil {
		l.log.Error(err, "filtering packets by their source failed; the speaker closes connections of other hosts itself")
		return
	}
	l.from = routers
}

// admits reports whether a connection comes from the router of a peer and, if the peer has a password, is
// signed. The kernel has checked the signature if the key is set on the socket.
func (l *listener) admits(router, local netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.peers, func(p bgp.Peer) bool {
		return isRouterOf(p, router, local) && (p.Password == "" || l.keys[router] == p.Password)
	})
}

// isRouterOf reports whether a connection has the addresses of a peer: the address of its router and, if
// the peer has one, its source address.
func isRouterOf(p bgp.Peer, router, local netip.Addr) bool {
	return p.Address == router && (!p.Source.IsValid() || p.Source == local)
}

func (ls *listeners) listen(ctx context.Context, at listenPlace, l *listener) {
	for pause := firstListenDelay; ctx.Err() == nil; pause = min(2*pause, maxListenDelay) {
		err := ls.accept(ctx, at, l)
		if ctx.Err() != nil {
			return
		}
		if pause > firstListenDelay {
			ls.listens(at, err)
			l.log.Error(err, "listening for connections of routers failed; trying again")
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (ls *listeners) accept(ctx context.Context, at listenPlace, l *listener) error {
	on, err := l.openSocket(ctx, at, ls.options.ListenPort)
	if err != nil {
		return err
	}
	defer l.close(on)
	ls.listens(at, nil)
	defer context.AfterFunc(ctx, func() { _ = on.Close() })()
	return l.acceptConns(ctx, on, func(conn net.Conn) { ls.accepted(conn, at.vrf) })
}

// acceptConns accepts connections until the socket fails. The pace is bounded: resetting the connections
// of other hosts must not take the processor from the sessions and from heartbeats.
func (l *listener) acceptConns(ctx context.Context, on net.Listener, accepted func(net.Conn)) error {
	on = netlimit.NewPacedListener(on)
	var pause time.Duration
	for {
		conn, err := on.Accept()
		switch {
		case isShortage(err):
			// The connection stays in the queue of the kernel, so without a pause Accept would fail again at once.
			if pause == 0 {
				l.log.Error(err, "accepting a connection of a router failed; connections wait until the node has file descriptors and memory again")
			}
			pause = min(max(2*pause, minAcceptPause), maxAcceptPause)
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			continue
		case err != nil:
			return err
		}
		pause = 0
		if !l.admits(addrOf(conn.RemoteAddr()), addrOf(conn.LocalAddr())) {
			netlimit.Abort(conn)
			continue
		}
		accepted(conn)
	}
}

// isShortage reports whether a connection could not be accepted because file descriptors, buffers or
// memory ran out.
func isShortage(err error) bool {
	return slices.ContainsFunc([]error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM}, func(e error) bool { return errors.Is(err, e) })
}

// openSocket opens the socket. The passwords are set before the socket listens, so that the signatures
// of the first connections are checked too.
func (l *listener) openSocket(ctx context.Context, at listenPlace, port uint16) (net.Listener, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keys, l.from = map[netip.Addr]bgp.Password{}, nil
	config := l.listenConfig(at)
	network := "tcp6"
	if at.address.Is4() {
		network = "tcp4"
	}
	on, err := config.Listen(ctx, network, netip.AddrPortFrom(at.address, port).String())
	if err != nil {
		return nil, err
	}
	raw, err := on.(*net.TCPListener).SyscallConn()
	if err != nil {
		_ = on.Close()
		return nil, err
	}
	l.fd = func(set func(int) error) error { return runOnSocket(raw, set) }
	return on, nil
}

// listenConfig returns a ListenConfig that prepares the socket before it is bound. The caller holds l.mu
// until the socket listens. Multipath TCP is off: its sockets support neither the filter nor
// signatures.
func (l *listener) listenConfig(at listenPlace) net.ListenConfig {
	config := net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, c syscall.RawConn) error {
		if err := runOnSocket(c, func(fd int) error { return prepareListener(fd, at) }); err != nil {
			return err
		}
		l.guardSocket(func(set func(fd int) error) error { return runOnSocket(c, set) })
		return nil
	}}
	config.SetMultipathTCP(false)
	return config
}

func (l *listener) close(on net.Listener) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fd = nil
	_ = on.Close()
}

// prepareListener sets the VRF, and the highest hop limit for answers: a router that checks the hop limit
// (RFC 5082) would drop answers with a lower one.
func prepareListener(fd int, at listenPlace) error {
	if at.vrf != "" {
		if err := unix.BindToDevice(fd, at.vrf); err != nil {
			return fmt.Errorf("entering the VRF %s: %w", at.vrf, err)
		}
	}
	if at.address.Is4() {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, 255)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, 255)
}

// adoptConn prepares a connection that a router made. A connection may have been queued before its key
// was set on the listener. Its segments are signed and checked from now on, and the connection fails if
// the router does not sign. The source filter that the connection inherited from the listener is
// removed.
func adoptConn(conn net.Conn, p bgp.Peer, router netip.Addr) error {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	return runOnSocket(raw, func(fd int) error { return errors.Join(prepareSocket(fd, p, router), sourcefilter.Detach(fd)) })
}
