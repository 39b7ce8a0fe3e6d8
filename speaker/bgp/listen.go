package bgp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/internal/bgp"
)

// listenAgain is how long to wait before a port that was taken is tried once more.
const listenAgain = 5 * time.Second

// place is where connections of routers are accepted.
type place struct {
	address netip.Addr
	vrf     string
}

// listeners are there only while there are passive peers.
type listeners struct {
	ctx      context.Context
	options  Options
	accepted func(net.Conn, string)
	open     map[place]*listener
}

type listener struct {
	end   context.CancelFunc
	mu    sync.Mutex
	peers []bgp.Peer // whose segments are signed
	fd    func(func(fd int) error) error
}

func newListeners(ctx context.Context, o Options, accepted func(net.Conn, string)) listeners {
	return listeners{ctx: ctx, options: o, accepted: accepted, open: map[place]*listener{}}
}

// set says which peers there are.
func (ls *listeners) set(peers []bgp.Peer) {
	wanted := map[place][]bgp.Peer{}
	for _, p := range peers {
		if p.Passive {
			at := place{p.Source, p.VRF}
			if !at.address.IsValid() {
				at.address = netip.IPv6Unspecified()
				if p.Address.Is4() {
					at.address = netip.IPv4Unspecified()
				}
			}
			wanted[at] = append(wanted[at], p)
		}
	}
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
			l = &listener{end: end, peers: peers}
			ls.open[at] = l
			go ls.listen(ctx, at, l)
			continue
		}
		l.sign(peers)
	}
}

// sign has the segments of these peers signed, and those of others no more.
func (l *listener) sign(peers []bgp.Peer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.peers
	l.peers = peers
	if l.fd == nil {
		return
	}
	_ = l.fd(func(fd int) error {
		for _, p := range before {
			if p.Password != "" && !slices.ContainsFunc(peers, func(q bgp.Peer) bool { return q.Address == p.Address && q.Password != "" }) {
				_ = sign(fd, p.Address, "")
			}
		}
		return signAll(fd, peers)
	})
}

func signAll(fd int, peers []bgp.Peer) error {
	for _, p := range peers {
		if p.Password == "" || !p.Address.IsValid() {
			continue
		}
		if err := sign(fd, p.Address, p.Password); err != nil {
			return err
		}
	}
	return nil
}

func (ls *listeners) listen(ctx context.Context, at place, l *listener) {
	for ctx.Err() == nil {
		err := ls.accept(ctx, at, l)
		if ctx.Err() != nil {
			return
		}
		ls.options.Log.Error(err, "listening for routers", "address", at.address, "port", ls.options.ListenPort, "vrf", at.vrf)
		select {
		case <-ctx.Done():
		case <-time.After(listenAgain):
		}
	}
}

func (ls *listeners) accept(ctx context.Context, at place, l *listener) error {
	config := net.ListenConfig{KeepAlive: -1, Control: control(func(fd int) error { return prepareListener(fd, at) })}
	network := "tcp6"
	if at.address.Is4() {
		network = "tcp4"
	}
	on, err := config.Listen(ctx, network, netip.AddrPortFrom(at.address, ls.options.ListenPort).String())
	if err != nil {
		return err
	}
	defer func() { _ = on.Close() }()
	defer context.AfterFunc(ctx, func() { _ = on.Close() })()
	raw, err := on.(*net.TCPListener).SyscallConn()
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.fd = func(set func(int) error) error { return onSocket(raw, set) }
	err = l.fd(func(fd int) error { return signAll(fd, l.peers) })
	l.mu.Unlock()
	if err != nil {
		return err
	}
	for {
		conn, err := on.Accept()
		if err != nil {
			return err
		}
		ls.accepted(conn, at.vrf)
	}
}

// prepareListener has answers go out with the highest hop limit: a router that checks it
// would not see them otherwise (RFC 5082).
func prepareListener(fd int, at place) error {
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

// adopt prepares a connection that a router made.
func adopt(conn net.Conn, p bgp.Peer, router netip.Addr) error {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	return onSocket(raw, func(fd int) error { return setHops(fd, p, router) })
}
