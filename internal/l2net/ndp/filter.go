package ndp

import (
	"net/netip"
	"slices"

	"golang.org/x/net/bpf"

	"github.com/lbstack/lbstack/internal/l2net/packet"
)

// filterProgram returns a program that passes solicitations for, and advertisements of, one of the
// addresses. ICMPv6 must follow the IPv6 header directly: fragments MUST be ignored (RFC 6980 section 5),
// and hosts send no other extension headers. With many addresses, messages about some other addresses
// pass as well; see packet.CoveringRanges.
func filterProgram(addresses []netip.Addr, limit int) []bpf.Instruction {
	ranges := packet.CoveringRanges(addresses, limit)
	return slices.Concat(
		[]bpf.Instruction{
			bpf.LoadAbsolute{Off: ethernetLength + 6, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: nextHeaderICMP, SkipTrue: 3},
			bpf.LoadAbsolute{Off: offsetICMP, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: typeSolicitation, SkipTrue: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: typeAdvertisement, SkipTrue: 1},
			packet.DropInstruction(),
		},
		packet.PassWithin(offsetICMP+8, ranges),
		[]bpf.Instruction{packet.DropInstruction()},
	)
}
