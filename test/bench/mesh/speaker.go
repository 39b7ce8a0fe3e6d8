package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/internal/lb"
	machine "github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/session"
	"github.com/lbstack/lbstack/speaker/mesh"
)

// port of all nodes, on loopback addresses of their own.
const port = 17957

func address(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 57, byte(i >> 8), byte(i)}), port)
}

// usage is what a process has used so far.
type usage struct {
	processor time.Duration
	resident  int // bytes
}

// serve is the real process, on node 0 of so many. It prints a line once all others are
// alive, and its usage for each line that it reads.
func serve(count int) error {
	// As cmd/speaker does.
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(30)
	k, err := key()
	if err != nil {
		return err
	}
	all, ready := make(chan struct{}), false
	m, err := mesh.Start(mesh.Config{
		Node: nodeName(0), Address: address(0), Keys: []session.Key{k}, Profile: mesh.Default, Log: logr.Discard(), Metrics: mesh.NewMetrics(prometheus.NewRegistry()),
		View: func(v machine.View) {
			if !ready && len(v.Peers) == count-1 {
				ready = true
				close(all)
			}
		},
	})
	if err != nil {
		return err
	}
	peers := map[lb.NodeName]netip.Addr{}
	for i := range count {
		peers[nodeName(i)] = address(i).Addr()
	}
	m.Publish(state(0))
	m.Join(peers)
	<-all
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		u, err := used()
		if err != nil {
			return err
		}
		fmt.Println(int64(u.processor), u.resident)
	}
	return m.Stop()
}

// used is what this process has used.
func used() (usage, error) {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return usage{}, fmt.Errorf("reading what this process has used: %w", err)
	}
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return usage{}, fmt.Errorf("reading what this process has resident: %w", err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	if err != nil {
		return usage{}, fmt.Errorf("reading what this process has resident: %w", err)
	}
	return usage{time.Duration(r.Utime.Nano() + r.Stime.Nano()), pages * os.Getpagesize()}, nil
}

// idle is what a real process uses among the others while nothing happens.
type idle struct {
	share    float64 // of a processor
	resident int     // bytes, at the end
}

// settle is how long the real process runs before it is measured.
const settle = 10 * time.Second

// idleAmong has a real process take the place of node 0.
func (n *network) idleAmong(during time.Duration) (i idle, err error) {
	arrived := make(chan datagram, 1<<16)
	sockets := make([]*net.UDPConn, len(n.nodes))
	defer func() {
		for _, s := range sockets[1:] {
			if s != nil {
				err = errors.Join(err, s.Close())
			}
		}
	}()
	for at := 1; at < len(sockets); at++ {
		if sockets[at], err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(address(at))); err != nil {
			return i, fmt.Errorf("listening for %s: %w", n.names[at], err)
		}
		go read(sockets[at], at, arrived)
	}
	n.nodes[0].dead, n.direct = true, true
	n.outside = func(from int, data []byte) {
		// Refused while the process has not started: it is greeted again.
		_, _ = sockets[from].WriteToUDPAddrPort(data, address(0))
	}
	defer func() { n.outside, n.direct = nil, false }()
	done := make(chan error, 1)
	go func() { var wrong error; i, wrong = measureProcess(len(n.nodes), during); done <- wrong }()
	return i, errors.Join(n.follow(arrived, done), err)
}

func read(s *net.UDPConn, to int, arrived chan<- datagram) {
	for {
		buffer := make([]byte, session.MaxDatagram)
		size, _, err := s.ReadFromUDPAddrPort(buffer)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err == nil:
			arrived <- datagram{to: to, data: buffer[:size]}
		}
	}
}

// follow lets the time of the network pass as the clock does, until it is over. Heartbeats of
// nodes whose clocks agree are sent at the same moments.
func (n *network) follow(arrived <-chan datagram, done <-chan error) error {
	begun := time.Now()
	phase := func(t time.Time) time.Duration { return t.Sub(t.Truncate(standard.Interval)) }
	base := n.now.Add((phase(begun) - phase(n.now) + standard.Interval) % standard.Interval)
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-ticker.C:
		}
		if behind := base.Add(time.Since(begun)).Sub(n.now); behind > standard.Interval && n.now.After(base) {
			fmt.Fprintf(os.Stderr, "the simulated nodes are %s behind the clock\n", behind)
		}
		n.advance(base.Add(time.Since(begun)))
		for waiting := len(arrived); waiting > 0; waiting-- {
			n.receive(<-arrived)
		}
	}
}

// measureProcess runs the real process.
func measureProcess(count int, during time.Duration) (i idle, err error) {
	program, err := os.Executable()
	if err != nil {
		return i, fmt.Errorf("finding this program: %w", err)
	}
	command := exec.Command(program, "-serve", strconv.Itoa(count))
	command.Stderr = os.Stderr
	in, err1 := command.StdinPipe()
	out, err2 := command.StdoutPipe()
	if err := errors.Join(err1, err2, command.Start()); err != nil {
		return i, fmt.Errorf("starting the real process: %w", err)
	}
	hung := time.AfterFunc(time.Minute+during, func() { _ = command.Process.Kill() })
	defer hung.Stop()
	defer func() { err = errors.Join(err, in.Close(), command.Wait()) }()
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		return i, errors.New("the real process ended before all others were alive in its view")
	}
	time.Sleep(settle)
	before, err := ask(in, lines)
	if err != nil {
		return i, err
	}
	begun := time.Now()
	time.Sleep(during)
	after, err := ask(in, lines)
	return idle{float64(after.processor-before.processor) / float64(time.Since(begun)), after.resident}, err
}

func ask(in interface{ Write([]byte) (int, error) }, lines *bufio.Scanner) (u usage, err error) {
	if _, err := fmt.Fprintln(in, "usage"); err != nil {
		return u, fmt.Errorf("asking the real process: %w", err)
	}
	if !lines.Scan() {
		return u, errors.New("the real process ended")
	}
	if _, err := fmt.Sscan(lines.Text(), &u.processor, &u.resident); err != nil {
		return u, fmt.Errorf("reading %q of the real process: %w", lines.Text(), err)
	}
	return u, nil
}
