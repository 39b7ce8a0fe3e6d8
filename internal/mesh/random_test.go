package mesh

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh/wire"
)

// publish has a speaker publish a state.
func (n *network) publish(name lb.NodeName, s wire.State) {
	n.states[name] = s
	n.post(name, n.machines[name].Publish(n.now, s))
}

// event makes one random event of a cluster.
func (n *network) event(rng *rand.Rand) string {
	name := n.names[rng.IntN(len(n.names))]
	pick := func() lb.NodeName { return n.names[rng.IntN(len(n.names))] }
	switch what := rng.IntN(7); {
	case n.dead[name]:
		n.start(name, standard)
		n.publish(name, claiming(rng.IntN(600)))
		return "start " + string(name)
	case what == 0:
		n.dead[name] = true
		return "crash " + string(name)
	case what == 1:
		n.start(name, standard)
		n.publish(name, claiming(rng.IntN(600)))
		return "restart at once " + string(name)
	case what == 2:
		n.publish(name, restartingFor(time.Duration(1+rng.IntN(20))*100*ms))
		return "announce a restart of " + string(name)
	case what == 3:
		n.publish(name, claiming(rng.IntN(3000)))
		return "publish " + string(name)
	case what == 4:
		cut := map[[2]lb.NodeName]bool{}
		for range rng.IntN(2 * len(n.names)) {
			cut[[2]lb.NodeName{pick(), pick()}] = true
		}
		n.cut = func(from, to lb.NodeName) bool { return cut[[2]lb.NodeName{from, to}] }
		return fmt.Sprint("cut ", len(cut))
	case what == 5:
		n.loss = float64(rng.IntN(4)) / 10
		return fmt.Sprint("loss ", n.loss)
	}
	late, without := pick(), pick()
	if late != without {
		n.machines[late].SetPeers(n.now, slices.DeleteFunc(slices.Clone(n.names), func(other lb.NodeName) bool { return other == without }))
	}
	return fmt.Sprintf("%s does not know of %s", late, without)
}

// heal ends all faults except deaths. Nodes that announced a restart run again.
func (n *network) heal() {
	n.cut, n.loss = func(_, _ lb.NodeName) bool { return false }, 0.3
	for _, name := range n.names {
		n.machines[name].SetPeers(n.now, n.names)
		if !n.dead[name] {
			n.publish(name, claiming(400))
		}
	}
	n.run(2 * step) // some pieces of what they publish are lost
	n.loss = 0
}

// left returns the data that a machine must not have in a quiet cluster.
func (m *Machine) left() string {
	for _, p := range m.peers {
		for by := range p.accusers {
			if m.peers[by.node] != by {
				return fmt.Sprintf("%s is suspected by %s, which was removed", p.node, by.node)
			}
		}
		for about := range p.relayed {
			if m.peers[about.node] != about {
				return fmt.Sprintf("%s was sent the state of %s, which was removed", p.node, about.node)
			}
		}
	}
	restarts, assembling := 0, 0
	for _, p := range m.peers {
		assembling += p.assembly.size
		if p.live && p.isRestarting() {
			restarts++
		}
	}
	if restarts != m.restarts || assembling != m.assembling || len(m.inDoubt) > 0 {
		return fmt.Sprintf("%d restart, %d are counted; %d bytes of pieces, %d are counted; %d are in doubt", restarts, m.restarts, assembling, m.assembling, len(m.inDoubt))
	}
	return ""
}

func TestNetwork_AgreesAfterAnything(t *testing.T) {
	for seed := range uint64(16) {
		rng := rand.New(rand.NewPCG(seed, 2))
		count := 2 + rng.IntN(6)
		if seed%8 == 7 {
			count = 24 + rng.IntN(6)
		}
		n := connect(same(standard, count)...)
		n.rng = rng
		if count < 8 {
			n.views = map[lb.NodeName]View{}
		}
		for _, name := range n.names {
			n.publish(name, claiming(100))
		}
		var events []string
		for range 1 + rng.IntN(12) {
			events = append(events, n.event(rng))
			n.run(time.Duration(1+rng.IntN(12)) * 50 * ms)
		}
		n.heal()
		n.run(2500 * ms)
		failed := func(text string) { t.Errorf("seed %d, %d speakers, %q: %s", seed, count, events, text) }
		if d := n.disagreement(); d != "" {
			failed("after the heal: " + d)
		}
		for _, name := range n.names {
			if n.dead[name] {
				continue
			}
			for _, p := range n.machines[name].View().Peers {
				if diff := cmp.Diff(n.states[p.Node].Claims, p.State.Claims, byValue); diff != "" {
					failed(fmt.Sprintf("the claims of %s as %s has them (-want +got):\n%s", p.Node, name, diff))
				}
			}
		}
		clear(n.found)
		n.run(3 * time.Second)
		if len(n.found) > 0 {
			failed(fmt.Sprintf("later, when nothing happens, found dead: %v", n.found))
		}
		for _, name := range n.names {
			if text := n.machines[name].left(); text != "" && !n.dead[name] {
				failed(string(name) + ": " + text)
			}
		}
		for _, text := range n.strange {
			failed(text)
		}
	}
}
