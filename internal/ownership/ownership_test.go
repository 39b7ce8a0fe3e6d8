package ownership

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/lbstack/lbstack/internal/lb"
)

func address(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }

func node(i int) lb.NodeName { return lb.NodeName(fmt.Sprintf("node%d", i)) }

// Input is all that a decision depends on.
type Input struct {
	Self      lb.NodeName
	Addresses []Address
	Nodes     []Node
	Epochs    map[netip.Addr]Epoch // the highest ever seen
	DecisionTerms
}

// Decide is what a node decides that knows nothing else.
func Decide(in Input) Output { return indexOf(in).Decide(in.DecisionTerms) }

func indexOf(in Input) *Index {
	b := NewIndex(in.Self)
	for _, a := range in.Addresses {
		b.Want(a)
	}
	b.SetNodes(slices.Clone(in.Nodes))
	for a, epoch := range in.Epochs {
		b.RaiseEpoch(a, epoch)
	}
	return b
}

// cluster is n nodes that all may own all addresses.
func cluster(n, addresses int) Input {
	in := Input{Epochs: map[netip.Addr]Epoch{}}
	var candidates []Candidate
	for i := range n {
		candidates = append(candidates, Candidate{Node: node(i)})
		in.Nodes = append(in.Nodes, Node{Name: node(i), Phase: Active, Settled: true, Claims: Claims{}, Able: func(*Candidate, netip.Addr) bool { return true }})
	}
	for i := range addresses {
		in.Addresses = append(in.Addresses, Address{Address: address(i), Candidates: candidates})
	}
	return in
}

// round has all nodes decide at once, and then see what all have decided. It returns
// who has what, and how many addresses two nodes own.
func round(in *Input) (owners map[netip.Addr]lb.NodeName, twice int) {
	owners = map[netip.Addr]lb.NodeName{}
	next := make([]Claims, len(in.Nodes))
	for i := range in.Nodes {
		in.Self = in.Nodes[i].Name
		next[i] = Claims{}
		for a, claim := range Decide(*in).Own {
			next[i][a] = claim.Epoch
		}
	}
	for i := range in.Nodes {
		in.Nodes[i].Claims = next[i]
		for a, epoch := range next[i] {
			if _, has := owners[a]; has {
				twice++
			}
			owners[a] = in.Nodes[i].Name
			in.Epochs[a] = max(in.Epochs[a], epoch)
		}
	}
	return owners, twice
}

func loads(owners map[netip.Addr]lb.NodeName, nodes []Node) (least, most int) {
	count := map[lb.NodeName]int{}
	for _, n := range owners {
		count[n]++
	}
	least = len(owners)
	for i := range nodes {
		least, most = min(least, count[nodes[i].Name]), max(most, count[nodes[i].Name])
	}
	return least, most
}

func TestNodesWithTheSameViewShareEvenlyAndMoveNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, addresses := rapid.IntRange(1, 8).Draw(t, "nodes"), rapid.IntRange(0, 40).Draw(t, "addresses")
		in := cluster(n, addresses)
		owners, twice := round(&in)
		if len(owners) != addresses || twice > 0 {
			t.Fatalf("%d of %d addresses are owned, %d by two", len(owners), addresses, twice)
		}
		if least, most := loads(owners, in.Nodes); most > (addresses+n-1)/n {
			t.Fatalf("a node owns %d, another %d", most, least)
		}
		again, _ := round(&in)
		if diff := cmp.Diff(owners, again, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Fatalf("addresses moved although nothing had changed:\n%s", diff)
		}
		// One leaves, and comes back.
		gone := rapid.IntRange(0, n-1).Draw(t, "gone")
		left := in.Nodes[gone]
		in.Nodes = append(append([]Node(nil), in.Nodes[:gone]...), in.Nodes[gone+1:]...)
		after, twice := round(&in)
		if n > 1 && (len(after) != addresses || twice > 0) {
			t.Fatalf("after %s left, %d of %d addresses are owned, %d by two", left.Name, len(after), addresses, twice)
		}
		for a, was := range owners {
			if is := after[a]; n > 1 && was != left.Name && is != was {
				t.Fatalf("%s moved from %s to %s, since %s left", a, was, is, left.Name)
			}
		}
		left.Claims = Claims{}
		in.Nodes = append(in.Nodes, left)
		back, _ := round(&in)
		if n > 1 {
			if diff := cmp.Diff(after, back, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Fatalf("%s took something back:\n%s", left.Name, diff)
			}
		}
	})
}

func TestFailbackMovesOneAtATimeUntilItIsEven(t *testing.T) {
	in := cluster(3, 12)
	for i := range in.Addresses {
		in.Nodes[0].Claims[address(i)], in.Epochs[address(i)] = 1, 1
	}
	before, _ := round(&in)
	in.MoveOne = true
	for range 40 {
		// A move is two claims for a moment: the taker's is the better one.
		round(&in)
		in.MoveOne = false
		now, _ := round(&in)
		in.MoveOne = true
		moved := 0
		for a, was := range before {
			if now[a] != was {
				moved++
			}
		}
		if moved > 1 || len(now) != 12 {
			t.Fatalf("%d addresses moved at once, %d of 12 are owned", moved, len(now))
		}
		before = now
	}
	if least, most := loads(before, in.Nodes); most-least > 1 {
		t.Errorf("in the end a node owns %d, another %d", most, least)
	}
}

func TestOwnership(t *testing.T) {
	a := address(1)
	tests := []struct {
		name     string
		change   func(*Input)
		want     map[lb.NodeName]Epoch       // who owns it
		covering map[lb.NodeName]lb.NodeName // who answers for whom
	}{
		{name: "the highest epoch counts", change: func(in *Input) { in.Nodes[0].Claims[a], in.Nodes[1].Claims[a] = 3, 4 },
			want: map[lb.NodeName]Epoch{"node1": 4}},
		{name: "equal epochs are settled by weight", change: func(in *Input) { in.Nodes[0].Claims[a], in.Nodes[1].Claims[a] = 3, 3 },
			want: map[lb.NodeName]Epoch{"node1": 3}},
		{name: "a drained node keeps it until another one has it", change: func(in *Input) { in.Nodes[0].Claims[a], in.Nodes[0].Drained = 3, true },
			want: map[lb.NodeName]Epoch{"node0": 3, "node2": 4}},
		{name: "a drained node keeps it if nobody can take it", change: func(in *Input) {
			in.Nodes[0].Claims[a] = 3
			for i := range in.Nodes {
				in.Nodes[i].Drained = true
			}
		}, want: map[lb.NodeName]Epoch{"node0": 3}},
		{name: "a node that is no candidate gives it up if nobody can take it", change: func(in *Input) {
			in.Nodes[0].Claims[a], in.Addresses[0].Candidates = 3, nil
		}},
		{name: "one that restarts keeps it, and one other answers for it", change: func(in *Input) { in.Nodes[0].Claims[a], in.Nodes[0].Phase = 3, Restarting },
			want: map[lb.NodeName]Epoch{"node0": 3}, covering: map[lb.NodeName]lb.NodeName{"node2": "node0"}},
		{name: "who is preferred takes what nobody has", change: func(in *Input) {
			in.Addresses[0].Candidates = []Candidate{{Node: "node0"}, {Node: "node1"}, {Node: "node2", Preference: 5}}
		}, want: map[lb.NodeName]Epoch{"node2": 1}},
		{name: "a node without a link takes nothing", change: func(in *Input) {
			for i := range 2 {
				in.Nodes[i].Able = func(*Candidate, netip.Addr) bool { return false }
			}
		}, want: map[lb.NodeName]Epoch{"node2": 1}},
		{name: "what was let go a moment ago is left alone", change: func(in *Input) { in.Released = map[netip.Addr]bool{a: true} }},
		{name: "one that starts is elected for what nobody ever had", change: func(in *Input) { in.Nodes[2].Phase = Starting }, want: map[lb.NodeName]Epoch{"node2": 1}},
		{name: "when that takes too long, one that runs is", change: func(in *Input) {
			in.Nodes[2].Phase, in.Overdue = Starting, map[netip.Addr]bool{a: true}
		}, want: map[lb.NodeName]Epoch{"node1": 1}},
		{name: "while all start, one of them is", change: func(in *Input) {
			for i := range in.Nodes {
				in.Nodes[i].Phase = Starting
			}
			in.Overdue = map[netip.Addr]bool{a: true}
		}, want: map[lb.NodeName]Epoch{"node2": 1}},
		{name: "when the elected one does not act, the next one does", change: func(in *Input) { in.Passed = passed("node2") },
			want: map[lb.NodeName]Epoch{"node1": 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := cluster(3, 0)
			in.Addresses = []Address{{Address: a, Candidates: []Candidate{{Node: "node0"}, {Node: "node1"}, {Node: "node2"}}}}
			tt.change(&in)
			got, covering := map[lb.NodeName]Epoch{}, map[lb.NodeName]lb.NodeName{}
			for i := range in.Nodes {
				in.Self = in.Nodes[i].Name
				out := Decide(in)
				if claim, owns := out.Own[a]; owns {
					got[in.Self] = claim.Epoch
				}
				if holder, covers := out.Care[a]; covers {
					covering[in.Self] = holder
				}
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("owners (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.covering, covering, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("who answers for whom (-want +got):\n%s", diff)
			}
		})
	}
}
