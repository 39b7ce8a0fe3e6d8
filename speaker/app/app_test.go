package app

import (
	"net/netip"
	"testing"
)

func TestOnNode(t *testing.T) {
	for _, tt := range []struct{ listen, node, want string }{
		{":7574", "192.0.2.1", "192.0.2.1:7574"},
		{":7574", "2001:db8::1", "[2001:db8::1]:7574"},
		{"127.0.0.1:7574", "192.0.2.1", "127.0.0.1:7574"},
		{"0", "192.0.2.1", "0"},
	} {
		if got := listenAddress(tt.listen, netip.MustParseAddr(tt.node)); got != tt.want {
			t.Errorf("%s on %s: got %s, want %s", tt.listen, tt.node, got, tt.want)
		}
	}
}
