package mesh

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

const (
	ms   = time.Millisecond
	step = 5 * ms
)

var (
	relaxed  = Timing{Interval: 300 * ms, Timeout: 1200 * ms}
	standard = Timing{Interval: 90 * ms, Timeout: 300 * ms}
	fast     = Timing{Interval: 30 * ms, Timeout: 150 * ms}
)

// network is many machines and what is between them. Messages take one step, a greeting that
// is answered and answered again up to four. Sessions are those of internal/mesh/session in their
// effect: a message arrives if its receiver has met the instance that sent it.
type network struct {
	now      time.Time
	rng      *rand.Rand
	loss     float64
	names    []lb.NodeName
	machines map[lb.NodeName]*Machine
	instance map[lb.NodeName]wire.Instance
	sessions map[[2]lb.NodeName]wire.Instance // what the first has met of the second
	dead     map[lb.NodeName]bool
	cut      func(from, to lb.NodeName) bool
	flying   []flying
	sent     int
	steps    int
	// found counts how often a machine has found a peer dead so far.
	found map[[2]lb.NodeName]int
	// views are the last ones of each machine; nil: they are not compared.
	views   map[lb.NodeName]View
	strange []string                   // views that changed and kept their version
	states  map[lb.NodeName]wire.State // that were published last
}

// flying is a message that arrives with the next step, at the instance that it is for.
type flying struct {
	from     lb.NodeName
	instance wire.Instance
	send     OutgoingMessage
}

func same(timing Timing, count int) []Timing { return slices.Repeat([]Timing{timing}, count) }

// connect returns machines that have met.
func connect(timings ...Timing) *network {
	n := &network{
		now: time.Unix(1000, 0), rng: rand.New(rand.NewPCG(1, 2)), machines: map[lb.NodeName]*Machine{}, instance: map[lb.NodeName]wire.Instance{},
		sessions: map[[2]lb.NodeName]wire.Instance{}, dead: map[lb.NodeName]bool{}, found: map[[2]lb.NodeName]int{}, states: map[lb.NodeName]wire.State{},
		cut: func(_, _ lb.NodeName) bool { return false },
	}
	for i := range timings {
		n.names = append(n.names, lb.NodeName(fmt.Sprintf("node%03d", i)))
	}
	for i, name := range n.names {
		n.start(name, timings[i])
	}
	n.run(2 * standard.Timeout)
	clear(n.found)
	return n
}

// start begins a process.
func (n *network) start(name lb.NodeName, timing Timing) {
	delete(n.dead, name)
	next := n.instance[name]
	next[0]++
	n.instance[name] = next
	delete(n.views, name)
	for _, other := range n.names {
		delete(n.sessions, [2]lb.NodeName{name, other})
	}
	m := New(name, timing)
	n.machines[name] = m
	m.SetPeers(n.now, n.names)
	n.post(name, m.Publish(n.now, wire.State{Phase: ownership.Active}))
}

func (n *network) post(from lb.NodeName, sends []OutgoingMessage) {
	for _, send := range sends {
		if instance, met := n.sessions[[2]lb.NodeName{from, send.To}]; met {
			n.sent++
			n.flying = append(n.flying, flying{from, instance, send})
		}
	}
	for _, lost := range n.machines[from].TakeLost() {
		delete(n.sessions, [2]lb.NodeName{from, lost})
		n.found[[2]lb.NodeName{from, lost}]++
	}
	if n.views != nil {
		n.compare(from)
	}
}

// compare notes a view that changed and kept its version.
func (n *network) compare(name lb.NodeName) {
	v, last := n.machines[name].View(), n.views[name]
	if v.Version == last.Version && !reflect.DeepEqual(comparable(v), comparable(last)) {
		n.strange = append(n.strange, fmt.Sprintf("the view of %s changed, and its version did not:\n%s", name, cmp.Diff(comparable(last), comparable(v), byValue, cmp.AllowUnexported(Peer{}))))
	}
	n.views[name] = v
}

// noneConfirmed fails if a machine has confirmed a peer dead that is alive.
func (n *network) noneConfirmed(t *testing.T, when string) {
	t.Helper()
	for pair := range n.found {
		if !n.dead[pair[1]] {
			t.Errorf("%s: %s found %s dead, which is alive", when, pair[0], pair[1])
		}
	}
}

// greet has those meet that know of and can reach each other.
func (n *network) greet() {
	for _, a := range n.names {
		for _, b := range n.names {
			if a == b || n.machines[a].peers[b] == nil || n.machines[b].peers[a] == nil || n.dead[a] || n.dead[b] || n.cut(a, b) || n.cut(b, a) || n.sessions[[2]lb.NodeName{a, b}] == n.instance[b] {
				continue
			}
			n.sessions[[2]lb.NodeName{a, b}] = n.instance[b]
			n.post(a, n.machines[a].NoteMet(n.now, b, n.instance[b]))
		}
	}
}

// run lets time pass.
func (n *network) run(d time.Duration) {
	for end := n.now.Add(d); n.now.Before(end); {
		n.now = n.now.Add(step)
		arriving := n.flying
		n.flying = nil
		for _, f := range arriving {
			to := f.send.To
			if n.dead[f.from] || n.dead[to] || n.cut(f.from, to) || f.instance != n.instance[to] || n.rng.Float64() < n.loss {
				continue
			}
			if met := n.sessions[[2]lb.NodeName{to, f.from}]; met == n.instance[f.from] {
				n.post(to, n.machines[to].Receive(n.now, f.from, met, f.send.Message))
			}
		}
		if n.steps++; n.steps%4 == 1 {
			n.greet()
		}
		for _, name := range n.names {
			if !n.dead[name] {
				n.post(name, n.machines[name].Tick(n.now))
			}
		}
	}
}

func alive(v View) []lb.NodeName {
	var nodes []lb.NodeName
	for _, p := range v.Peers {
		nodes = append(nodes, p.Node)
	}
	return nodes
}

// disagreement is how the view of a machine differs from what is true; empty: not.
func (n *network) disagreement() string {
	for _, name := range n.names {
		if n.dead[name] {
			continue
		}
		want := slices.DeleteFunc(slices.Clone(n.names), func(other lb.NodeName) bool { return other == name || n.dead[other] })
		if diff := cmp.Diff(want, alive(n.machines[name].View()), cmpopts.EquateEmpty()); diff != "" {
			return fmt.Sprintf("peers that are alive in the view of %s (-want +got):\n%s", name, diff)
		}
	}
	return ""
}

func (n *network) agreed(t *testing.T) {
	t.Helper()
	if d := n.disagreement(); d != "" {
		t.Fatal(d)
	}
}

func TestNetwork_DeadPeersAreFound(t *testing.T) {
	for _, tt := range []struct {
		count, dead int
		before      time.Duration
	}{
		{3, 1, 400 * ms}, {3, 2, 700 * ms}, {24, 1, 400 * ms}, {24, 12, 700 * ms}, {30, 1, 400 * ms}, {30, 3, 400 * ms}, {30, 10, 700 * ms}, {100, 1, 400 * ms}, {100, 10, 400 * ms}, {100, 40, 700 * ms},
	} {
		t.Run(fmt.Sprintf("%d of %d", tt.dead, tt.count), func(t *testing.T) {
			n := connect(same(standard, tt.count)...)
			n.agreed(t)
			for i := range tt.dead {
				n.dead[n.names[i]] = true
			}
			n.run(standard.Timeout - standard.Interval - 2*step)
			for pair := range n.found {
				t.Errorf("%s found %s dead before the timeout", pair[0], pair[1])
			}
			begun := n.now
			for n.disagreement() != "" && n.now.Sub(begun) < 10*time.Second {
				n.run(step)
			}
			n.agreed(t)
			took := n.now.Sub(begun) + standard.Timeout - standard.Interval
			t.Logf("agreed after %s", took)
			if took > tt.before {
				t.Errorf("agreed after %s, want at most %s", took, tt.before)
			}
			n.run(3 * time.Second)
			n.agreed(t)
			for pair := range n.found {
				if !n.dead[pair[1]] {
					t.Errorf("%s found %s dead, which is alive", pair[0], pair[1])
				}
			}
		})
	}
}

func TestNetwork_LossOfMessagesConfirmsNoPeerDead(t *testing.T) {
	for count, d := range map[int]time.Duration{3: time.Minute, 24: 10 * time.Second, 40: 10 * time.Second} {
		n := connect(same(standard, count)...)
		n.loss = 0.02
		n.run(d)
		n.noneConfirmed(t, fmt.Sprintf("%d speakers", count))
		n.agreed(t)
	}
}

func TestNetwork_OneWayLossConfirmsNoPeerDead(t *testing.T) {
	tests := []struct {
		name    string
		timings []Timing
	}{
		{"three", same(standard, 3)},
		{"twenty-four", same(standard, 24)},
		{"thirty, of which eight watch each", same(standard, 30)},
		{"the other's heartbeats are slow", []Timing{fast, fast, relaxed}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := connect(tt.timings...)
			to := n.names[0]
			from := n.machines[to].watchedPeers()[0].node
			for range 8 { // at different moments between two heartbeats
				n.cut = func(f, t lb.NodeName) bool { return f == from && t == to }
				n.run(700 * ms)
				n.cut = func(_, _ lb.NodeName) bool { return false }
				n.run(335 * ms)
			}
			for pair := range n.found {
				t.Errorf("%s found %s dead, want nobody: only from %s to %s nothing arrives", pair[0], pair[1], from, to)
			}
		})
	}
}

func TestNetwork_AgreesAfterEachHeal(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		n := connect(same(standard, 2+rng.IntN(6))...)
		n.views = map[lb.NodeName]View{}
		pick := func() lb.NodeName { return n.names[rng.IntN(len(n.names))] }
		for range 1 + rng.IntN(4) {
			cut := map[[2]lb.NodeName]bool{}
			for range rng.IntN(8) {
				cut[[2]lb.NodeName{pick(), pick()}] = true
			}
			n.cut = func(from, to lb.NodeName) bool { return cut[[2]lb.NodeName{from, to}] }
			if name := pick(); n.dead[name] {
				n.start(name, standard)
			} else {
				n.dead[name] = true
			}
			n.run(time.Duration(1+rng.IntN(20)) * 50 * ms)
		}
		n.cut = func(_, _ lb.NodeName) bool { return false }
		n.run(2 * time.Second)
		if d := n.disagreement(); d != "" {
			t.Errorf("seed %d: 2 s after the cuts: %s", seed, d)
		}
		for _, text := range n.strange {
			t.Errorf("seed %d: %s", seed, text)
		}
	}
}

// A speaker learns that a peer restarts although nothing arrives from that one, and no other one suspects it.
func TestNetwork_RestartReachesAPeerThatMissedIt(t *testing.T) {
	for _, count := range []int{3, 24, 30} {
		n := connect(same(standard, count)...)
		b := n.names[0]
		var a lb.NodeName // that watches b
		for _, name := range n.names[1:] {
			if n.machines[name].peers[b].arc {
				a = name
			}
		}
		n.cut = func(from, to lb.NodeName) bool { return from == b && to == a || from == a && to == b }
		n.run(time.Second)
		n.post(b, n.machines[b].Publish(n.now, restartingFor(5*time.Second)))
		n.run(standard.Interval)
		n.dead[b] = true
		n.run(standard.Interval)
		restarts := func(want bool) {
			t.Helper()
			for _, name := range n.names[1:] {
				view := n.machines[name].View()
				i := slices.IndexFunc(view.Peers, func(p Peer) bool { return p.Node == b })
				if got := i >= 0 && view.Peers[i].State.Phase == ownership.Restarting; i < 0 || got != want {
					t.Errorf("%d speakers: in the view of %s %s is alive: %v, and restarts: %v, want true and %v", count, name, b, i >= 0, got, want)
				}
			}
		}
		restarts(true)
		n.run(time.Second)
		n.start(b, standard)
		n.run(time.Second)
		restarts(false)
		n.noneConfirmed(t, fmt.Sprintf("%d speakers", count))
	}
}
