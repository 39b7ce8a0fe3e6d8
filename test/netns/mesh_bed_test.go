package netns

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lbstack/lbstack/internal/lb"
	machine "github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/session"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/speaker/mesh"
	"github.com/lbstack/lbstack/test/eventually"
)

// meshEnvironment is the environment variable with the meshConfig of a process that is a member of a mesh.
const meshEnvironment = "LBSTACK_NETNS_MESH"

// meshPort is the port of the mesh.
const meshPort = 7946

// meshKey is the key of all members.
func meshKey() []byte { return bytes.Repeat([]byte{7}, session.KeySize) }

// meshConfig is the configuration of a member of a mesh.
type meshConfig struct {
	Node    lb.NodeName
	Address netip.Addr
	Peers   map[lb.NodeName]netip.Addr
}

// runMember runs the mesh of a speaker in a process of its own. It prints how many others are
// alive after each change, until its input ends.
func runMember(config string) error {
	var c meshConfig
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return err
	}
	var printing sync.Mutex
	key, err := session.ParseKey(meshKey())
	if err != nil {
		return err
	}
	m, err := mesh.Start(mesh.Config{
		Node: c.Node, Address: netip.AddrPortFrom(c.Address, meshPort), Keys: []session.Key{key},
		Profile: mesh.ProfileDefault, Log: logr.Discard(), Metrics: mesh.NewMetrics(prometheus.NewRegistry()),
		View: func(v machine.View) {
			printing.Lock()
			defer printing.Unlock()
			fmt.Println(len(v.Peers))
		},
	})
	if err != nil {
		return err
	}
	m.Publish(wire.State{Phase: ownership.Active})
	m.SetPeers(c.Peers)
	_, _ = io.Copy(io.Discard, os.Stdin)
	return m.Stop()
}

// process is this program, run once more on a host.
type process struct {
	measured
	wrong lockedText // what it wrote to its standard error
	input io.Closer
	ended bool // by the test
}

// run starts this program once more, on a host, with a configuration in an environment variable. It runs until the
// test ends.
func (p *process) run(b *bed, host, variable string, config any, out io.Writer) {
	b.Helper()
	text, err := json.Marshal(config)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command("nsenter", "--net=/var/run/netns/"+b.prefix+host, os.Args[0])
	cmd.Env = append(os.Environ(), variable+"="+string(text))
	cmd.Stdout, cmd.Stderr = out, &p.wrong
	input, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	p.measured, p.input = measured{b.T, cmd}, input
	b.Cleanup(func() {
		if p.ended {
			return
		}
		if err := p.leave(); err != nil {
			b.Errorf("the process on %s ended with %v:\n%s", host, err, p.wrong.String())
		}
	})
}

// kill ends the process at once.
func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	_ = p.leave() // reports the kill as an error
}

// leave ends the input of the process, and waits until the process has ended.
func (p *process) leave() error {
	p.ended = true
	_ = p.input.Close()
	return p.cmd.Wait()
}

// lockedText collects what a process writes.
type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (t *lockedText) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

func (t *lockedText) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// member is a process that is a member of a mesh on a host.
type member struct {
	process
	mu     sync.Mutex
	counts []string // the numbers of others alive, in order
}

// member starts a member on a host. The member ends with the test.
func (b *bed) member(host string, address netip.Addr, peers map[lb.NodeName]netip.Addr) *member {
	b.Helper()
	m := &member{}
	m.run(b, host, meshEnvironment, meshConfig{Node: lb.NodeName(host), Address: address, Peers: peers}, m)
	return m
}

// receivesFrom waits until this number of others are alive.
func (m *member) receivesFrom(others string) {
	m.t.Helper()
	eventually.Succeed(m.t, 20*time.Second, "a member receives from "+others+" others", func(context.Context) error {
		if got := m.forget(); len(got) == 0 || got[len(got)-1] != others {
			return fmt.Errorf("the numbers of others that are alive: %v", got)
		}
		return nil
	})
}

// Write receives the output of the process.
func (m *member) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts = append(m.counts, strings.Fields(string(p))...)
	return len(p), nil
}

// forget returns how many others were alive since the last call, in order. The next call begins with
// the last number.
func (m *member) forget() (counts []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	counts = m.counts
	m.counts = counts[max(0, len(counts)-1):len(counts):len(counts)]
	return counts
}
