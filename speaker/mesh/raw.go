package mesh

import (
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// These system calls never wait, so that they can bypass the scheduler of the Go runtime. For a call
// that goes through the scheduler while the process is idle, the runtime wakes up a thread (sysmon),
// which then polls for a while (decision 0050).

// receiveFrom receives a datagram on a UDP socket, or fails with EAGAIN if there is none. A datagram that
// is longer than the buffer is truncated.
func receiveFrom(fd uintptr, buffer []byte) (n int, from netip.Addr, err error) {
	var source unix.RawSockaddrInet6 // large enough for an IPv4 address as well
	size := uint32(unsafe.Sizeof(source))
	r, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(buffer))), uintptr(len(buffer)),
		unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&source)), uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return 0, netip.Addr{}, errno
	}
	if source.Family == unix.AF_INET {
		return int(r), netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(&source)).Addr), nil
	}
	return int(r), netip.AddrFrom16(source.Addr).Unmap(), nil
}

// sendTo sends a datagram on a UDP socket to an address of the socket's family. It fails if it would have
// to wait.
func sendTo(fd uintptr, datagram []byte, to netip.AddrPort) error {
	target := unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: to.Addr().As16()}
	size := unsafe.Sizeof(target)
	if a := to.Addr().Unmap(); a.Is4() {
		ipv4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(&target))
		*ipv4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: a.As4()}
		size = unsafe.Sizeof(*ipv4)
	}
	port := (*[2]byte)(unsafe.Pointer(&target.Port)) // at the same offset in both, in network byte order
	port[0], port[1] = byte(to.Port()>>8), byte(to.Port())
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(datagram))), uintptr(len(datagram)),
		unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&target)), size)
	if errno != 0 {
		return errno
	}
	return nil
}

// forgetEvents removes an old event from an epoll instance, without handling it.
func forgetEvents(epoll uintptr) {
	var event unix.EpollEvent
	_, _, _ = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, epoll, uintptr(unsafe.Pointer(&event)), 1, 0, 0, 0)
}

// clearExpired reports whether a timerfd has expired, and resets that state.
func clearExpired(timer uintptr) bool {
	var times uint64
	n, _, _ := unix.RawSyscall(unix.SYS_READ, timer, uintptr(unsafe.Pointer(&times)), unsafe.Sizeof(times))
	return n == unsafe.Sizeof(times)
}

// bootTime is a clock that goes on while the machine is suspended (CLOCK_BOOTTIME); the
// clock of Go stops then. While a hypervisor pauses a machine, both stop.
func bootTime() time.Duration {
	var t unix.Timespec // stays zero only on a kernel before Linux 2.6.39
	_, _, _ = unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&t)), 0)
	return time.Duration(t.Nano())
}
