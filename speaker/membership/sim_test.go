package membership

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/internal/reports"
	"github.com/lbstack/lbstack/internal/segment"
	"github.com/lbstack/lbstack/speaker"
)

// The simulation runs the engine, the machine and the runner of many nodes in one
// bubble of testing/synctest, over a network that delays, drops, doubles and
// reorders what they say, and looks at who answers for what. All chance comes from
// the seed; goroutines that are due in the same nanosecond run in any order, so that a
// seed repeats a run nearly, not exactly.
//
// What is not the real thing: memberlist (a stand-in reports the dead after three
// seconds, and compares the states of two random nodes every ten); the attending of
// those who restart, which asks the world whether the kernel is there; a frozen node,
// whose loops stop at the next message they send and whose runner is told
// afterwards that it stood still.

const (
	// probing is how long an address that nobody ever had is probed for.
	probing = 400 * time.Millisecond
	// calm is after which time without a fault everything must be as it should be.
	calm = 5 * time.Second
	// leastDelay and mostDelay are of a message.
	leastDelay, mostDelay = 100 * time.Microsecond, 5 * time.Millisecond
)

// span is a time in which something was wrong with an address.
type span struct {
	address    netip.Addr
	start, end time.Time
	who        []lb.NodeName
}

func (s span) length() time.Duration { return s.end.Sub(s.start) }

// world is all nodes, and the network between them.
type world struct {
	timing mesh.Timing
	start  time.Time
	names  []lb.NodeName
	seed   uint64
	ctx    context.Context
	// firm: messages are lost so rarely that no living node may be taken for a dead one.
	firm bool
	// storage: nodes have another link, in a subnet of no address.
	storage bool
	// failback: addresses may move although nothing failed.
	failback bool

	mu        sync.Mutex
	nodes     map[lb.NodeName]*node
	cuts      map[[2]lb.NodeName]bool // from, to
	walls     map[[2]lb.NodeName]bool // from, to: messages are lost, frames are not
	away      map[lb.NodeName]bool    // from the gateway
	filtered  map[[2]lb.NodeName]bool // from, to: datagrams are lost, connections are not
	refused   bool                    // connections are lost, datagrams are not
	loss      float64
	dup       float64
	want      speaker.Snapshot
	deaf      map[lb.NodeName]bool // the API server does not reach it
	states    map[lb.NodeName]reports.Report
	log       []string
	answering map[netip.Addr][]lb.NodeName
	gaps      map[netip.Addr]*span // that last
	doubles   map[netip.Addr]*span
	pastGaps  []span
	pastTwice []span
	fault     time.Time // when something last happened that may leave nobody answering
	split     time.Time // when views last came to differ, or to agree again
	healed    time.Time
	failures  []string
	processes uint64
	over      bool // nobody looks any more
}

// node is a machine, and the speaker on it, if one runs.
type node struct {
	w    *world
	name lb.NodeName

	// What the lock of the world guards:
	rng    *rand.Rand
	kernel bool // the machine runs
	links  bool
	kept   speaker.Kept
	p      *process
}

// process is a speaker.
type process struct {
	n      *node
	engine *speaker.Engine
	runner *runner
	ctx    context.Context
	cancel context.CancelFunc
	inbox  chan []byte

	// What the lock of the world guards:
	dead   bool
	begun  time.Time
	frozen chan struct{} // is closed when it runs again
	alive  int64         // what the runner knew when it froze
	quiet  []arrival     // waits to be read
	owned  map[netip.Addr]speaker.Owned
	ready  map[netip.Addr]time.Time // when what was probed is answered for
	// segment asks, while asking.
	segment *segment.Machine
	asking  bool
	// latest is what it reported last.
	latest reports.Report
	// contested is when another node announced an address of this one last.
	contested map[netip.Addr]time.Time
}

func newWorld(ctx context.Context, seed uint64, count int) *world {
	w := &world{
		timing: Default.timing(), start: time.Now(), seed: seed, ctx: ctx, firm: true,
		nodes: map[lb.NodeName]*node{}, cuts: map[[2]lb.NodeName]bool{}, filtered: map[[2]lb.NodeName]bool{}, walls: map[[2]lb.NodeName]bool{}, away: map[lb.NodeName]bool{}, deaf: map[lb.NodeName]bool{}, states: map[lb.NodeName]reports.Report{},
		answering: map[netip.Addr][]lb.NodeName{}, gaps: map[netip.Addr]*span{}, doubles: map[netip.Addr]*span{},
	}
	w.fault, w.split, w.healed = w.start, w.start, w.start
	for i := range count {
		name := lb.NodeName(fmt.Sprintf("n%d", i+1))
		w.names = append(w.names, name)
		w.nodes[name] = &node{w: w, name: name, rng: rand.New(rand.NewPCG(seed, uint64(i))), kernel: true, links: true}
	}
	w.want.Draining, w.want.Down = map[lb.NodeName]bool{}, map[lb.NodeName]bool{}
	go w.sample(w.ctx)
	go w.gossip(w.ctx)
	return w
}

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%9.4f  ", time.Since(w.start).Seconds())+fmt.Sprintf(format, args...))
}

// fail notes a broken promise; the test goes on, since what follows may explain it.
func (w *world) fail(format string, args ...any) {
	sentence := fmt.Sprintf(format, args...)
	w.note("BROKEN: %s", sentence)
	if len(w.failures) < 5 {
		w.failures = append(w.failures, fmt.Sprintf("at %.4fs: %s", time.Since(w.start).Seconds(), sentence))
	}
}

// vip is an address of the test.
func vip(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{192, 168, byte(1 + i/200), byte(1 + i%200)})
}

// wants has the cluster want addresses, with these candidates, all by default.
func (w *world) wants(count int, candidates ...lb.NodeName) {
	if len(candidates) == 0 {
		candidates = w.names
	}
	var list []speaker.Candidate
	for _, c := range candidates {
		list = append(list, speaker.Candidate{Node: c})
	}
	w.change(func(s *speaker.Snapshot) {
		s.Addresses = nil
		for i := range count {
			s.Addresses = append(s.Addresses, speaker.Announced{Address: vip(i), Candidates: list})
		}
	})
}

// change changes what the cluster wants. Each node learns of it after a while, if it
// hears the API server.
func (w *world) change(write func(*speaker.Snapshot)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := speaker.Snapshot{Addresses: slices.Clone(w.want.Addresses), Draining: maps.Clone(w.want.Draining), Down: maps.Clone(w.want.Down)}
	write(&s)
	w.want = s
	for _, name := range w.names {
		if p := w.nodes[name].p; p != nil && !p.dead {
			w.inform(p, 50*time.Millisecond)
		}
	}
}

// inform brings what the cluster wants by then to a node. The caller holds the lock.
func (w *world) inform(p *process, most time.Duration) {
	delay := time.Duration(p.n.rng.Int64N(int64(most)))
	time.AfterFunc(delay, func() {
		p.gate()
		w.mu.Lock()
		s, deaf := w.want, w.deaf[p.n.name]
		w.mu.Unlock()
		if !deaf {
			p.engine.SetSnapshot(s)
		}
	})
}

// run starts a speaker, as cmd/speaker does.
func (w *world) run(names ...lb.NodeName) {
	for _, name := range names {
		w.runOne(name)
	}
}

func (w *world) runOne(name lb.NodeName) {
	w.mu.Lock()
	n := w.nodes[name]
	w.processes++
	p := &process{n: n, inbox: make(chan []byte, 4096), owned: map[netip.Addr]speaker.Owned{}, ready: map[netip.Addr]time.Time{}, segment: segment.New(), contested: map[netip.Addr]time.Time{}, begun: time.Now()}
	p.ctx, p.cancel = context.WithCancel(w.ctx)
	n.p, n.kernel = p, true
	if len(w.gaps) > 0 {
		w.fault = time.Now() // what waited for somebody waits for it now
	}
	kept := n.kept
	w.note("%s starts, it had %v", name, short(slices.SortedFunc(maps.Keys(kept.Claims), netip.Addr.Compare)))
	p.engine = speaker.New(speaker.Config{
		Self: name, Log: logr.Discard(), Announcer: p, Resume: kept, Failback: w.failback,
		Report: p.reported, Keep: p.keep,
		Metrics: speaker.NewMetrics(prometheus.NewRegistry()),
	})
	machine := mesh.New(name, uint64(time.Now().UnixMilli())+w.processes, w.timing)
	p.runner = newRunner(machine, w.timing, p.send, p.engine.SetView)
	p.runner.quiet = p.readQuiet
	p.engine.Mesh = p.runner
	offset := time.Duration(n.rng.Int64N(int64(w.timing.Beat)))
	if len(kept.Snapshot.Addresses) > 0 {
		time.AfterFunc(2*time.Second, func() { p.engine.SetKept(kept.Snapshot) })
	}
	w.inform(p, 100*time.Millisecond)
	w.mu.Unlock()
	go p.engine.Run(p.ctx)
	go p.listen()
	go p.readState()
	time.AfterFunc(offset, func() {
		p.runner.do(func(now time.Time, m *mesh.Machine) []mesh.Send { return m.SetPeers(now, w.names) })
		p.engine.SetLinks(n.hasLinks())
		go p.runner.keepRunning(p.ctx)
		go p.attend()
	})
}

func (p *process) keep(k speaker.Kept) {
	p.n.w.mu.Lock()
	defer p.n.w.mu.Unlock()
	p.n.kept = k
}

// hasLinks returns the links of a node that are up. Only eth0 is in the subnet of the addresses.
func (n *node) hasLinks() (links []speaker.Link) {
	if n.w.storage {
		links = append(links, speaker.Link{Name: "eth1", Index: 3, Hardware: net.HardwareAddr{6, 0, 0, 0, 0, 1}, IPv4: true, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	}
	if !n.links {
		return links
	}
	i := slices.Index(n.w.names, n.name)
	return append(links, speaker.Link{
		Name: "eth0", Index: 2, Hardware: net.HardwareAddr{2, 0, 0, 0, 0, byte(i)}, IPv4: true,
		LinkLocal: netip.MustParseAddr("fe80::1"), Prefixes: []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16")},
	})
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
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
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

// leave ends a speaker as cmd/speaker does when it is told to.
func (w *world) leave(name lb.NodeName) {
	w.mu.Lock()
	p := w.nodes[name].p
	w.note("%s leaves", name)
	w.mu.Unlock()
	until := time.Now().Add(5 * time.Second)
	for {
		owned, draining := p.engine.Owning()
		if !draining || owned == 0 || time.Now().After(until) {
			break
		}
		w.pass(10 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(p.ctx, time.Second)
	p.engine.Restart(ctx, 30*time.Second)
	p.runner.Heeded(ctx)
	cancel()
	w.stop(name)
	w.mu.Lock()
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
	p.frozen, p.alive = make(chan struct{}), p.runner.alive.Load()
	w.look()
}

func (w *world) thaw(name lb.NodeName) {
	w.mu.Lock()
	p := w.nodes[name].p
	w.note("%s runs again", name)
	w.fault, w.split = time.Now(), time.Now()
	p.runner.alive.Store(p.alive)
	close(p.frozen)
	p.frozen = nil
	w.look()
	w.mu.Unlock()
}

// gate holds a goroutine of a frozen process.
func (p *process) gate() {
	for {
		p.n.w.mu.Lock()
		frozen := p.frozen
		p.n.w.mu.Unlock()
		if frozen == nil {
			return
		}
		<-frozen
	}
}

func (w *world) setLinks(name lb.NodeName, up bool) {
	w.mu.Lock()
	n := w.nodes[name]
	n.links = up
	w.note("%s has links: %v", name, up)
	if !up {
		w.fault = time.Now()
	}
	p, links := n.p, n.hasLinks()
	w.look()
	w.mu.Unlock()
	if p != nil && !p.dead {
		p.engine.SetLinks(links)
	}
}

// differ notes that nodes think differently, for a reason, from now on.
func (w *world) differ() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault, w.split = time.Now(), time.Now()
}

// attend does what Mesh.attend does.
func (p *process) attend() {
	w := p.n.w
	silent := map[lb.NodeName]int{}
	tick := time.NewTicker(w.timing.Beat)
	defer tick.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-tick.C:
		}
		answers := map[lb.NodeName]bool{}
		w.mu.Lock()
		all := p.frozen == nil
		doubtful := p.runner.doubtful()
		for _, name := range doubtful {
			answers[name] = w.nodes[name].kernel && !w.blocked(p.n.name, name) && !w.blocked(name, p.n.name)
			all = all && answers[name]
		}
		w.mu.Unlock()
		if len(doubtful) == 0 {
			clear(silent)
			continue
		}
		if !all {
			select {
			case <-p.ctx.Done():
				return
			case <-time.After(w.timing.Silence / 2):
			}
		}
		p.gate()
		for name, here := range answers {
			silent[name]++
			if here {
				silent[name] = 0
			}
			p.runner.do(func(now time.Time, m *mesh.Machine) []mesh.Send {
				if silent[name] >= silentDials {
					m.Vanished(now, name)
				}
				return nil
			})
		}
	}
}

// gossip does what memberlist does besides.
func (w *world) gossip(ctx context.Context) {
	rng := rand.New(rand.NewPCG(w.seed, 1<<32))
	died := map[*process]time.Time{}
	for round := 0; ; round++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
		w.mu.Lock()
		var live []*process
		var dead []lb.NodeName
		for _, name := range w.names {
			p := w.nodes[name].p
			switch {
			case p == nil:
			case !p.dead && p.frozen == nil:
				live = append(live, p)
			case p.dead && died[p].IsZero():
				died[p] = time.Now()
			case p.dead && time.Since(died[p]) > 3*time.Second && time.Since(died[p]) < 5*time.Second:
				dead = append(dead, name)
			}
		}
		var packets [][2]*process
		for _, p := range live {
			q := live[rng.IntN(len(live))]
			if round%10 == 9 && q != p && !w.blocked(p.n.name, q.n.name) && !w.blocked(q.n.name, p.n.name) {
				packets = append(packets, [2]*process{p, q}, [2]*process{q, p})
			}
		}
		w.mu.Unlock()
		for _, p := range live {
			for _, name := range dead {
				p.runner.do(func(now time.Time, m *mesh.Machine) []mesh.Send { m.Gone(now, name); return nil })
			}
		}
		for _, pair := range packets {
			w.deliver(pair[0].n.name, pair[1].n.name, wire.Encode(pair[0].runner.own()), false)
		}
	}
}

// SetLinks implements speaker.Announcer.
func (p *process) SetLinks([]speaker.Link) { p.gate() }

// SetOurs implements speaker.Announcer.
func (p *process) SetOurs([]net.HardwareAddr) {}

// SetDetection implements speaker.Announcer.
func (p *process) SetDetection(speaker.Detection) {}

// SetOwned implements speaker.Announcer.
func (p *process) SetOwned(owned map[netip.Addr]speaker.Owned) {
	p.gate()
	w := p.n.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.dead {
		return
	}
	var lost, taken, cared []netip.Addr
	for address := range p.owned {
		if _, ok := owned[address]; !ok {
			lost = append(lost, address)
		}
	}
	for address, o := range owned {
		before, had := p.owned[address]
		switch {
		case len(o.For) > 0:
			cared = append(cared, address)
		case !had || len(before.For) > 0:
			taken = append(taken, address)
			p.ready[address] = time.Now()
			if o.First {
				p.ready[address] = time.Now().Add(probing)
				time.AfterFunc(probing, func() { w.mu.Lock(); w.look(); w.mu.Unlock() })
			}
		}
	}
	w.note("%s: takes %v, cares for %v, gives up %v", p.n.name, short(taken), short(cared), short(lost))
	w.mayLose(p, lost)
	p.owned = maps.Clone(owned)
	w.announce(p, taken)
	w.look()
}

// mayLose looks whether there is a reason for a node to lose an address.
func (w *world) mayLose(p *process, lost []netip.Addr) {
	if w.failback {
		return // the spread is one
	}
	for _, address := range lost {
		if len(p.owned[address].For) > 0 || !w.able(p.n.name, address) || !w.firm || time.Since(p.begun) < calm || time.Since(w.split) < calm || len(w.cuts)+len(w.walls) > 0 {
			continue
		}
		w.fail("%s loses %s without a cause", p.n.name, address)
	}
}

// able says whether a node could own an address, in truth.
func (w *world) able(name lb.NodeName, address netip.Addr) bool {
	n := w.nodes[name]
	if n.p == nil || n.p.dead || n.p.frozen != nil || !n.links || w.want.Draining[name] {
		return false
	}
	for _, a := range w.want.Addresses {
		if a.Address == address {
			return slices.ContainsFunc(a.Candidates, func(c speaker.Candidate) bool { return c.Node == name })
		}
	}
	return false
}

func (p *process) answers(address netip.Addr, now time.Time) (owner, carer bool) {
	o, ok := p.owned[address]
	if !ok || p.dead || p.frozen != nil || !p.n.links || !slices.Contains(o.Interfaces, "eth0") || !p.runner.MayAnswer() {
		return false, false
	}
	if len(o.For) > 0 {
		return false, true
	}
	return !now.Before(p.ready[address]), false
}

// sample looks at who answers, besides whenever somebody begins or ends to.
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

// owners returns who answers for each address.
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

// of returns what a node answers for.
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

// cared says whether somebody answers for an address although its owner restarts.
func (w *world) cared(address netip.Addr) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.names, func(n lb.NodeName) bool {
		p := w.nodes[n].p
		if p == nil {
			return false
		}
		_, carer := p.answers(address, time.Now())
		return carer
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

// report fails the test with what was broken, and what happened before.
func (w *world) report(t *testing.T) {
	t.Helper()
	if len(w.failures) == 0 && !t.Failed() {
		return
	}
	last := w.log
	if len(last) > 120 {
		last = last[len(last)-120:]
	}
	t.Errorf("seed %d, %d nodes:\n%s\nwhat happened:\n%s", w.seed, len(w.names), strings.Join(w.failures, "\n"), strings.Join(last, "\n"))
}

func claimsOf(w *world, name lb.NodeName) ownership.Claims {
	w.mu.Lock()
	p := w.nodes[name].p
	w.mu.Unlock()
	return p.runner.own().State.Claims
}
