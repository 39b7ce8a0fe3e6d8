package mesh

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lbstack/lbstack/internal/lb"
	machine "github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/session"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/internal/reports"
	"github.com/lbstack/lbstack/internal/segment"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// The simulation runs the engine, the machine and the runner of many nodes in one
// bubble of testing/synctest. Its network delays, drops, duplicates and reorders messages.
// The checker compares which nodes answer for which addresses with what is promised. All
// chance comes from the seed. Goroutines that are due in the same nanosecond run in any
// order, so that a seed repeats a run nearly, not exactly.
//
// Three parts are not the product's: the socket, the probing of kernels (which reads the world),
// and a frozen node. The loops of a frozen node stop at their next step, and its runner reads
// from its clock afterwards that it stood still.

const (
	// probing is how long an address that nobody ever had is probed for.
	probing = 400 * time.Millisecond
	// calm is the time without a fault after which every promise must hold again.
	calm = 5 * time.Second
	// leastDelay and mostDelay bound the delay of a message.
	leastDelay, mostDelay = 100 * time.Microsecond, 5 * time.Millisecond
)

// span is a time in which no node, or more than one node, answered for an address.
type span struct {
	address    netip.Addr
	start, end time.Time
	who        []lb.NodeName
	calm       bool          // no fault had happened for the time calm when the span began
	covered    time.Time     // when one of several that answered last covered for a node that restarts
	excused    time.Time     // when last no bound held: see isStranger
	bound      time.Duration // of how long the span may last, with the conditions of each moment since it began
}

func (s span) length() time.Duration { return s.end.Sub(s.start) }

// world has all nodes, and the network between them.
type world struct {
	timing machine.Timing
	start  time.Time
	names  []lb.NodeName
	seed   uint64
	ctx    context.Context
	// firm: messages are lost so rarely that no node may be confirmed dead that is alive.
	firm bool
	// storage: nodes have another link, eth1, which the mesh does not use.
	storage bool
	// mixed: every third address that is wanted is in the subnet of eth1.
	mixed bool
	// swapped: the gateway stays with the smaller part of a cut.
	swapped bool
	// failback: addresses may move although nothing failed.
	failback bool

	mu        sync.Mutex
	nodes     map[lb.NodeName]*node
	lan                               // of the mesh and of the gateway: eth0
	second    *lan                    // eth1: a segment without a gateway
	walls     map[[2]lb.NodeName]bool // from, to: messages of the mesh are lost, other frames are not
	away      map[lb.NodeName]bool    // nodes that do not reach the gateway
	keys      map[lb.NodeName][]session.Key
	recorded  []datagram // a sample of the datagrams that arrived, if replay
	replay    bool
	loss      float64 // share of the messages
	dup       float64
	late      float64 // share of the messages that arrive late, and out of order
	want      layer2.Snapshot
	wanted    int                  // version of want
	changed   time.Time            // when want last changed
	noAPI     map[lb.NodeName]bool // nodes without a connection to the API server
	attached  time.Time            // when noAPI last changed
	states    map[lb.NodeName]reports.Report
	separated bool      // nodes are cut from each other, and all reach the gateway
	key       byte      // the latest key, which all nodes use or are about to use
	rekeyed   time.Time // when all nodes have key, if the keys were not accepted side by side
	rotated   time.Time // when the rotation ends
	steps     int       // how often the checker ran
	log       []string
	answering map[netip.Addr][]lb.NodeName
	had       map[netip.Addr]bool // wanted addresses that a node has answered for since they are wanted
	gaps      map[part]*span      // that have not ended
	doubles   map[part]*span
	pastGaps  []span
	pastTwice []span
	fault     time.Time // when something last happened after which no node may answer for a while
	split     time.Time // when the views of nodes last began to differ, or to agree again
	healed    time.Time
	failures  []string
	processes uint64
	over      bool // the checker has stopped
}

// node is a machine, and the speaker on the machine, if one runs.
type node struct {
	w    *world
	name lb.NodeName

	// The lock of the world guards these fields:
	rng    *rand.Rand
	kernel bool            // the machine runs
	silent bool            // its speaker sends nothing to the segments
	mac    byte            // last byte of the hardware addresses: of two claims with one epoch the lower byte wins
	up     map[string]bool // links that have a carrier
	// step is the offset that the wall clock was set by, in nanoseconds.
	step atomic.Int64
	kept layer2.Checkpoint
	// stored are the nodes in process.knows when the checkpoint was stored.
	stored map[lb.NodeName]bool
	p      *process
}

// process is a speaker.
type process struct {
	n      *node
	engine *layer2.Engine
	live   map[lb.NodeName]bool // alive in the latest view; the lock of the runner guards it
	// met has for each node the process that ran there when the speaker of the node was last alive in a view.
	met map[lb.NodeName]*process
	// knows are the nodes whose speakers were alive in a view, of this process or one before, while their eth1 was up:
	// the process has the hardware addresses of these links.
	knows map[lb.NodeName]bool
	// unreached are the nodes whose speakers receive nothing from this process, in the latest view.
	unreached []lb.NodeName
	// keys are the names of the keys that the process has, read the counter of the latest datagram of each instance that it has
	// read under one of them, and greeted when the latest one of a node was last a greeting: see noteRead.
	keys    []keyID
	read    map[wire.Instance]uint64
	greeted map[lb.NodeName]time.Time
	runner  *runner
	ctx     context.Context
	cancel  context.CancelFunc
	inbox   chan datagram
	frozen  atomic.Pointer[chan struct{}] // closed when the process runs again; nil: the process runs

	// The lock of the world guards these fields:
	dead   bool
	froze  time.Time // when the process was frozen, if it is
	wanted int       // the version of world.want that the process has
	begun  time.Time
	// drained: the node is drained, as far as the process knows. undrained is when a drain last ended.
	drained   bool
	undrained time.Time
	// informed is when the process had a snapshot first, of the API server or the checkpoint; zero: it has none.
	informed time.Time
	alive    int64 // runner.alive when the process was frozen
	owned    map[netip.Addr]layer2.Serving
	ready    map[netip.Addr]time.Time // when the probing of an address ends and the process answers for it
	// segment sends probes while asking.
	segment *segment.Machine
	asking  bool
	// ours are the hardware addresses of nodes that the process has received.
	ours map[segment.Hardware]bool
	// latest is the last report of the process. silentHere: the process announces nothing on eth0, the link of
	// the mesh, since no host answers there.
	latest     reports.Report
	silentHere bool
	// partitioned is when the report of the controller stops counting that the process is cut from a larger group.
	partitioned time.Time
	// shared are the nodes that answered on eth0 since the process, in a minority, misses their speakers.
	shared map[lb.NodeName]bool
	// asked are the addresses that the segments are asked about, with their links.
	asked map[netip.Addr][]string
	// awaited are addresses of the second segment: a host that requests one of them shows that the node receives.
	awaited []netip.Addr
	// contested is when another node last announced an address of this process.
	contested map[netip.Addr]time.Time
}

func newWorld(ctx context.Context, seed uint64, count int) *world {
	w := &world{
		timing: ProfileDefault.timing(), start: time.Now(), seed: seed, ctx: ctx, firm: true,
		nodes: map[lb.NodeName]*node{}, lan: newLAN("eth0"), walls: map[[2]lb.NodeName]bool{}, keys: map[lb.NodeName][]session.Key{}, away: map[lb.NodeName]bool{}, noAPI: map[lb.NodeName]bool{}, states: map[lb.NodeName]reports.Report{}, key: 1,
		answering: map[netip.Addr][]lb.NodeName{}, had: map[netip.Addr]bool{}, gaps: map[part]*span{}, doubles: map[part]*span{},
	}
	second := newLAN("eth1")
	w.second = &second
	w.fault, w.split, w.healed = w.start, w.start, w.start
	for i := range count {
		name := lb.NodeName(fmt.Sprintf("n%d", i+1))
		w.names = append(w.names, name)
		w.keys[name] = []session.Key{simulatedKey(1)}
		w.nodes[name] = &node{w: w, name: name, rng: rand.New(rand.NewPCG(seed, uint64(i))), kernel: true, mac: byte(i), up: map[string]bool{"eth0": true, "eth1": true, "cni0": true}}
	}
	w.want.Draining, w.want.Down = map[lb.NodeName]bool{}, map[lb.NodeName]bool{}
	go w.sample(w.ctx)
	return w
}

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%9.4f  ", time.Since(w.start).Seconds())+fmt.Sprintf(format, args...))
}

// fail logs a broken promise. The test goes on, since later entries of the log may explain the failure.
func (w *world) fail(format string, args ...any) {
	sentence := fmt.Sprintf(format, args...)
	w.note("BROKEN: %s", sentence)
	if len(w.failures) < 5 {
		w.failures = append(w.failures, fmt.Sprintf("at %.4fs: %s", time.Since(w.start).Seconds(), sentence))
	}
}

// vip returns an address of the test.
func vip(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{192, 168, byte(1 + i/200), byte(1 + i%200)})
}

// wants has the cluster want addresses with these candidates. Without candidates, all nodes are.
func (w *world) wants(count int, candidates ...lb.NodeName) {
	if len(candidates) == 0 {
		candidates = w.names
	}
	var list []layer2.Candidate
	for _, c := range candidates {
		list = append(list, layer2.Candidate{Node: c})
	}
	w.change(func(s *layer2.Snapshot) {
		s.Addresses = nil
		for i := range count {
			address := vip(i)
			if w.mixed && i%3 == 2 {
				address = netip.AddrFrom4([4]byte{10, 1, 0, byte(i)})
			}
			s.Addresses = append(s.Addresses, layer2.AnnouncedAddress{Address: address, Candidates: list})
		}
	})
}

// change changes the wanted snapshot. Each node that reaches the API server receives the new
// snapshot after a while.
func (w *world) change(write func(*layer2.Snapshot)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := layer2.Snapshot{Addresses: slices.Clone(w.want.Addresses), Draining: maps.Clone(w.want.Draining), Down: maps.Clone(w.want.Down)}
	write(&s)
	w.want = s
	w.wanted++
	w.changed = time.Now()
	maps.DeleteFunc(w.had, func(address netip.Addr, _ bool) bool { return !w.isWanted(address) })
	w.note("wanted: %d addresses, draining %v", len(s.Addresses), draining(s))
	for _, name := range w.names {
		if p := w.nodes[name].p; p != nil && !p.dead {
			w.inform(p, 50*time.Millisecond)
		}
	}
}

// inform sends the wanted snapshot to a node within the time most: the snapshot as it is on
// arrival. The caller holds the lock.
func (w *world) inform(p *process, most time.Duration) {
	delay := time.Duration(p.n.rng.Int64N(int64(most)))
	time.AfterFunc(delay, func() {
		p.gate()
		w.mu.Lock()
		s, noAPI := w.want, w.noAPI[p.n.name]
		if !noAPI {
			p.wanted = w.wanted
			p.noteInformed()
			if p.drained && !s.Draining[p.n.name] {
				p.undrained = time.Now()
			}
			p.drained = s.Draining[p.n.name]
		}
		w.mu.Unlock()
		if !noAPI {
			p.engine.SetSnapshot(s)
		}
	})
}

// run starts a speaker, as speaker/app does.
func (w *world) run(names ...lb.NodeName) {
	for _, name := range names {
		w.runOne(name)
	}
}

func (w *world) runOne(name lb.NodeName) {
	w.mu.Lock()
	n := w.nodes[name]
	w.processes++
	p := &process{n: n, inbox: make(chan datagram, 4096), owned: map[netip.Addr]layer2.Serving{}, ready: map[netip.Addr]time.Time{}, segment: segment.New(), contested: map[netip.Addr]time.Time{}, shared: map[lb.NodeName]bool{}, met: map[lb.NodeName]*process{}, knows: map[lb.NodeName]bool{}, read: map[wire.Instance]uint64{}, greeted: map[lb.NodeName]time.Time{}, begun: time.Now()}
	p.ctx, p.cancel = context.WithCancel(w.ctx)
	n.p, n.kernel = p, true
	if len(w.gaps) > 0 {
		w.fault = time.Now() // addresses that no node answers for wait for this speaker now
	}
	kept := n.kept
	maps.Copy(p.knows, n.stored)
	w.note("%s starts, it had %v", name, short(slices.SortedFunc(maps.Keys(kept.Claims), netip.Addr.Compare)))
	p.engine = layer2.New(layer2.Config{
		Self: name, Log: logr.Discard(), Now: n.now, Announcer: p, Resume: kept, Failback: w.failback,
		Report: p.reported, Save: p.saveCheckpoint,
		Metrics: layer2.NewMetrics(prometheus.NewRegistry()),
	})
	chance := rand.New(rand.NewPCG(w.seed, w.processes<<32)) // the lock of the runner guards it
	random := func(b []byte) {
		for i := range b {
			b[i] = byte(chance.Uint32())
		}
	}
	var instance wire.Instance
	random(instance[:])
	p.runner = newRunner(name, w.timing, instance, random, p.send, p.view)
	p.runner.clock, p.runner.now, p.runner.address = p.clock, n.now, n.host()
	p.engine.Mesh = p.runner
	p.engine.SetHosts(n.hosts())
	offset := time.Duration(n.rng.Int64N(int64(w.timing.Interval)))
	if len(kept.Snapshot.Addresses) > 0 {
		time.AfterFunc(2*time.Second, func() {
			w.mu.Lock()
			if reflect.DeepEqual(kept.Snapshot.Addresses, w.want.Addresses) && maps.Equal(kept.Snapshot.Draining, w.want.Draining) {
				p.wanted = w.wanted
			}
			p.noteInformed()
			w.mu.Unlock()
			p.engine.SetCheckpoint(kept.Snapshot)
		})
	}
	w.inform(p, 100*time.Millisecond)
	w.mu.Unlock()
	go p.engine.Run(p.ctx)
	go p.listen()
	go p.readState()
	time.AfterFunc(offset, func() {
		p.takeKeys()
		p.runner.withMachine(func(now time.Time) []machine.OutgoingMessage { p.runner.machine.SetPeers(now, w.names); return nil })
		p.engine.SetLinks(n.hasLinks())
		go p.runner.keepRunning(p.wait)
		go p.probeKernels()
	})
}

// noteInformed records that the process has a snapshot. The caller holds the lock.
func (p *process) noteInformed() {
	if p.informed.IsZero() {
		p.informed = time.Now()
	}
}

func (p *process) saveCheckpoint(k layer2.Checkpoint) {
	p.n.w.mu.Lock()
	defer p.n.w.mu.Unlock()
	p.n.kept, p.n.stored = k, maps.Clone(p.knows)
}

// hasLinks returns the links of a node that are up. Only eth0 is in the subnet of the addresses.
func (n *node) hasLinks() (links []layer2.Link) {
	bridge := n.hardware("cni0")
	links = append(links, layer2.Link{Name: "cni0", Index: 4, Hardware: bridge[:], Internal: true, IPv4: true, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/24")}})
	if hardware := n.hardware("eth1"); n.w.storage && n.up["eth1"] {
		links = append(links, layer2.Link{Name: "eth1", Index: 3, Hardware: hardware[:], IPv4: true, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	}
	if hardware := n.hardware("eth0"); n.up["eth0"] {
		links = append(links, layer2.Link{
			Name: "eth0", Index: 2, Hardware: hardware[:], IPv4: true,
			LinkLocal: netip.MustParseAddr("fe80::1"), Prefixes: []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16")},
		})
	}
	return links
}

// stop ends a process at once; the machine runs on.
func (w *world) stop(name lb.NodeName) {
	w.mu.Lock()
	p := w.nodes[name].p
	if p == nil || p.dead {
		w.mu.Unlock()
		return
	}
	p.dead = true
	p.cancel()
	p.thaw()
	w.mu.Unlock()
}

// crash ends a process, and the machine under it as well if power is lost.
func (w *world) crash(name lb.NodeName, power bool) {
	w.mu.Lock()
	w.fault = time.Now()
	w.mu.Unlock()
	w.stop(name)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("%s crashes (power lost: %v)", name, power)
	w.fault = time.Now()
	w.nodes[name].kernel = !power
	w.look()
}

// leave ends a speaker as speaker/app does on a signal.
func (w *world) leave(name lb.NodeName) {
	w.mu.Lock()
	p := w.nodes[name].p
	w.note("%s leaves", name)
	w.mu.Unlock()
	until := time.Now().Add(5 * time.Second)
	for {
		owned, draining := p.engine.CountOwned()
		if !draining || owned == 0 || time.Now().After(until) {
			break
		}
		w.pass(10 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(p.ctx, time.Second)
	// After this time other nodes take the addresses over, unless the speaker has started again.
	time.AfterFunc(30*time.Second, func() { w.mu.Lock(); w.fault = time.Now(); w.mu.Unlock() })
	p.engine.Restart(ctx, restartFor)
	p.runner.WaitAcknowledged(ctx)
	cancel()
	w.stop(name)
	w.mu.Lock()
	if !w.noAPI[name] { // a speaker that ends writes this report last
		w.states[name] = reports.Report{Node: name, Stopped: true}
	}
	if len(w.gaps) > 0 {
		w.fault = time.Now() // addresses that this speaker still probed wait for another node now
	}
	w.note("%s has left", name)
	w.look()
	w.mu.Unlock()
}

func (w *world) freeze(name lb.NodeName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.nodes[name].p
	w.note("%s freezes", name)
	w.fault, w.split = time.Now(), time.Now()
	again := make(chan struct{})
	p.alive = p.runner.alive.Load()
	p.froze = time.Now()
	p.frozen.Store(&again)
	w.look()
}

func (w *world) thaw(name lb.NodeName) {
	w.mu.Lock()
	p := w.nodes[name].p
	w.note("%s runs again", name)
	w.fault, w.split = time.Now(), time.Now()
	p.runner.alive.Store(p.alive)
	p.thaw()
	w.look()
	w.mu.Unlock()
}

// thaw has the goroutines of a frozen process go on.
func (p *process) thaw() {
	if again := p.frozen.Swap(nil); again != nil {
		close(*again)
	}
}

// gate holds a goroutine of a frozen process.
func (p *process) gate() {
	for again := p.frozen.Load(); again != nil; again = p.frozen.Load() {
		<-*again
	}
}

// clock is the monotonic clock by which the runner finds that its process stood still.
func (p *process) clock() time.Duration {
	p.gate()
	return time.Since(p.begun)
}

func (w *world) setLinks(name lb.NodeName, up bool) { w.setLink(name, "eth0", up) }

// setLink has a link of a node gain or lose its carrier.
func (w *world) setLink(name lb.NodeName, link string, up bool) {
	w.mu.Lock()
	n := w.nodes[name]
	n.up[link] = up
	w.note("%s has a carrier on %s: %v", name, link, up)
	p, links := n.p, n.hasLinks()
	if !up || p != nil && !p.dead && !w.isMost(p) {
		w.fault = time.Now() // in a minority, addresses move to a link that is back once its segment was asked
	}
	w.look()
	w.mu.Unlock()
	if p != nil && !p.dead {
		p.engine.SetLinks(links)
	}
}

// differ sets the times from which the views of nodes may differ.
func (w *world) differ() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault, w.split = time.Now(), time.Now()
}

// probeKernels does what Mesh.keepProbing does.
func (p *process) probeKernels() {
	w := p.n.w
	probes := unansweredProbes{}
	tick := time.NewTicker(w.timing.Interval)
	defer tick.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-tick.C:
		}
		p.gate()
		probed := p.runner.probedNodes()
		if len(probed) == 0 {
			clear(probes)
			continue
		}
		answers, all := map[lb.NodeName]bool{}, true
		w.mu.Lock()
		for _, name := range probed {
			answers[name] = w.nodes[name].kernel && !w.blocked(p.n.name, name) && !w.blocked(name, p.n.name)
			all = all && answers[name]
		}
		w.mu.Unlock()
		if !all {
			select {
			case <-p.ctx.Done():
				return
			case <-time.After(w.timing.Timeout / 2):
			}
		}
		p.gate()
		for name, here := range answers {
			if probes.noteResult(name, here, !p.runner.MayAnswer()) {
				p.runner.withMachine(func(now time.Time) []machine.OutgoingMessage { return p.runner.machine.NoteVanished(now, name) })
			}
		}
	}
}

// SetLinks implements layer2.Announcer.
func (p *process) SetLinks([]layer2.Link) { p.gate() }

// SetDetection implements layer2.Announcer.
func (p *process) SetDetection(layer2.Detection) {}

// SetServed implements layer2.Announcer.
func (p *process) SetServed(owned map[netip.Addr]layer2.Serving) {
	p.gate()
	w := p.n.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.dead {
		return
	}
	var lost, taken, covered []netip.Addr
	for address := range p.owned {
		if _, ok := owned[address]; !ok {
			lost = append(lost, address)
		}
	}
	for address, o := range owned {
		before, had := p.owned[address]
		switch {
		case len(o.For) > 0:
			covered = append(covered, address)
			if o.Returned && !before.Returned {
				w.askReturned(p, address)
			}
		case !had || len(before.For) > 0:
			taken = append(taken, address)
			p.ready[address] = time.Now()
			if o.First {
				p.ready[address] = time.Now().Add(probing)
				time.AfterFunc(probing, func() { w.mu.Lock(); w.look(); w.mu.Unlock() })
			}
		}
	}
	w.note("%s: takes %v, covers %v, gives up %v", p.n.name, short(taken), short(covered), short(lost))
	w.mayLose(p, lost)
	p.owned = maps.Clone(owned)
	w.announce(p, taken)
	w.look()
}

// mayLose fails if a node loses an address without a reason.
func (w *world) mayLose(p *process, lost []netip.Addr) {
	if w.failback {
		return // addresses may move to spread them evenly
	}
	for _, address := range lost {
		if len(p.owned[address].For) > 0 || !w.able(p.n.name, address) || !w.firm || time.Since(p.begun) < calm || time.Since(w.split) < calm || w.parted() || !w.agreed() || w.isAskedFor(address, p.n.name) {
			continue
		}
		if linkOf(address) == "eth1" && !w.isMost(p) {
			continue // in a minority, without a gateway, the node waits until a host requests the address
		}
		if !slices.Contains(p.owned[address].Interfaces, linkOf(address)) && !w.isMost(p) {
			continue // its link is back: in a minority the segment of the link is asked first
		}
		if w.isSilencedByStill(p) {
			continue // a speaker that stands still may have reported a cut which has ended since
		}
		if time.Since(p.ready[address]) < w.timing.Interval {
			continue // two nodes took it, since one of them had not detected yet that a third one died as well
		}
		w.fail("%s loses %s without a cause", p.n.name, address)
	}
}

// able returns whether a node could own an address in the state of the world, whatever the other
// nodes have received.
func (w *world) able(name lb.NodeName, address netip.Addr) bool {
	n := w.nodes[name]
	if n.p == nil || n.p.dead || n.p.frozen.Load() != nil || !n.up[linkOf(address)] || w.want.Draining[name] {
		return false
	}
	for _, a := range w.want.Addresses {
		if a.Address == address {
			return slices.ContainsFunc(a.Candidates, func(c layer2.Candidate) bool { return c.Node == name })
		}
	}
	return false
}

func (p *process) answers(address netip.Addr, now time.Time) (owner, covers bool) {
	o, ok := p.owned[address]
	if !ok || p.dead || p.n.silent || p.frozen.Load() != nil || !p.n.up[linkOf(address)] || !slices.Contains(o.Interfaces, linkOf(address)) || !p.runner.MayAnswer() {
		return false, false
	}
	if len(o.For) > 0 {
		return false, true
	}
	return !now.Before(p.ready[address]), false
}

// sample runs the checker at an interval. The checker also runs whenever a node begins or stops
// answering.
func (w *world) sample(ctx context.Context) {
	interval := 5 * time.Millisecond
	if len(w.names) > 10 {
		interval = 50 * time.Millisecond
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(interval):
		}
		w.mu.Lock()
		w.look()
		w.mu.Unlock()
	}
}

// owners returns the node that answers for each address.
func (w *world) owners() map[netip.Addr]lb.NodeName {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.look()
	owners := map[netip.Addr]lb.NodeName{}
	for _, a := range w.want.Addresses {
		owners[a.Address] = ""
		if by := w.answering[a.Address]; len(by) == 1 {
			owners[a.Address] = by[0]
		} else if len(by) > 1 {
			owners[a.Address] = lb.NodeName(fmt.Sprint(by))
		}
	}
	return owners
}

// of returns the addresses that a node answers for.
func of(owners map[netip.Addr]lb.NodeName, name lb.NodeName) []netip.Addr {
	var list []netip.Addr
	for address, owner := range owners {
		if owner == name {
			list = append(list, address)
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return list
}

// longest returns the longest of the spans that began after a time.
func longest(spans []span, after time.Time) (most time.Duration) {
	for _, s := range spans {
		if !s.start.Before(after) {
			most = max(most, s.length())
		}
	}
	return most
}

func (w *world) longestGap(after time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return longest(w.pastGaps, after)
}

func (w *world) longestTwice(after time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return longest(w.pastTwice, after)
}

// covered returns whether a node covers an address while its owner restarts.
func (w *world) covered(address netip.Addr) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.names, func(n lb.NodeName) bool {
		p := w.nodes[n].p
		if p == nil {
			return false
		}
		_, covers := p.answers(address, time.Now())
		return covers
	})
}

func short(addresses []netip.Addr) string {
	slices.SortFunc(addresses, netip.Addr.Compare)
	var list []string
	for _, a := range addresses {
		b := a.As4()
		list = append(list, fmt.Sprintf("%d.%d", b[2], b[3]))
	}
	return "[" + strings.Join(list, " ") + "]"
}

// report fails the test with the broken promises and the log around the first one.
func (w *world) report(t *testing.T) {
	t.Helper()
	if len(w.failures) == 0 && !t.Failed() {
		return
	}
	first := slices.IndexFunc(w.log, func(line string) bool { return strings.Contains(line, "BROKEN") })
	if first < 0 {
		first = len(w.log)
	}
	around := w.log[max(0, first-400):min(len(w.log), first+100)]
	t.Errorf("seed %d, %d nodes:\n%s\nwhat happened:\n%s", w.seed, len(w.names), strings.Join(w.failures, "\n"), strings.Join(around, "\n"))
}

// claimsOf returns the claims of a node, as another node has received them.
func claimsOf(w *world, name lb.NodeName) ownership.Claims {
	w.mu.Lock()
	var other *process
	for _, n := range w.names {
		if n != name {
			other = w.nodes[n].p
		}
	}
	w.mu.Unlock()
	other.runner.mu.Lock()
	defer other.runner.mu.Unlock()
	for _, p := range other.runner.machine.View().Peers {
		if p.Node == name {
			return p.State.Claims
		}
	}
	return nil
}

func simulatedKey(n byte) session.Key {
	key, err := session.ParseKey(bytes.Repeat([]byte{n}, session.KeySize))
	if err != nil {
		panic(err)
	}
	return key
}
