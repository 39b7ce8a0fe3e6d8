package arp

import (
	"net/netip"
	"slices"

	"golang.org/x/net/bpf"

	"github.com/lbstack/lbstack/internal/l2net/packet"
)

// Offsets in a frame (RFC 826).
const (
	lengthsOffset  = headerLength + 4 // the lengths of a hardware address and of a protocol address
	senderIPOffset = headerLength + 14
	targetIPOffset = headerLength + 24
)

// filterProgram returns a program that passes ARP messages which request or claim one of the addresses.
// With many addresses, messages about some other addresses pass as well; see packet.CoveringRanges.
func filterProgram(addresses []netip.Addr, limit int) []bpf.Instruction {
	ranges := packet.CoveringRanges(addresses, limit)
	return slices.Concat(
		[]bpf.Instruction{
			bpf.LoadAbsolute{Off: lengthsOffset, Size: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: 6<<8 | 4, SkipTrue: 1},
			packet.DropInstruction(),
		},
		packet.PassWithin(targetIPOffset, ranges),
		packet.PassWithin(senderIPOffset, ranges),
		[]bpf.Instruction{packet.DropInstruction()},
	)
}
