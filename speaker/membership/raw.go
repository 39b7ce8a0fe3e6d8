package membership

import (
	"encoding/binary"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// System calls that never wait, without a word to Go's scheduler. It would watch over each
// that is announced to it, with a thread that wakes up for that and sleeps in steps of 20 µs
// until the program is quiet again: a fifth of what an idle speaker costs.

// sendRaw sends a datagram, if that can be done at once.
func sendRaw(fd int, datagram []byte, to netip.AddrPort) unix.Errno {
	if len(datagram) == 0 {
		return unix.EINVAL
	}
	raw, length := rawSockaddr(to)
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&datagram[0])), uintptr(len(datagram)), unix.MSG_DONTWAIT,
		uintptr(unsafe.Pointer(&raw)), length)
	return errno
}

// rawSockaddr is an address as ip(7) and ipv6(7) lay it out, and its length.
func rawSockaddr(a netip.AddrPort) (raw [unix.SizeofSockaddrInet6]byte, length uintptr) {
	binary.BigEndian.PutUint16(raw[2:], a.Port())
	if address := a.Addr().Unmap(); address.Is4() {
		binary.NativeEndian.PutUint16(raw[:], unix.AF_INET)
		bytes := address.As4()
		copy(raw[4:], bytes[:])
		return raw, unix.SizeofSockaddrInet4
	}
	binary.NativeEndian.PutUint16(raw[:], unix.AF_INET6)
	bytes := a.Addr().As16()
	copy(raw[8:], bytes[:])
	return raw, unix.SizeofSockaddrInet6
}

// receiveRaw receives a datagram, if there is one, with what the kernel says of it.
func receiveRaw(fd int, buffer, control []byte) (datagram, controls []byte, flags int32, errno unix.Errno) {
	part := unix.Iovec{Base: &buffer[0]}
	part.SetLen(len(buffer))
	header := unix.Msghdr{Iov: &part, Control: &control[0]}
	header.SetIovlen(1)
	header.SetControllen(len(control))
	n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&header)), unix.MSG_DONTWAIT)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	return buffer[:n], control[:header.Controllen], header.Flags, 0
}

// setTimer has a timer of the kernel ring once (timerfd_settime(2)).
func setTimer(fd uintptr, d time.Duration) unix.Errno {
	value := unix.ItimerSpec{Value: unix.NsecToTimespec(d.Nanoseconds())}
	_, _, errno := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, fd, 0, uintptr(unsafe.Pointer(&value)), 0, 0, 0)
	return errno
}

// readTimer takes note that it has rung; EAGAIN: it has not.
func readTimer(fd uintptr) unix.Errno {
	var expirations [8]byte
	_, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&expirations)), unsafe.Sizeof(expirations))
	return errno
}

// bootTime is a clock that goes on while the machine is suspended (CLOCK_BOOTTIME), which
// Go's does not. While a hypervisor stops a machine, both stand still.
func bootTime() time.Duration {
	var t unix.Timespec
	_, _, errno := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&t)), 0)
	if errno != 0 {
		return 0 // the kernel has had it since Linux 2.6.39
	}
	return time.Duration(t.Nano())
}
