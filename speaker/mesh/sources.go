package mesh

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/internal/lb"
)

// mostFiltered addresses fit into a filter of the kernel (BPF_MAXINSNS).
const mostFiltered = 2000

// sources are the addresses of the peers. Nothing of any other source is read: pods and hosts
// that reach the port must not take the time of the processor that answers ARP. The zero
// value has none.
type sources struct {
	ipv4  bool // the socket's family
	known atomic.Pointer[map[netip.Addr]lb.NodeName]
}

func (s *sources) has(a netip.Addr) bool {
	known := s.known.Load()
	if known == nil {
		return false
	}
	_, is := (*known)[a.Unmap()]
	return is
}

// set replaces the addresses, and says whether they differ from those before.
func (s *sources) set(addresses map[netip.Addr]lb.NodeName) (changed bool) {
	before := s.known.Swap(&addresses)
	return before == nil || !maps.Equal(*before, addresses)
}

// filter has the kernel drop what comes to a UDP socket from other sources, so that it takes
// no place in the receive buffer. Of an IPv6 address it looks at the last four bytes only;
// where there are too many peers, or the kernel has no room for the filter
// (net.core.optmem_max), it passes all. has decides after it.
func (s *sources) filter(fd int) error {
	var peers []netip.Addr
	if known := s.known.Load(); known != nil {
		for a := range *known {
			if a.Is4() == s.ipv4 {
				peers = append(peers, a)
			}
		}
	}
	if len(peers) > mostFiltered {
		return detach(fd)
	}
	slices.SortFunc(peers, netip.Addr.Compare)
	program, err := sourceFilter(peers)
	if err != nil {
		return err
	}
	err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, program)
	if errors.Is(err, unix.ENOMEM) {
		return detach(fd)
	}
	return os.NewSyscallError("setsockopt SO_ATTACH_FILTER", err)
}

func detach(fd int) error {
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil // there is none
	}
	return os.NewSyscallError("setsockopt SO_DETACH_FILTER", err)
}

// networkHeader is where the network header begins for a filter (SKF_NET_OFF in
// linux/filter.h).
const networkHeader = 0xfff00000

// sourceFilter passes packets from these addresses, all of one family, and drops others.
func sourceFilter(addresses []netip.Addr) (*unix.SockFprog, error) {
	source := uint32(12) // of an IPv4 header
	if len(addresses) > 0 && addresses[0].Is6() {
		source = 8 + 12 // the last word of that of IPv6
	}
	instructions := []bpf.Instruction{bpf.LoadAbsolute{Off: networkHeader + source, Size: 4}}
	for _, a := range addresses {
		raw := a.AsSlice()
		last := raw[len(raw)-4:]
		value := uint32(last[0])<<24 | uint32(last[1])<<16 | uint32(last[2])<<8 | uint32(last[3])
		instructions = append(instructions, bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipFalse: 1}, bpf.RetConstant{Val: 1 << 16})
	}
	program, err := assemble(append(instructions, bpf.RetConstant{Val: 0}))
	if err != nil {
		return nil, fmt.Errorf("assembling the filter of sources: %w", err)
	}
	return program, nil
}

func assemble(instructions []bpf.Instruction) (*unix.SockFprog, error) {
	raw, err := bpf.Assemble(instructions)
	if err != nil {
		return nil, err
	}
	program := make([]unix.SockFilter, 0, len(raw))
	for _, i := range raw {
		program = append(program, unix.SockFilter{Code: i.Op, Jt: i.Jt, Jf: i.Jf, K: i.K})
	}
	return &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}, nil
}
