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

// member is a process that is a member of a mesh on a host.
type member struct {
	measured
	mu     sync.Mutex
	counts []string // the numbers of others alive, in order
	wrong  strings.Builder
	input  io.Closer
	killed bool
}

// member starts a member on a host. The member ends with the test.
func (b *bed) member(host string, address netip.Addr, peers map[lb.NodeName]netip.Addr) *member {
	b.Helper()
	config, err := json.Marshal(meshConfig{Node: lb.NodeName(host), Address: address, Peers: peers})
	if err != nil {
		b.Fatal(err)
	}
	m := &member{}
	cmd := exec.Command("nsenter", "--net=/var/run/netns/"+b.prefix+host, os.Args[0])
	cmd.Env = append(os.Environ(), meshEnvironment+"="+string(config))
	cmd.Stdout, cmd.Stderr = m, &m.wrong
	input, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	m.measured, m.input = measured{b.T, cmd}, input
	b.Cleanup(func() {
		if m.killed {
			return
		}
		_ = input.Close()
		if err := cmd.Wait(); err != nil {
			b.Errorf("the member on %s ended with %v:\n%s", host, err, m.wrong.String())
		}
	})
	return m
}

// kill ends the process at once.
func (m *member) kill() {
	m.t.Helper()
	m.killed = true
	if err := m.cmd.Process.Kill(); err != nil {
		m.t.Fatal(err)
	}
	_ = m.cmd.Wait() // reports the kill as an error
	_ = m.input.Close()
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
