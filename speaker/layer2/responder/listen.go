package responder

import (
	"net"

	"github.com/lbstack/lbstack/internal/l2net/arp"
	"github.com/lbstack/lbstack/internal/l2net/ndp"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// ListenARP opens a connection to a link for IPv4.
func ListenARP(l layer2.Link) (Conn, error) {
	conn, err := arp.Listen(interfaceOf(l))
	if err != nil {
		return nil, err // conn is a nil pointer: returned as a Conn, it would not be equal to nil
	}
	return conn, nil
}

// ListenNDP opens a connection to a link for IPv6.
func ListenNDP(l layer2.Link) (Conn, error) {
	conn, err := ndp.Listen(interfaceOf(l), l.LinkLocal)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

func interfaceOf(l layer2.Link) *net.Interface {
	return &net.Interface{Index: l.Index, Name: l.Name, HardwareAddr: l.Hardware}
}
