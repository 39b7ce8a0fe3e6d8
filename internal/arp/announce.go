// Package arp is the seam to ARP (RFC 826) on one interface: the packets that
// announce an address, and a connection whose malformed input is counted and
// skipped. Parsing and marshalling are those of github.com/mdlayher/arp.
package arp

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
)

// Announcement returns the packets that tell everybody on the network that an
// IPv4 address is at a hardware address: a gratuitous request (RFC 5227
// section 2.3) and a gratuitous reply, both broadcast. In the reply the target
// hardware address is that of the sender: Linux takes a reply whose target is
// the broadcast address for no answer to anybody, and some stacks learn from
// requests only, others from replies only.
func Announcement(address netip.Addr, hardware net.HardwareAddr) ([2]*arp.Packet, error) {
	request, err := arp.NewPacket(arp.OperationRequest, hardware, address, make(net.HardwareAddr, len(hardware)), address)
	if err != nil {
		return [2]*arp.Packet{}, fmt.Errorf("making a gratuitous request for %s: %w", address, err)
	}
	reply, err := arp.NewPacket(arp.OperationReply, hardware, address, hardware, address)
	if err != nil {
		return [2]*arp.Packet{}, fmt.Errorf("making a gratuitous reply for %s: %w", address, err)
	}
	return [2]*arp.Packet{request, reply}, nil
}

// announce sends the packets of an announcement.
func announce(client *arp.Client, address netip.Addr) error {
	packets, err := Announcement(address, client.HardwareAddr())
	if err != nil {
		return err
	}
	for _, p := range packets {
		if err := client.WriteTo(p, ethernet.Broadcast); err != nil {
			return fmt.Errorf("announcing %s: %w", address, err)
		}
	}
	return nil
}
