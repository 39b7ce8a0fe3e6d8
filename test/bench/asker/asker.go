// Package asker sends ARP requests from a host and measures how soon they are answered. The benchmarks
// of the responder and of other load balancers use it.
package asker

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// pause between two requests: the machine is idle when the next one comes.
	pause = time.Millisecond
	// answerTimeout bounds the wait for an answer, in seconds.
	answerTimeout = 1
	arp           = 0x0806
	header        = 14
)

// AnyProcessor lets the kernel choose the processor of an Asker.
const AnyProcessor = -1

// Asker sends requests from a host. Its socket blocks, so that Go's scheduler
// has no part in the measurement.
type Asker struct {
	fd        int
	mac       net.HardwareAddr
	source    netip.Addr
	processor int
}

// New opens a socket on the interface eth0 of a host, in which in runs a function. Requests come from
// the address source. Ask runs on the processor of that number.
func New(in func(func() error) error, source netip.Addr, processor int) (*Asker, error) {
	a := &Asker{source: source, processor: processor}
	err := in(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		a.mac = ifi.HardwareAddr
		if a.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		if err := unix.SetsockoptTimeval(a.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: answerTimeout}); err != nil {
			return err
		}
		return unix.Bind(a.fd, &unix.SockaddrLinklayer{Protocol: arp<<8&0xff00 | arp>>8, Ifindex: ifi.Index})
	})
	if err != nil {
		return nil, fmt.Errorf("opening the client's socket: %w", err)
	}
	return a, nil
}

// Close closes the socket.
func (a *Asker) Close() { _ = unix.Close(a.fd) }

// request is an ARP request for an address (RFC 826), broadcast.
func (a *Asker) request(target netip.Addr) []byte {
	everybody := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	return slices.Concat(everybody, a.mac, []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 1}, a.mac,
		a.source.AsSlice(), make([]byte, 6), target.AsSlice())
}

// Ask sends requests and returns the time of each answer.
func (a *Asker) Ask(target netip.Addr, requests int) ([]time.Duration, error) {
	runtime.LockOSThread() // and never unlocked: the thread ends with the program
	if a.processor != AnyProcessor {
		var one unix.CPUSet
		one.Set(a.processor)
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			return nil, fmt.Errorf("keeping the client on one processor: %w", err)
		}
	}
	frame := a.request(target)
	buffer := make([]byte, 128)
	// What was announced meanwhile fills the socket; an answer would find no room.
	for {
		if _, _, err := unix.Recvfrom(a.fd, buffer, unix.MSG_DONTWAIT); err == unix.EAGAIN {
			break
		} else if err != nil && err != unix.EINTR {
			return nil, fmt.Errorf("emptying the client's socket: %w", err)
		}
	}
	var took []time.Duration
	for range requests {
		time.Sleep(pause)
		begin := time.Now()
		if _, err := unix.Write(a.fd, frame); err != nil {
			return nil, fmt.Errorf("asking for %s: %w", target, err)
		}
		for {
			n, err := unix.Read(a.fd, buffer)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("no answer for %s: %w", target, err)
			}
			if n >= header+18 && buffer[header+7] == 2 && netip.AddrFrom4([4]byte(buffer[header+14:header+18])) == target {
				break
			}
		}
		took = append(took, time.Since(begin))
	}
	return took, nil
}

// Flood sends requests for addresses of others at an even rate.
func (a *Asker) Flood(each, seconds int) error {
	perTick := each / 1000
	begin := time.Now()
	for tick := range 1000 * seconds {
		time.Sleep(time.Until(begin.Add(time.Duration(tick) * time.Millisecond)))
		for i := range perTick {
			frame := a.request(netip.AddrFrom4([4]byte{192, 168, byte(tick), byte(i)}))
			if _, err := unix.Write(a.fd, frame); err != nil {
				return fmt.Errorf("flooding: %w", err)
			}
		}
	}
	return nil
}
