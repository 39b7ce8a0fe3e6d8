package layer2

import (
	"net"

	"github.com/lbstack/lbstack/internal/arp"
	"github.com/lbstack/lbstack/internal/ndp"
	"github.com/lbstack/lbstack/speaker"
)

// ListenARP opens a connection to a link for IPv4.
func ListenARP(l speaker.Link) (Conn, error) {
	conn, err := arp.Listen(interfaceOf(l))
	if err != nil {
		return nil, err // not a nil pointer in an interface
	}
	return conn, nil
}

// ListenNDP opens a connection to a link for IPv6.
func ListenNDP(l speaker.Link) (Conn, error) {
	conn, err := ndp.Listen(interfaceOf(l), l.LinkLocal)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

func interfaceOf(l speaker.Link) *net.Interface {
	return &net.Interface{Index: l.Index, Name: l.Name, HardwareAddr: l.Hardware}
}
