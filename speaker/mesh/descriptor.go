package mesh

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// descriptor is a file descriptor. Its methods fail once it is closed.
type descriptor struct {
	file *os.File
	raw  syscall.RawConn
}

// newDescriptor takes over a descriptor. A nonblocking one is registered with the poller of the Go runtime.
func newDescriptor(fd int, name string) (*descriptor, error) {
	f := os.NewFile(uintptr(fd), name)
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &descriptor{f, raw}, nil
}

// use calls a function with the descriptor.
func (d *descriptor) use(fn func(fd uintptr) error) error {
	var wrong error
	if err := d.raw.Control(func(fd uintptr) { wrong = fn(fd) }); err != nil {
		return err
	}
	return wrong
}

func (d *descriptor) close() error { return d.file.Close() }

// newUDPSocket opens a UDP socket that is not registered with the poller of the Go runtime.
func newUDPSocket(address netip.AddrPort) (*descriptor, error) {
	known, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(address))
	if err != nil {
		return nil, err
	}
	defer func() { _ = known.Close() }() // the copy stays open
	raw, err := known.SyscallConn()
	if err != nil {
		return nil, err
	}
	copied := -1
	var wrong error
	err = raw.Control(func(fd uintptr) {
		if copied, wrong = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); wrong == nil {
			wrong = unix.SetNonblock(copied, false)
		}
	})
	if err = errors.Join(err, wrong); err != nil {
		if copied >= 0 {
			_ = unix.Close(copied)
		}
		return nil, fmt.Errorf("copying a socket: %w", err)
	}
	return newDescriptor(copied, "udp "+address.String())
}

func newEpoll() (*descriptor, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(os.NewSyscallError("fcntl", err), unix.Close(fd))
	}
	return newPolledDescriptor(fd, "epoll")
}

// newPolledDescriptor takes over a descriptor that must be registered with the poller of the Go
// runtime. It fails if that is not possible, for example because fs.epoll.max_user_watches is used up.
// Without the poller, reading from the descriptor would fail instead of waiting.
func newPolledDescriptor(fd int, name string) (*descriptor, error) {
	d, err := newDescriptor(fd, name)
	if err != nil {
		return nil, err
	}
	if err := d.file.SetReadDeadline(time.Time{}); err != nil {
		return nil, errors.Join(fmt.Errorf("registering the %s descriptor with the poller of the Go runtime: %w", name, err), d.close())
	}
	return d, nil
}

// kernelTimer is a timerfd. A timer of the Go runtime wakes up more threads, and some of them twice (decision 0050).
type kernelTimer struct{ *descriptor }

func newKernelTimer() (kernelTimer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return kernelTimer{}, os.NewSyscallError("timerfd_create", err)
	}
	d, err := newPolledDescriptor(fd, "timer")
	return kernelTimer{d}, err
}

// wait waits for a time. It returns false once the timer is closed.
func (t kernelTimer) wait(d time.Duration) bool {
	spec := &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(1, d)))} // zero would stop the timer
	set := func(fd uintptr) error { return unix.TimerfdSettime(int(fd), 0, spec, nil) }
	return t.use(set) == nil && t.raw.Read(clearExpired) == nil
}
