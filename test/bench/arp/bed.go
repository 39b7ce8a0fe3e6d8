package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/vishvananda/netns"
)

const (
	clientAddress = "192.168.1.1"
	serverAddress = "192.168.1.2"
	// processor that everything runs on, see startResponder.
	processor = 0
)

// bed is two hosts with a link between them.
type bed struct {
	client, server string // names of namespaces
}

func newBed() (*bed, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("this makes network namespaces: run it as root")
	}
	prefix := fmt.Sprintf("lbstack-bench-%d-", os.Getpid())
	b := &bed{client: prefix + "client", server: prefix + "server"}
	for _, args := range [][]string{
		{"netns", "add", b.client},
		{"netns", "add", b.server},
		{"link", "add", "eth0", "netns", b.client, "type", "veth", "peer", "name", "eth0", "netns", b.server},
		{"-n", b.client, "address", "add", clientAddress + "/24", "dev", "eth0"},
		{"-n", b.server, "address", "add", serverAddress + "/24", "dev", "eth0"},
		{"-n", b.client, "link", "set", "eth0", "up"},
		{"-n", b.server, "link", "set", "eth0", "up"},
	} {
		if err := ip(args...); err != nil {
			return nil, errors.Join(err, b.close())
		}
	}
	return b, nil
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (b *bed) close() error {
	return errors.Join(ip("netns", "del", b.client), ip("netns", "del", b.server))
}

// in runs a function on a host.
func in(host string, fn func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		handle, err := netns.GetFromName(host)
		if err == nil {
			defer handle.Close()
			if err = netns.Set(handle); err == nil {
				err = fn()
			}
		}
		result <- err
	}()
	return <-result
}

// process is a responder that works on the server.
type process struct {
	cmd   *exec.Cmd
	input io.Closer
}

// startResponder starts this program once more, so that what a responder costs can
// be separated from the cost of the client. It shares a processor with the client: waking
// another processor takes longer than everything else, and the time depends on how deep a
// hypervisor lets it sleep.
func (b *bed) startResponder(owned int) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding the program itself: %w", err)
	}
	cmd := exec.Command("taskset", "--cpu-list", fmt.Sprint(processor),
		"nsenter", "--net=/var/run/netns/"+b.server, self, "-serve", fmt.Sprint(owned))
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("preparing the responder: %w", err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("preparing the responder: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the responder: %w", err)
	}
	p := &process{cmd: cmd, input: input}
	if _, err := bufio.NewReader(output).ReadString('\n'); err != nil {
		p.stop()
		return nil, fmt.Errorf("waiting for the responder: %w", err)
	}
	return p, nil
}

func (p *process) stop() {
	_ = p.input.Close()
	_ = p.cmd.Wait()
}

// share returns the part of a core that the responder used while a function ran.
func (p *process) share(fn func() error) (float64, error) {
	before, err := p.used()
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := fn(); err != nil {
		return 0, err
	}
	after, err := p.used()
	return (after - before).Seconds() / time.Since(begin).Seconds(), err
}

// used returns the processor time of the process: fields 14 and 15 of its stat
// (proc(5)), in hundredths of a second.
func (p *process) used() (time.Duration, error) {
	path := fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("reading what the responder used: %w", err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest) // from the third on
	var user, system int64
	if len(fields) < 13 {
		return 0, fmt.Errorf("reading %s: %d fields", path, len(fields))
	}
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		return 0, fmt.Errorf("reading %s: %w", path, err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond, nil
}
