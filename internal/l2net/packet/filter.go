package packet

import (
	"encoding/binary"

	"golang.org/x/net/bpf"

	"github.com/lbstack/lbstack/internal/lb"
)

// maxPacketBytes is how many bytes of a packet a filter passes to the socket at most. It is so large
// that no packet is truncated.
const maxPacketBytes = 0xffff

// PassInstruction returns the instruction that ends a filter program and passes the packet.
func PassInstruction() bpf.Instruction { return bpf.RetConstant{Val: maxPacketBytes} }

// DropInstruction returns the instruction that ends a filter program and drops the packet.
func DropInstruction() bpf.Instruction { return bpf.RetConstant{Val: 0} }

// PassWithin returns instructions that pass a packet whose address at an offset is in one of the ranges. For
// other packets the program continues after these instructions. BPF works on 32 bits: the words of an
// IPv6 address are loaded into scratch memory once, and compared one by one, the highest first.
func PassWithin(offset uint32, ranges []lb.Range) []bpf.Instruction {
	if len(ranges) == 0 {
		return nil
	}
	n := len(toWords(ranges[0].First.AsSlice()))
	var program []bpf.Instruction
	for i := range n {
		program = append(program, bpf.LoadAbsolute{Off: offset + uint32(4*i), Size: 4})
		if n > 1 {
			program = append(program, bpf.StoreScratch{Src: bpf.RegA, N: i})
		}
	}
	for _, r := range ranges {
		program = append(program, passRange(toWords(r.First.AsSlice()), toWords(r.Last.AsSlice()))...)
	}
	return program
}

// passRange returns instructions that pass a packet whose address is from first to last. It builds the
// program from the end, since a jump needs the number of instructions to skip.
func passRange(first, last []uint32) []bpf.Instruction {
	shared := 0 // number of words at the beginning that are equal in first and last, and must be equal in the address
	for shared < len(first) && first[shared] == last[shared] {
		shared++
	}
	block := []bpf.Instruction{PassInstruction()}
	if shared < len(first) {
		block = append(compareLimit(last, shared, bpf.JumpLessThan, bpf.JumpLessOrEqual, 1), block...)
		block = append(compareLimit(first, shared, bpf.JumpGreaterThan, bpf.JumpGreaterOrEqual, uint8(len(block))), block...)
	}
	for i := shared - 1; i >= 0; i-- {
		equal := bpf.JumpIf{Cond: bpf.JumpEqual, Val: first[i], SkipFalse: uint8(len(block))}
		block = append(append(loadWord(i, len(first)), equal), block...)
	}
	return block
}

// loadWord returns instructions that load a word of the address. The only word of an IPv4 address is
// already loaded.
func loadWord(i, of int) []bpf.Instruction {
	if of == 1 {
		return nil
	}
	return []bpf.Instruction{bpf.LoadScratch{Dst: bpf.RegA, N: i}}
}

// compareLimit returns instructions that compare an address with a limit, from the word with the index
// `from` on. If the address is inside of the limit, the program continues after these instructions;
// otherwise it also skips the next `outside` instructions. If a word equals the same word of the limit,
// the next word decides.
func compareLimit(limit []uint32, from int, strictly, finally bpf.JumpTest, outside uint8) []bpf.Instruction {
	last := len(limit) - 1
	var program []bpf.Instruction
	for i := from; i < last; i++ {
		end := uint8(last-i)*3 - 1 // instructions that follow: two for the last word, three for each other word
		program = append(program, loadWord(i, len(limit))...)
		program = append(program,
			bpf.JumpIf{Cond: strictly, Val: limit[i], SkipTrue: end + 1},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: limit[i], SkipFalse: end + outside})
	}
	program = append(program, loadWord(last, len(limit))...)
	return append(program, bpf.JumpIf{Cond: finally, Val: limit[last], SkipFalse: outside})
}

func toWords(address []byte) []uint32 {
	list := make([]uint32, 0, 4)
	for ; len(address) >= 4; address = address[4:] {
		list = append(list, binary.BigEndian.Uint32(address))
	}
	return list
}

// packetOtherHost is PACKET_OTHERHOST of linux/if_packet.h.
const packetOtherHost = 3

// dropOtherHosts returns the beginning of each program. It drops frames for other hosts, which arrive
// if the interface is promiscuous. It also drops frames of a VLAN that has no interface on this node,
// since the kernel marks them in the same way. The virtual machine of golang.org/x/net/bpf, which unit
// tests use, does not support these instructions.
func dropOtherHosts() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: packetOtherHost, SkipTrue: 1},
		DropInstruction(),
	}
}
