package ownership

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/lbstack/lbstack/internal/lb"
)

// changedIndex is an index that changes step by step, with all the values that were set.
type changedIndex struct {
	*rapid.T
	index        *Index
	wanted       map[netip.Addr][]Candidate
	epochs       map[netip.Addr]Epoch
	nodes        map[lb.NodeName]Node
	decidedNodes []Node               // of the last decision
	own          map[netip.Addr]Claim // as of the last decision
}

const few = 6 // addresses and nodes

func (d *changedIndex) address() netip.Addr {
	return address(rapid.IntRange(0, few-1).Draw(d.T, "address"))
}

// someCandidates may own an address.
func (d *changedIndex) someCandidates() (list []Candidate) {
	asked := rapid.IntRange(0, 2*few).Draw(d.T, "asked for")
	for i := range few {
		if rapid.IntRange(0, 3).Draw(d.T, "no candidate if 0") > 0 {
			list = append(list, Candidate{Node: node(i), Preference: int32(rapid.IntRange(0, 1).Draw(d.T, "preference"))})
			if i == asked {
				list[len(list)-1].Requested = true
			}
		}
	}
	return list
}

// change changes one thing.
func (d *changedIndex) change() {
	switch rapid.SampledFrom([]string{"want", "want", "unwant", "remember", "claims", "claims", "node", "no node"}).Draw(d.T, "change") {
	case "want":
		a := Address{Address: d.address(), Candidates: d.someCandidates()}
		d.wanted[a.Address] = a.Candidates
		d.see(d.decidedNodes)
		d.index.Want(a)
	case "unwant":
		a := d.address()
		delete(d.wanted, a)
		delete(d.epochs, a)
		d.index.Unwant(a)
	case "remember":
		a, epoch := d.address(), Epoch(rapid.IntRange(1, 5).Draw(d.T, "epoch"))
		if _, wanted := d.wanted[a]; wanted {
			d.epochs[a] = max(d.epochs[a], epoch)
		}
		d.index.RaiseEpoch(a, epoch)
	case "claims":
		d.claim(node(rapid.IntRange(1, few-1).Draw(d.T, "of node")))
	case "node":
		d.alter(node(rapid.IntRange(0, few-1).Draw(d.T, "node")))
	case "no node":
		delete(d.nodes, node(rapid.IntRange(1, few-1).Draw(d.T, "gone")))
	}
}

// claim gives a node a claim more or less.
func (d *changedIndex) claim(name lb.NodeName) {
	n, alive := d.nodes[name]
	if !alive {
		return
	}
	claims, a := maps.Clone(n.Claims), d.address()
	if epoch := Epoch(rapid.IntRange(0, 5).Draw(d.T, "epoch")); epoch > 0 {
		claims[a] = epoch
	} else {
		delete(claims, a)
	}
	n.Claims = claims
	n.Held = nil
	for _, a := range slices.SortedFunc(maps.Keys(claims), netip.Addr.Compare) {
		if rapid.IntRange(0, 3).Draw(d.T, "not announced if 0") == 0 {
			n.Held = append(n.Held, a)
		}
	}
	d.nodes[name] = n
}

// alter makes a node another one, or has it live.
func (d *changedIndex) alter(name lb.NodeName) {
	n := d.nodes[name]
	if n.Claims == nil {
		n.Claims = Claims{}
	}
	n.Name = name
	n.Phase = rapid.SampledFrom([]Phase{Active, Active, Active, Starting, Draining, Restarting, Isolated}).Draw(d.T, "phase")
	n.Drained, n.Settled = rapid.IntRange(0, 4).Draw(d.T, "drained if 0") == 0, rapid.Bool().Draw(d.T, "settled")
	without := rapid.IntRange(0, 2*few).Draw(d.T, "no link for")
	n.Able, n.Links = func(_ *Candidate, a netip.Addr) bool { return int(a.As4()[3]) != without }, uint64(without)
	d.nodes[name] = n
}

// terms are drawn for a decision.
func (d *changedIndex) terms() DecisionTerms {
	t := DecisionTerms{Passed: map[netip.Addr][]lb.NodeName{}, Overdue: map[netip.Addr]bool{}, Released: map[netip.Addr]bool{}, Hold: map[netip.Addr]bool{}, MoveOne: rapid.Bool().Draw(d.T, "move one")}
	t.Passed[d.address()] = rapid.SliceOfN(rapid.SampledFrom([]lb.NodeName{node(0), node(1), node(2)}), 0, 3).Draw(d.T, "passed")
	t.Overdue[d.address()] = rapid.Bool().Draw(d.T, "overdue")
	t.Released[d.address()] = rapid.Bool().Draw(d.T, "released")
	t.Hold[d.address()] = rapid.Bool().Draw(d.T, "held")
	return t
}

// input is all that was written.
func (d *changedIndex) input(t DecisionTerms) Input {
	in := Input{Self: node(0), DecisionTerms: t}
	for _, a := range slices.SortedFunc(maps.Keys(d.wanted), netip.Addr.Compare) {
		in.Addresses = append(in.Addresses, Address{Address: a, Candidates: d.wanted[a]})
	}
	for _, name := range slices.Sorted(maps.Keys(d.nodes)) {
		in.Nodes = append(in.Nodes, d.nodes[name])
	}
	d.decidedNodes = in.Nodes
	d.see(in.Nodes)
	in.Epochs = maps.Clone(d.epochs)
	return in
}

// see notes the epochs of what nodes claim and is wanted.
func (d *changedIndex) see(nodes []Node) {
	for _, n := range nodes {
		for a, epoch := range n.Claims {
			if _, wanted := d.wanted[a]; wanted {
				d.epochs[a] = max(d.epochs[a], epoch)
			}
		}
	}
}

// decides compares a decision with the decision of a new index, and has node0 claim
// what it owns.
func (d *changedIndex) decides() {
	owned := map[netip.Addr]lb.NodeName{}
	for i := range few {
		owned[address(i)] = d.index.Owner(address(i))
	}
	in := d.input(d.terms())
	for _, m := range d.index.SetNodes(slices.Clone(in.Nodes)) {
		if owned[m.Address] != m.From || m.From == m.To {
			d.Fatalf("%s moved from %q to %q, it was owned by %q", m.Address, m.From, m.To, owned[m.Address])
		}
		owned[m.Address] = m.To
	}
	fresh := indexOf(in)
	for i := range few {
		if a := address(i); owned[a] != fresh.Owner(a) || d.index.Owner(a) != fresh.Owner(a) {
			d.Fatalf("%s is owned by %q, and moved to %q, want %q", a, d.index.Owner(a), owned[a], fresh.Owner(a))
		}
	}
	if got, want := d.index.fairShare(), fresh.fairShare(); got != want || !slices.Equal(d.index.loads, fresh.loads) || len(d.index.groups) != len(fresh.groups) {
		d.Fatalf("the share is %d of the loads %v with %d groups, want %d of %v with %d", got, d.index.loads, len(d.index.groups), want, fresh.loads, len(fresh.groups))
	}
	got, want := d.index.Decide(in.DecisionTerms), fresh.Decide(in.DecisionTerms)
	for _, a := range got.Looked {
		delete(d.own, a)
	}
	maps.Copy(d.own, got.Own)
	got.Own, got.Looked, want.Looked = maps.Clone(d.own), nil, nil
	same := cmp.Options{cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()}
	if diff := cmp.Diff(want, got, same); diff != "" {
		d.Fatalf("it decides otherwise than one that knows the same and is new (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(fresh.WantedAddresses(), d.index.WantedAddresses(), same); diff != "" {
		d.Fatalf("what is wanted (-want +got):\n%s", diff)
	}
	self := d.nodes[node(0)]
	self.Claims = Claims{}
	for a, claim := range d.own {
		self.Claims[a] = claim.Epoch
		d.own[a] = Claim{Epoch: claim.Epoch}
	}
	d.nodes[node(0)] = self
}

func TestChangedIndexDecidesAsANewOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &changedIndex{T: t, index: NewIndex(node(0)), wanted: map[netip.Addr][]Candidate{}, epochs: map[netip.Addr]Epoch{}, nodes: map[lb.NodeName]Node{}, own: map[netip.Addr]Claim{}}
		d.alter(node(0))
		for range rapid.IntRange(1, 25).Draw(t, "decisions") {
			for range rapid.IntRange(0, 3).Draw(t, "changes") {
				d.change()
			}
			d.decides()
		}
	})
}

func TestOnlyChangedAddressesAreDecided(t *testing.T) {
	in := cluster(3, 30)
	for i := range in.Addresses {
		in.Nodes[i%3].Claims[address(i)] = 1
	}
	in.Self = node(0)
	b := indexOf(in)
	looked := func(when string, want ...netip.Addr) {
		t.Helper()
		if diff := cmp.Diff(want, b.Decide(DecisionTerms{}).Looked, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	if got := len(b.Decide(DecisionTerms{}).Looked); got != 30 {
		t.Errorf("at first %d are looked at, want 30", got)
	}
	looked("nothing has changed")
	b.Want(Address{Address: address(7), Candidates: in.Addresses[7].Candidates[1:]})
	looked("one has other candidates", address(7))
	looked("it has them still")
	b.Want(Address{Address: address(40), Candidates: in.Addresses[0].Candidates})
	looked("there is one more", address(40))
	looked("nobody claims it yet", address(40))
	b.Want(Address{Address: address(41)})
	looked("there is one that nobody can own", address(40), address(41))
	looked("nobody can own it still", address(40))
	b.Unwant(address(40))
	looked("it is not wanted any more", address(40))
	nodes := slices.Clone(in.Nodes)
	nodes[2].Claims = maps.Clone(nodes[2].Claims)
	delete(nodes[2].Claims, address(2))
	b.SetNodes(nodes)
	looked("another node has let one go", address(2))
}

func TestAddressThatMovesWithoutAFailureWasDecided(t *testing.T) {
	in := cluster(2, 4)
	for i := range in.Addresses {
		in.Nodes[0].Claims[address(i)] = 1
	}
	in.Self = node(1)
	b := indexOf(in)
	b.Decide(DecisionTerms{})
	out := b.Decide(DecisionTerms{MoveOne: true})
	if diff := cmp.Diff([]netip.Addr{address(0)}, out.Looked, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("looked at (-want +got):\n%s", diff)
	}
	if got := out.Own[address(0)]; got != (Claim{Epoch: 2, Cause: CauseFailback}) {
		t.Errorf("got %+v, want epoch 2 by failback", got)
	}
}

// BenchmarkOneAddress is what it costs that one address more is wanted, and that it is
// not wanted any more, next to others.
func BenchmarkOneAddress(b *testing.B) {
	for _, others := range []int{100, 1000, 5000} {
		b.Run(fmt.Sprintf("next to %d", others), func(b *testing.B) {
			in := cluster(10, others)
			for i := range in.Addresses {
				in.Nodes[i%10].Claims[address(i)] = 1
			}
			in.Self = node(3)
			index, more := indexOf(in), Address{Address: address(others), Candidates: in.Addresses[0].Candidates}
			index.Decide(DecisionTerms{})
			for b.Loop() {
				index.Want(more)
				index.SetNodes(in.Nodes)
				index.Decide(DecisionTerms{})
				index.Unwant(more.Address)
				index.Decide(DecisionTerms{})
			}
		})
	}
}

// BenchmarkAllAddresses is what it costs that a node leaves, or is back.
func BenchmarkAllAddresses(b *testing.B) {
	in := cluster(10, 5000)
	for i := range in.Addresses {
		in.Nodes[i%10].Claims[address(i)] = 1
	}
	in.Self = node(3)
	index := indexOf(in)
	for b.Loop() {
		index.SetNodes(in.Nodes[:9])
		index.Decide(DecisionTerms{})
		index.SetNodes(in.Nodes)
		index.Decide(DecisionTerms{})
	}
}
