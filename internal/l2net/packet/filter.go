package packet

import (
	"encoding/binary"

	"golang.org/x/net/bpf"

	"github.com/lbstack/lbstack/internal/lb"
)

// whole is how much of a packet that passes is handed over.
const whole = 0xffff

// Pass and Drop end a filter program.
func Pass() bpf.Instruction { return bpf.RetConstant{Val: whole} }

// Drop ends a filter program with the packet thrown away.
func Drop() bpf.Instruction { return bpf.RetConstant{Val: 0} }

// Within returns instructions that pass a packet whose address at an offset is
// in one of the ranges, and go on behind the last of them otherwise. The machine
// has 32 bits: an address of IPv6 is read into its scratch memory once, and
// compared word by word, the highest first.
func Within(offset uint32, ranges []lb.Range) []bpf.Instruction {
	if len(ranges) == 0 {
		return nil
	}
	n := len(words(ranges[0].First.AsSlice()))
	var program []bpf.Instruction
	for i := range n {
		program = append(program, bpf.LoadAbsolute{Off: offset + uint32(4*i), Size: 4})
		if n > 1 {
			program = append(program, bpf.StoreScratch{Src: bpf.RegA, N: i})
		}
	}
	for _, r := range ranges {
		program = append(program, within(words(r.First.AsSlice()), words(r.Last.AsSlice()))...)
	}
	return program
}

// within passes a packet whose address is between two. It is made back to front,
// since a jump leads forward by what comes after it.
func within(first, last []uint32) []bpf.Instruction {
	shared := 0 // words at the beginning, which have to be equal
	for shared < len(first) && first[shared] == last[shared] {
		shared++
	}
	block := []bpf.Instruction{Pass()}
	if shared < len(first) {
		block = append(bound(last, shared, bpf.JumpLessThan, bpf.JumpLessOrEqual, 1), block...)
		block = append(bound(first, shared, bpf.JumpGreaterThan, bpf.JumpGreaterOrEqual, uint8(len(block))), block...)
	}
	for i := shared - 1; i >= 0; i-- {
		equal := bpf.JumpIf{Cond: bpf.JumpEqual, Val: first[i], SkipFalse: uint8(len(block))}
		block = append(append(load(i, len(first)), equal), block...)
	}
	return block
}

// load fetches a word of the address; the only one is there already.
func load(i, of int) []bpf.Instruction {
	if of == 1 {
		return nil
	}
	return []bpf.Instruction{bpf.LoadScratch{Dst: bpf.RegA, N: i}}
}

// bound compares an address with a limit, beginning with one of its words. It goes
// on behind its own end when the address is inside, and `outside` instructions
// further when it is not. A word that is equal leaves it to the next one.
func bound(limit []uint32, from int, strictly, finally bpf.JumpTest, outside uint8) []bpf.Instruction {
	last := len(limit) - 1
	var program []bpf.Instruction
	for i := from; i < last; i++ {
		end := uint8(last-i)*3 - 1 // instructions that follow: two for the last word, three for the others
		program = append(program, load(i, len(limit))...)
		program = append(program,
			bpf.JumpIf{Cond: strictly, Val: limit[i], SkipTrue: end + 1},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: limit[i], SkipFalse: end + outside})
	}
	program = append(program, load(last, len(limit))...)
	return append(program, bpf.JumpIf{Cond: finally, Val: limit[last], SkipFalse: outside})
}

func words(address []byte) []uint32 {
	list := make([]uint32, 0, 4)
	for ; len(address) >= 4; address = address[4:] {
		list = append(list, binary.BigEndian.Uint32(address))
	}
	return list
}

// PACKET_OTHERHOST of linux/if_packet.h.
const otherHost = 3

// forUs begins a program in the kernel: it drops frames that were for another
// host and came in all the same, because the interface is promiscuous, and those
// of a VLAN that no interface is for, which the kernel marks in the same way. It
// is not part of what the machine of golang.org/x/net/bpf can run.
func forUs() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: otherHost, SkipTrue: 1},
		Drop(),
	}
}
