package main

import (
	"bufio"
	"errors"
	"fmt"
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

// usage has the resources that a process has used so far.
type usage struct {
	processor time.Duration
	resident  int // bytes
}

// serve runs the real process on node 0 of a number of nodes. It prints a line once all others are
// alive, and its usage for each line that it reads.
func serve(count int) error {
	// As speaker/app does, but on one processor: its peers run on the other one.
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(30)
	k, err := key()
	if err != nil {
		return err
	}
	all, ready := make(chan struct{}), false
	m, err := mesh.Start(mesh.Config{
		Node: nodeName(0), Address: address(0), Keys: []session.Key{k}, Profile: mesh.ProfileDefault, Log: logr.Discard(), Metrics: mesh.NewMetrics(prometheus.NewRegistry()),
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
	m.SetPeers(peers)
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

// used returns the usage of this process.
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

// idle is the usage of a real process among the others in a quiet cluster.
type idle struct {
	share    float64 // of a processor
	resident int     // bytes, at the end
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
