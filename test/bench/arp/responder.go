package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/speaker/layer2/responder"
	"github.com/lbstack/lbstack/speaker/links"
)

// ownedAddress is the i-th address that is owned. Every third one is missing, so
// that there are more gaps than the filter in the kernel has ranges.
func ownedAddress(i int) netip.Addr {
	i += i / 2
	return netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
}

// beResponder answers on the host that it runs on until the input ends, and prints
// when it is ready.
func beResponder(owned int) error {
	// As the speaker does.
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(50)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	list, err := links.List(netip.Addr{})
	if err != nil {
		return err
	}
	if len(list) != 1 {
		return errors.New("want one interface, eth0")
	}
	r := responder.New(ctx, logr.Discard(), responder.Options{
		ARP: responder.ListenARP, NDP: responder.ListenNDP, Metrics: responder.NewMetrics(prometheus.NewRegistry()),
	})
	r.SetLinks(list)
	all := map[netip.Addr]layer2.Serving{}
	for i := range owned {
		all[ownedAddress(i)] = layer2.Serving{Interfaces: []string{"eth0"}}
	}
	r.SetServed(all)
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
