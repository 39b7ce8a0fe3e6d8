package packet

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Socket reads and writes Ethernet frames of one protocol on one interface. One
// goroutine may read while others write.
type Socket struct {
	conn *packet.Conn
	raw  syscall.RawConn
	name string

	// These fields are the state of reading. They are allocated once, so that a frame costs no
	// allocation.
	buffer   []byte
	received int
	failed   error
	read     func(fd uintptr) bool

	mu      sync.Mutex
	dropped uint64
}

// Listen opens a socket that receives nothing until it has a filter. It needs the capability NET_RAW.
// The socket does not receive packets that this machine sends, except on kernels before 4.20: see
// ignoreOutgoing.
func Listen(ifi *net.Interface, etherType int) (*Socket, error) {
	nothing, err := bpf.Assemble([]bpf.Instruction{DropInstruction()})
	if err != nil {
		return nil, fmt.Errorf("assembling the packet filter: %w", err)
	}
	conn, err := packet.Listen(ifi, packet.Raw, etherType, &packet.Config{Filter: nothing})
	if err != nil {
		return nil, fmt.Errorf("opening a packet socket on %s: %w", ifi.Name, err)
	}
	raw, err := conn.SyscallConn()
	if err == nil {
		err = ignoreOutgoing(raw)
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("setting up the packet socket on %s: %w", ifi.Name, err)
	}
	s := &Socket{conn: conn, raw: raw, name: ifi.Name, buffer: make([]byte, 2048)}
	s.read = s.readOnce
	return s, nil
}

// Filter replaces the program that decides in the kernel which packets are read. It may be called at
// any time: for each packet, either the old or the new program decides. Filter calls the function
// program with MaxRanges. If the kernel has no memory for the resulting program, Filter calls the
// function again and again, each time with half as many ranges. The kernel bounds the memory of a
// socket's options, the old program included (net.core.optmem_max, 20 KiB before Linux 6.8).
func (s *Socket) Filter(program func(ranges int) []bpf.Instruction) error {
	return attachLargest(func(ranges int) error { return s.attach(program(ranges)) })
}

// attachLargest calls attach with fewer and fewer ranges until the kernel has memory for the program.
func attachLargest(attach func(ranges int) error) (err error) {
	for ranges := MaxRanges; ranges > 0; ranges /= 2 {
		if err = attach(ranges); !errors.Is(err, unix.ENOMEM) {
			break
		}
	}
	return err
}

func (s *Socket) attach(program []bpf.Instruction) error {
	raw, err := bpf.Assemble(append(dropOtherHosts(), program...))
	if err != nil {
		return fmt.Errorf("assembling the packet filter of %s: %w", s.name, err)
	}
	if err := s.conn.SetBPF(raw); err != nil {
		return fmt.Errorf("attaching a packet filter of %d instructions to %s: %w", len(raw), s.name, err)
	}
	return nil
}

// Read waits for a frame. The frame is valid until the next Read. After an error the socket is not
// usable any more.
func (s *Socket) Read() ([]byte, error) {
	if err := s.raw.Read(s.read); err != nil {
		return nil, fmt.Errorf("reading from %s: %w", s.name, err)
	}
	if s.failed != nil {
		return nil, fmt.Errorf("reading from %s: %w", s.name, s.failed)
	}
	return s.buffer[:s.received], nil
}

// readOnce reads a frame. If there is no frame yet, it returns false, and is called again when there is
// one.
func (s *Socket) readOnce(fd uintptr) bool {
	for {
		s.received, s.failed = unix.Read(int(fd), s.buffer)
		switch {
		case errors.Is(s.failed, unix.EAGAIN):
			return false
		case !errors.Is(s.failed, unix.EINTR):
			return true
		}
	}
}

// Write sends a frame, with its Ethernet header. It does not wait: if the interface does not accept the
// frame at once, the frame is not sent, and that is an error.
func (s *Socket) Write(frame []byte) error {
	var failed error
	err := s.raw.Write(func(fd uintptr) bool {
		_, failed = unix.Write(int(fd), frame)
		return true
	})
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("sending on %s: %w", s.name, err)
	}
	return nil
}

// Dropped returns how many packets the kernel has dropped so far because the program did not read them in
// time.
func (s *Socket) Dropped() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stats, err := s.conn.Stats(); err == nil { // the counter starts at zero after each call
		s.dropped += uint64(stats.Drops)
	}
	return s.dropped
}

// Close ends Read with an error.
func (s *Socket) Close() error { return s.conn.Close() }

// ignoreOutgoing makes the socket drop packets that this machine sends. Kernels before 4.20 do not
// support the option: Read then also returns such packets.
func ignoreOutgoing(raw syscall.RawConn) error {
	var failed error
	if err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	}); err != nil {
		return err
	}
	if errors.Is(failed, unix.ENOPROTOOPT) {
		return nil
	}
	return failed
}
