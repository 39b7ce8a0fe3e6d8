// Package sourcefilter attaches a filter to a socket. The filter makes the kernel drop packets from
// hosts that are not peers of the program. Such packets then take no buffers, open no connections, and
// cost the program no processor time. The filter is no authentication: hosts of the same network can
// forge addresses. Programs must also check addresses themselves, since the filter may pass packets of
// other hosts.
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

// MaxAddresses is the largest number of addresses in a filter: the kernel bounds its instructions
// (BPF_MAXINSNS). With more addresses, the filter passes all packets.
const MaxAddresses = 2000

// Attach makes the kernel drop packets to a socket unless they come from one of the sources. It
// replaces an earlier filter. If ipv4 is true, the socket is an IPv4 socket, otherwise an IPv6 socket;
// sources of the other family are ignored. The filter compares only the last four bytes of an IPv6
// address. All packets pass if there are too many sources, or if the kernel has no memory for the
// filter (net.core.optmem_max). On a listening TCP socket the filter drops handshakes; accepted
// connections inherit the filter.
func Attach(fd int, ipv4 bool, sources []netip.Addr) error {
	sources = slices.DeleteFunc(slices.Clone(sources), func(a netip.Addr) bool { return a.Is4() != ipv4 })
	if len(sources) > MaxAddresses {
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

// Detach removes the filter: all packets pass.
func Detach(fd int) error {
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil // there is no filter
	}
	return os.NewSyscallError("setsockopt SO_DETACH_FILTER", err)
}

// networkHeaderOffset is the offset of the network header in a filter (SKF_NET_OFF in linux/filter.h).
const networkHeaderOffset = 0xfff00000

// programOf returns a program that passes packets from the sources, which are all of one family, and
// drops all other packets.
func programOf(ipv4 bool, sources []netip.Addr) (*unix.SockFprog, error) {
	source := uint32(8 + 12) // offset of the last word of an IPv6 source
	if ipv4 {
		source = 12
	}
	instructions := []bpf.Instruction{bpf.LoadAbsolute{Off: networkHeaderOffset + source, Size: 4}}
	for _, a := range sources {
		raw := a.AsSlice()
		last := binary.BigEndian.Uint32(raw[len(raw)-4:])
		instructions = append(instructions, bpf.JumpIf{Cond: bpf.JumpEqual, Val: last, SkipFalse: 1}, bpf.RetConstant{Val: math.MaxUint32})
	}
	raw, err := bpf.Assemble(append(instructions, bpf.RetConstant{Val: 0}))
	if err != nil {
		return nil, fmt.Errorf("assembling the filter for source addresses: %w", err)
	}
	program := make([]unix.SockFilter, 0, len(raw))
	for _, i := range raw {
		program = append(program, unix.SockFilter{Code: i.Op, Jt: i.Jt, Jf: i.Jf, K: i.K})
	}
	return &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}, nil
}
