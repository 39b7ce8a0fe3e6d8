package netns

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/session"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/speaker/checkpoint"
	"github.com/lbstack/lbstack/speaker/layer2"
	"github.com/lbstack/lbstack/speaker/layer2/responder"
	"github.com/lbstack/lbstack/speaker/links"
	"github.com/lbstack/lbstack/speaker/mesh"
	"github.com/lbstack/lbstack/test/arpwatch"
	"github.com/lbstack/lbstack/test/eventually"
)

// speakerEnvironment is the environment variable with the speakerConfig of a process that is a speaker.
const speakerEnvironment = "LBSTACK_NETNS_SPEAKER"

// speakerConfig is what a speaker has from its node and, in a cluster, from the API server.
type speakerConfig struct {
	Node lb.NodeName
	// Hosts are the addresses of all nodes on which a speaker should run.
	Hosts map[lb.NodeName]netip.Addr
	// Addresses may be announced by all nodes.
	Addresses []netip.Addr
	// Key of the mesh: each of its octets has this value.
	Key byte
	// Folder of the checkpoint.
	Folder string
	// Away: the API server is away, so that the speaker has nothing but its checkpoint.
	Away bool
}

// peers returns the addresses of the other speakers.
func (c speakerConfig) peers() map[lb.NodeName]netip.Addr {
	peers := maps.Clone(c.Hosts)
	delete(peers, c.Node)
	return peers
}

func (c speakerConfig) snapshot() (s layer2.Snapshot) {
	var candidates []ownership.Candidate
	for _, node := range slices.Sorted(maps.Keys(c.Hosts)) {
		candidates = append(candidates, ownership.Candidate{Node: node})
	}
	for _, address := range c.Addresses {
		s.Addresses = append(s.Addresses, layer2.AnnouncedAddress{Address: address, Candidates: candidates})
	}
	return s
}

// speakerReport is what a speaker prints, one line for each report of the engine.
type speakerReport struct {
	Phase    string
	Owned    map[netip.Addr]uint64 // epochs by address
	Live     int
	Minority bool
	// Conflicts are the conflicts that the responder has reported so far.
	Conflicts []layer2.Conflict
}

// runSpeaker runs a speaker without Kubernetes until its input ends, and then lets it leave as at the end of its pod. The
// parts are connected as in package speaker/app.
func runSpeaker(config string) error {
	var c speakerConfig
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return err
	}
	log := funcr.New(func(name, line string) { fmt.Fprintln(os.Stderr, name, line) }, funcr.Options{LogTimestamp: true, Verbosity: 1})
	key, err := session.ParseKey(bytes.Repeat([]byte{c.Key}, session.KeySize))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	store, stored := checkpoint.Open(c.Folder, c.Node, log)
	out, registry := &speakerOutput{}, prometheus.NewRegistry()
	engine := layer2.New(layer2.Config{
		Self: c.Node, Log: log.WithName("engine"), Report: out.report, Save: store.SaveEngine, Resume: stored.Checkpoint, Metrics: layer2.NewMetrics(registry),
	})
	peers, err := mesh.Start(mesh.Config{
		Node: c.Node, Address: netip.AddrPortFrom(c.Hosts[c.Node], meshPort), Keys: []session.Key{key}, Log: log.WithName("mesh"),
		Profile: mesh.ProfileDefault, View: engine.SetView, Metrics: mesh.NewMetrics(registry),
	})
	if err != nil {
		return err
	}
	engine.Mesh = peers
	engine.Announcer = responder.New(ctx, log.WithName("layer2"), responder.Options{
		ARP: responder.ListenARP, NDP: responder.ListenNDP, Metrics: responder.NewMetrics(registry), MayAnswer: peers.MayAnswer,
		Conflicts: func(list []layer2.Conflict) { out.addConflicts(list); engine.SetConflicts(list) }, Unserved: engine.SetUnserved,
		Segment: engine.SetSegment, Witnesses: links.Witnesses, Rival: engine.AddRival, Announced: engine.AddAnnounced,
		AnswerSource: engine.AnswerSource, ProxyBinds: links.ProxyBinds,
	})
	running.Go(func() { store.Run(ctx) })
	running.Go(func() { engine.Run(ctx) })
	running.Go(func() { links.Watch(ctx, log.WithName("links"), c.Hosts[c.Node], engine.SetLinks) })
	setPeers := func(others map[lb.NodeName]netip.Addr) {
		peers.SetPeers(others)
		engine.SetHosts(others)
	}
	if stored.Peers != nil {
		setPeers(stored.Peers)
	}
	if c.Away {
		time.AfterFunc(2*time.Second, func() { engine.SetCheckpoint(stored.Snapshot) })
	} else {
		store.SavePeers(c.peers())
		setPeers(c.peers())
		engine.SetSnapshot(c.snapshot())
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	leaving, cancelLeaving := context.WithTimeout(ctx, time.Second)
	defer cancelLeaving()
	engine.Restart(leaving, 30*time.Second)
	peers.WaitAcknowledged(leaving)
	return peers.Stop()
}

// speakerOutput prints the reports of a speaker.
type speakerOutput struct {
	mu   sync.Mutex
	last speakerReport
}

func (o *speakerOutput) report(r layer2.Report) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last.Phase, o.last.Live, o.last.Minority, o.last.Owned = r.Phase, r.Live, !r.MinoritySince.IsZero(), map[netip.Addr]uint64{}
	for _, owned := range r.Owned {
		o.last.Owned[owned.Address] = owned.Epoch
	}
	o.print()
}

func (o *speakerOutput) addConflicts(list []layer2.Conflict) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range list {
		if !c.Unconfirmed {
			o.last.Conflicts = append(o.last.Conflicts, c)
		}
	}
	o.print()
}

func (o *speakerOutput) print() { _ = json.NewEncoder(os.Stdout).Encode(o.last) }

// speakerProcess is a process that is a speaker.
type speakerProcess struct {
	process
	out    lockedText
	config speakerConfig
}

// cluster is three nodes, a gateway, and a client that asks for the addresses all the time.
type cluster struct {
	*bed
	*arpwatch.Watch
	addresses []netip.Addr
	config    speakerConfig // of all speakers, without the name of the node
	speakers  map[string]*speakerProcess
	macs      map[string]string // nodes by hardware address
}

var nodeNames = []string{"node1", "node2", "node3"}

// gateway is the address of the gateway. No test disturbs the gateway: a time without its answers is a stall of the machine.
const gateway = "192.168.1.4"

// newCluster makes a cluster without speakers. The addresses may be announced.
func newCluster(t *testing.T, addresses ...netip.Addr) *cluster {
	t.Helper()
	c := &cluster{bed: newBed(t, "node1", "node2", "node3", "gateway", "client"), addresses: addresses, speakers: map[string]*speakerProcess{}, macs: map[string]string{}}
	c.config = speakerConfig{Hosts: map[lb.NodeName]netip.Addr{}, Addresses: addresses, Key: 7, Folder: t.TempDir()}
	for i, node := range nodeNames {
		c.config.Hosts[lb.NodeName(node)] = netip.AddrFrom4([4]byte{192, 168, 1, byte(i + 1)})
		c.macs[c.link(node).Hardware.String()] = node
		c.ip(node, "route", "add", "default", "via", gateway)
	}
	watched := []string{gateway}
	for _, address := range c.watched() {
		watched = append(watched, address.String())
	}
	var err error
	if c.Watch, err = arpwatch.On(func(do func() error) error { c.in("client", do); return nil }, "eth0", netip.MustParseAddr("192.168.1.199"), watched...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, node := range slices.Sorted(maps.Keys(c.speakers)) {
				s := c.speakers[node]
				t.Logf("%s printed:\n%s%s", node, s.out.String(), s.wrong.String())
			}
		}
		_ = c.Close()
	})
	return c
}

// watched returns the addresses that the client asks for all the time.
func (c *cluster) watched() []netip.Addr {
	return slices.DeleteFunc(slices.Clone(c.addresses), netip.Addr.Is6)
}

// start starts the speaker of a node, with a changed configuration if change is not nil.
func (c *cluster) start(node string, change func(*speakerConfig)) *speakerProcess {
	c.Helper()
	s := &speakerProcess{config: c.config}
	s.config.Node = lb.NodeName(node)
	if change != nil {
		change(&s.config)
	}
	s.run(c.bed, node, speakerEnvironment, s.config, &s.out)
	c.speakers[node] = s
	return s
}

// last returns the last report of a speaker.
func (s *speakerProcess) last() (r speakerReport, err error) {
	lines := strings.Split(strings.TrimSpace(s.out.String()), "\n")
	return r, json.Unmarshal([]byte(lines[len(lines)-1]), &r)
}

// becomes waits until the last report of a speaker is as wanted.
func (s *speakerProcess) becomes(what string, is func(speakerReport) bool) {
	s.t.Helper()
	eventually.Succeed(s.t, 20*time.Second, what, func(context.Context) error {
		r, err := s.last()
		if err == nil && !is(r) {
			err = fmt.Errorf("%s: the report is %+v", s.config.Node, r)
		}
		return err
	})
}

// anyNode may be the owner of an address: see settled.
func anyNode(string) bool { return true }

// settled waits until one node answers for each address, which is an owner as wanted, and returns the nodes.
func (c *cluster) settled(wanted func(owner string) bool) (owners map[netip.Addr]string) {
	c.Helper()
	owners = map[netip.Addr]string{}
	eventually.Succeed(c.T, 20*time.Second, "one node answers for each address", func(context.Context) error {
		for _, address := range c.watched() {
			got := c.Since(time.Now().Add(-time.Second), address.String())
			if owners[address] = c.macs[got.Last]; len(got.Owners) != 1 || got.Silent > 500*time.Millisecond || owners[address] == "" || !wanted(owners[address]) {
				return fmt.Errorf("%s: %+v", address, got)
			}
		}
		return nil
	})
	return owners
}

// stored waits until the checkpoint of each node has the claims of the node, and no address that it still probes.
func (c *cluster) stored() {
	c.Helper()
	for node, s := range c.speakers {
		eventually.Succeed(c.T, 20*time.Second, "the checkpoint is written", func(context.Context) error {
			r, err := s.last()
			_, content := checkpoint.Open(s.config.Folder, s.config.Node, logr.Discard())
			if err == nil && (len(content.Held) > 0 || len(content.Claims) != len(r.Owned) || len(content.Snapshot.Addresses) != len(c.addresses)) {
				err = errors.New(node + " has another checkpoint")
			}
			return err
		})
	}
}
