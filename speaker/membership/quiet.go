package membership

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	// quietBuffer is how much of quiet messages the kernel keeps, in bytes.
	quietBuffer = 1 << 18
	// mostQuiet is how many datagrams are read at once: a flood must not keep the clock of
	// the mesh from going on.
	mostQuiet = 1 << 10
)

// quietSocket has the datagrams that nobody waits for: the beats that say nothing new, which are
// nearly all there is. To wake up for each of them costs more than all that is done with
// it; they wait here, with the time when they came, until this speaker has its own beat to send. It
// shares the address with the socket that wakes (SO_REUSEPORT, socket(7)), and a filter in the
// kernel tells which datagram is whose. Go's poller does not know it.
type quietSocket struct {
	mu      sync.Mutex
	fd      int // -1: there is none
	buffer  []byte
	control []byte
	clock   clockCheck
}

// listenUDP opens the socket that wakes, and the quiet one. Without the second, which a
// kernel may refuse, everything wakes.
func listenUDP(address netip.AddrPort) (*net.UDPConn, *quietSocket, error) {
	shared := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		return errors.Join(raw.Control(func(fd uintptr) {
			err = os.NewSyscallError("setsockopt SO_REUSEPORT", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
		}), err)
	}}
	conn, err := shared.ListenPacket(context.Background(), "udp", address.String())
	if err != nil {
		return nil, nil, err
	}
	udp := conn.(*net.UDPConn)
	quiet, err := openQuiet(address)
	if err != nil {
		quiet = &quietSocket{fd: -1}
	}
	return udp, quiet, nil
}

func openQuiet(address netip.AddrPort) (*quietSocket, error) {
	family := unix.AF_INET
	if !address.Addr().Unmap().Is4() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	filter, err := quietFilter()
	err = errors.Join(err,
		os.NewSyscallError("setsockopt SO_REUSEPORT", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)),
		os.NewSyscallError("setsockopt SO_RCVBUF", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, quietBuffer)),
		os.NewSyscallError("setsockopt SO_TIMESTAMPNS", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)),
	)
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, sockaddr(address)))
	}
	if err == nil {
		err = os.NewSyscallError("setsockopt SO_ATTACH_REUSEPORT_CBPF", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, filter))
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return &quietSocket{fd: fd, buffer: make([]byte, largestPacket+datagramOverhead), control: make([]byte, unix.CmsgSpace(int(unsafe.Sizeof(unix.Timespec{}))))}, nil
}

// quietFilter chooses the second socket of the address, in the order in which they were
// opened, for quiet datagrams, and the first one for all others.
func quietFilter() (*unix.SockFprog, error) {
	program, err := assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: quietMarker, SkipFalse: 1},
		bpf.RetConstant{Val: 1},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return nil, fmt.Errorf("assembling the filter of quiet datagrams: %w", err)
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

// read gives all datagrams that have come, and when; they must not be kept.
func (q *quietSocket) read(take func(datagram []byte, at time.Time)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	oldest := q.clock.look(now)
	for range mostQuiet {
		if q.fd < 0 {
			return
		}
		datagram, controls, flags, errno := receiveRaw(q.fd, q.buffer, q.control)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return // nothing is left
		}
		if flags&unix.MSG_TRUNC == 0 {
			take(datagram, arrived(now, stamp(controls), oldest))
		}
	}
}

// filter lets the kernel drop datagrams of others than these sources.
func (q *quietSocket) filter(from *sources) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fd < 0 {
		return nil
	}
	return from.filter(q.fd)
}

// send sends a datagram from the same address, without waiting; it returns whether it is on
// its way. Go's poller would wake up once more for the memory that becomes free again.
func (q *quietSocket) send(datagram []byte, to netip.AddrPort) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.fd >= 0 && sendRaw(q.fd, datagram, to) == 0
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if address := a.Addr().Unmap(); address.Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: address.As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// stamp returns when the kernel received a datagram; zero: it does not say.
func stamp(control []byte) time.Time {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return time.Time{}
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16 {
			return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
		}
	}
	return time.Time{}
}

// Close ends it.
func (q *quietSocket) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fd < 0 {
		return nil
	}
	fd := q.fd
	q.fd = -1
	return os.NewSyscallError("close", unix.Close(fd))
}

// clockCheck brings times of the wall clock, in which the kernel stamps what it receives,
// to the clock that only goes forward.
type clockCheck struct{ last time.Time }

// tolerated is by how much the two clocks may differ from one look to the next: more than
// the wall clock is slewed by, and less than would make a difference.
const tolerated = 5 * time.Millisecond

// look returns how old a stamp can be that was not there at the last look; zero if the wall
// clock was set since, so that stamps say nothing.
func (c *clockCheck) look(now time.Time) (oldest time.Duration) {
	was := c.last
	c.last = now
	if was.IsZero() {
		return 0
	}
	steady, wall := now.Sub(was), now.Round(0).Sub(was.Round(0))
	if (wall - steady).Abs() > tolerated {
		return 0
	}
	return steady + tolerated
}

// arrived returns when something came that has a stamp: now, as far as anybody can say, if
// the stamp cannot be.
func arrived(now, stamp time.Time, oldest time.Duration) time.Time {
	if age := now.Round(0).Sub(stamp); age >= 0 && age <= oldest {
		return now.Add(-age)
	}
	return now
}
