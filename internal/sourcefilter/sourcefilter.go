// Package sourcefilter has the kernel drop what comes to a socket from other hosts than those
// that a protocol has to do with, before it takes room in a buffer, a connection, or the time of
// the program. It is no authentication: hosts of a segment can forge addresses. Programs compare
// addresses themselves after it, since it may let others pass.
package sourcefilter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Most is the number of addresses that fit into a filter (BPF_MAXINSNS); with more, all packets
// pass.
const Most = 2000

// Attach has the kernel drop packets that come to a socket of a family from other addresses than
// these, of which those of the other family do not count; it replaces the filter before. Of an
// IPv6 address the last four bytes count only. All packets pass where there are too many
// addresses, or the kernel has no room for the filter (net.core.optmem_max). On a TCP socket that
// listens it drops handshakes; the connections that are accepted inherit it.
func Attach(fd int, ipv4 bool, sources []netip.Addr) error {
	sources = slices.DeleteFunc(slices.Clone(sources), func(a netip.Addr) bool { return a.Is4() != ipv4 })
	if len(sources) > Most {
		return Detach(fd)
	}
	slices.SortFunc(sources, netip.Addr.Compare)
	program, err := programOf(ipv4, sources)
	if err != nil {
		return err
	}
	err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, program)
	if errors.Is(err, unix.ENOMEM) {
		return Detach(fd)
	}
	return os.NewSyscallError("setsockopt SO_ATTACH_FILTER", err)
}

// Detach has all packets pass.
func Detach(fd int) error {
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil // there is none
	}
	return os.NewSyscallError("setsockopt SO_DETACH_FILTER", err)
}

// networkHeader is where the network header begins for a filter (SKF_NET_OFF in linux/filter.h).
const networkHeader = 0xfff00000

// programOf passes packets from these addresses, all of one family, in full, and drops others.
func programOf(ipv4 bool, sources []netip.Addr) (*unix.SockFprog, error) {
	source := uint32(8 + 12) // the last word of the source of IPv6
	if ipv4 {
		source = 12
	}
	instructions := []bpf.Instruction{bpf.LoadAbsolute{Off: networkHeader + source, Size: 4}}
	for _, a := range sources {
		raw := a.AsSlice()
		last := binary.BigEndian.Uint32(raw[len(raw)-4:])
		instructions = append(instructions, bpf.JumpIf{Cond: bpf.JumpEqual, Val: last, SkipFalse: 1}, bpf.RetConstant{Val: math.MaxUint32})
	}
	raw, err := bpf.Assemble(append(instructions, bpf.RetConstant{Val: 0}))
	if err != nil {
		return nil, fmt.Errorf("assembling the filter of sources: %w", err)
	}
	program := make([]unix.SockFilter, 0, len(raw))
	for _, i := range raw {
		program = append(program, unix.SockFilter{Code: i.Op, Jt: i.Jt, Jf: i.Jf, K: i.K})
	}
	return &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}, nil
}
