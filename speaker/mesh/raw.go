package mesh

import (
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// These system calls never wait, so that the scheduler of the Go runtime need not know of them: it
// wakes up a thread (sysmon) for each one that it does know of while a process is idle, which then
// polls for a while (decision 0050).

// receive receives a datagram on a UDP socket if there is one. A longer one than the buffer is cut.
// It fails with EAGAIN if there is none.
func receive(fd uintptr, buffer []byte) (n int, from netip.Addr, err error) {
	var source unix.RawSockaddrInet6 // has room for one of IPv4
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

// send sends a datagram on a UDP socket if that can be done at once, to an address of its family.
func send(fd uintptr, datagram []byte, to netip.AddrPort) error {
	target := unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: to.Addr().As16()}
	size := unsafe.Sizeof(target)
	if a := to.Addr().Unmap(); a.Is4() {
		ipv4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(&target))
		*ipv4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: a.As4()}
		size = unsafe.Sizeof(*ipv4)
	}
	port := (*[2]byte)(unsafe.Pointer(&target.Port)) // at the same place in both, in the order of the network
	port[0], port[1] = byte(to.Port()>>8), byte(to.Port())
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(datagram))), uintptr(len(datagram)),
		unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&target)), size)
	if errno != 0 {
		return errno
	}
	return nil
}

// forgetEvents has an epoll instance forget events that are over.
func forgetEvents(epoll uintptr) {
	var event unix.EpollEvent
	_, _, _ = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, epoll, uintptr(unsafe.Pointer(&event)), 1, 0, 0, 0)
}

// expired returns whether the time of a timer of the kernel is up, and clears that.
func expired(timer uintptr) bool {
	var times uint64
	n, _, _ := unix.RawSyscall(unix.SYS_READ, timer, uintptr(unsafe.Pointer(&times)), unsafe.Sizeof(times))
	return n == unsafe.Sizeof(times)
}

// bootTime is a clock that goes on while the machine is suspended (CLOCK_BOOTTIME), which
// Go's does not. While a hypervisor stops a machine, both stand still.
func bootTime() time.Duration {
	var t unix.Timespec // stays zero only on a kernel before Linux 2.6.39
	_, _, _ = unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&t)), 0)
	return time.Duration(t.Nano())
}
