package ownership

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/lbstack/lbstack/internal/election"
	"github.com/lbstack/lbstack/internal/lb"
)

// everyone returns what each node decides from the same input.
func everyone(in Input) map[lb.NodeName]Output {
	outs := map[lb.NodeName]Output{}
	for i := range in.Nodes {
		in.Self = in.Nodes[i].Name
		outs[in.Self] = Decide(in)
	}
	return outs
}

// owns are the epochs and causes with which each node owns an address.
func owns(outs map[lb.NodeName]Output, a netip.Addr) map[lb.NodeName]Claim {
	got := map[lb.NodeName]Claim{}
	for node, out := range outs {
		if claim, ok := out.Own[a]; ok {
			got[node] = claim
		}
	}
	return got
}

func cannot(*Candidate, netip.Addr) bool { return false }

// The order for address(1) among node0, node1 and node2 is node2, node1, node0.

func TestTheRules(t *testing.T) {
	a := address(1)
	phase := func(p Phase, nodes ...int) func(*Input) {
		return func(in *Input) {
			for _, i := range nodes {
				in.Nodes[i].Phase = p
			}
		}
	}
	all := func(changes ...func(*Input)) func(*Input) {
		return func(in *Input) {
			for _, change := range changes {
				change(in)
			}
		}
	}
	claims := func(node int, epoch Epoch) func(*Input) {
		return func(in *Input) { in.Nodes[node].Claims[a] = epoch }
	}
	holds := func(node int) func(*Input) {
		return func(in *Input) { in.Nodes[node].Held = []netip.Addr{a} }
	}
	request := func(node int) func(*Input) {
		return func(in *Input) { in.Addresses[0].Candidates[node].Requested = true }
	}
	tests := []struct {
		name   string
		change func(*Input)
		want   map[lb.NodeName]Claim
	}{
		// Rule 1.
		{"nobody ever had it: the elected one has the first epoch", all(), map[lb.NodeName]Claim{"node2": {1, CauseFirst}}},
		{"its owner is dead: the elected one has the next epoch", func(in *Input) { in.Epochs[a] = 6 }, map[lb.NodeName]Claim{"node2": {7, CauseFailure}}},
		{"its owner is dead and had the last epoch: the elected one has the first", func(in *Input) { in.Epochs[a] = MaxEpoch }, map[lb.NodeName]Claim{"node2": {1, CauseFailure}}},
		{"a drained owner with the last epoch gives it up before another one has it", all(claims(0, MaxEpoch), func(in *Input) { in.Nodes[0].Drained = true }), nil},
		{"an owner after the last epoch is followed by the second", all(claims(0, 1), func(in *Input) { in.Epochs[a], in.Nodes[0].Drained = MaxEpoch, true }),
			map[lb.NodeName]Claim{"node0": {1, CauseKept}, "node2": {2, CauseHandOver}}},
		{"a node that is drained is not elected", func(in *Input) { in.Nodes[2].Drained = true }, map[lb.NodeName]Claim{"node1": {1, CauseFirst}}},
		{"a node that is draining is not elected", phase(Draining, 2), map[lb.NodeName]Claim{"node1": {1, CauseFirst}}},
		{"a node that restarts is not elected", phase(Restarting, 2), map[lb.NodeName]Claim{"node1": {1, CauseFirst}}},
		{"a node that is cut off is not elected", phase(Isolated, 2), map[lb.NodeName]Claim{"node1": {1, CauseFirst}}},
		{"a node that starts is not elected for what another one had", all(phase(Starting, 2), func(in *Input) { in.Epochs[a] = 6 }), map[lb.NodeName]Claim{"node1": {7, CauseFailure}}},
		{"a node that starts is waited for when nobody ever had it", phase(Starting, 2), map[lb.NodeName]Claim{"node2": {1, CauseFirst}}},
		{"who is no candidate is not elected", func(in *Input) { in.Addresses[0].Candidates = in.Addresses[0].Candidates[:1] }, map[lb.NodeName]Claim{"node0": {1, CauseFirst}}},
		{"nobody is able: nobody owns it", phase(Draining, 0, 1, 2), nil},
		{"nobody has a link: nobody owns it", func(in *Input) {
			for i := range in.Nodes {
				in.Nodes[i].Able = cannot
			}
		}, nil},
		{"the second one elected does not act either", func(in *Input) { in.Passed = passed("node2", "node1") }, map[lb.NodeName]Claim{"node0": {1, CauseFirst}}},
		{"after all have been passed over the first is elected again", func(in *Input) { in.Passed = passed("node2", "node1", "node0") }, map[lb.NodeName]Claim{"node2": {1, CauseFirst}}},
		{"the preferred one does not act: another one does", func(in *Input) {
			in.Addresses[0].Candidates[0].Preference, in.Passed = 1, passed("node0")
		}, map[lb.NodeName]Claim{"node2": {1, CauseFirst}}},
		// Rule 2.
		{"its owner is able: nothing happens", claims(0, 4), map[lb.NodeName]Claim{"node0": {4, CauseKept}}},
		{"its owner is less preferred: nothing happens", all(claims(0, 4), func(in *Input) { in.Addresses[0].Candidates[1].Preference = 9 }), map[lb.NodeName]Claim{"node0": {4, CauseKept}}},
		{"its owner restarts: nothing happens", all(claims(0, 4), phase(Restarting, 0)), map[lb.NodeName]Claim{"node0": {4, CauseKept}}},
		{"its owner restarts and is no candidate: nothing happens", all(claims(0, 4), phase(Restarting, 0), func(in *Input) { in.Addresses[0].Candidates = in.Addresses[0].Candidates[1:] }),
			map[lb.NodeName]Claim{"node0": {4, CauseKept}}},
		{"its owner restarts and has no link, and nobody is able: nothing happens", all(claims(0, 4), phase(Restarting, 0), phase(Draining, 1, 2), func(in *Input) { in.Nodes[0].Able = cannot }),
			map[lb.NodeName]Claim{"node0": {4, CauseKept}}},
		{"it was let go and claimed again: nothing happens", all(claims(0, 4), func(in *Input) { in.Released = map[netip.Addr]bool{a: true} }), map[lb.NodeName]Claim{"node0": {4, CauseKept}}},
		// Rule 3.
		{"a draining owner keeps it until another one has it", all(claims(0, 4), phase(Draining, 0)), map[lb.NodeName]Claim{"node0": {4, CauseKept}, "node2": {5, CauseHandOver}}},
		{"an owner without a link", all(claims(0, 4), func(in *Input) { in.Nodes[0].Able = cannot }), map[lb.NodeName]Claim{"node0": {4, CauseKept}, "node2": {5, CauseHandOver}}},
		{"an owner that restarts, without a link", all(claims(0, 4), phase(Restarting, 0), func(in *Input) { in.Nodes[0].Able = cannot }), map[lb.NodeName]Claim{"node0": {4, CauseKept}, "node2": {5, CauseHandOver}}},
		{"an owner that restarts, without a link and no candidate any more", all(claims(0, 4), phase(Restarting, 0), func(in *Input) { in.Nodes[0].Able, in.Addresses[0].Candidates = cannot, in.Addresses[0].Candidates[1:] }),
			map[lb.NodeName]Claim{"node0": {4, CauseKept}, "node2": {5, CauseHandOver}}},
		{"an owner that is no candidate any more", all(claims(0, 4), func(in *Input) { in.Addresses[0].Candidates = in.Addresses[0].Candidates[1:] }),
			map[lb.NodeName]Claim{"node0": {4, CauseKept}, "node2": {5, CauseHandOver}}},
		{"the next epoch is above all that were seen", all(claims(0, 4), phase(Draining, 0), func(in *Input) { in.Epochs[a] = 9 }), map[lb.NodeName]Claim{"node0": {4, CauseKept}, "node2": {10, CauseHandOver}}},
		{"nobody is able: a draining owner keeps it", all(claims(0, 4), phase(Draining, 0, 1, 2)), map[lb.NodeName]Claim{"node0": {4, CauseKept}}},
		{"nobody is able: one that is cut off gives it up", all(claims(0, 4), phase(Isolated, 0, 1, 2)), nil},
		{"nobody is able: one without a link gives it up", all(claims(0, 4), phase(Draining, 1, 2), func(in *Input) { in.Nodes[0].Able = cannot }), nil},
		{"nobody is able: one that drains and is no candidate gives it up", all(claims(0, 4), phase(Draining, 0, 1, 2), func(in *Input) { in.Addresses[0].Candidates = in.Addresses[0].Candidates[1:] }), nil},
		{"who takes over first is not able any more", all(claims(0, 4), phase(Draining, 0, 2)), map[lb.NodeName]Claim{"node0": {4, CauseKept}, "node1": {5, CauseHandOver}}},
		{"the next one takes over if the first does not act", all(claims(0, 4), phase(Draining, 0), func(in *Input) { in.Passed = passed("node2") }),
			map[lb.NodeName]Claim{"node0": {4, CauseKept}, "node1": {5, CauseHandOver}}},
		// Rule 4.
		{"of three claims the highest counts", all(claims(0, 4), claims(1, 6), claims(2, 5)), map[lb.NodeName]Claim{"node1": {6, CauseKept}}},
		{"of three equal claims that of the highest weight counts", all(claims(0, 4), claims(1, 4), claims(2, 4)), map[lb.NodeName]Claim{"node2": {4, CauseKept}}},
		{"of two equal claims that of the higher weight counts", all(claims(0, 4), claims(1, 4)), map[lb.NodeName]Claim{"node1": {4, CauseKept}}},
		{"the better claim counts although the other node is preferred", all(claims(0, 5), claims(1, 4), func(in *Input) { in.Addresses[0].Candidates[1].Preference = 9 }), map[lb.NodeName]Claim{"node0": {5, CauseKept}}},
		{"of two equal claims that of the node which announces counts", all(claims(0, 4), claims(1, 4), holds(1)), map[lb.NodeName]Claim{"node0": {4, CauseKept}}},
		{"of three equal claims that of the highest weight counts among two that announce", all(claims(0, 4), claims(1, 4), claims(2, 4), holds(2)), map[lb.NodeName]Claim{"node1": {4, CauseKept}}},
		{"of two equal claims of nodes that do not announce that of the higher weight counts", all(claims(0, 4), claims(1, 4), holds(0), holds(1)), map[lb.NodeName]Claim{"node1": {4, CauseKept}}},
		{"a higher claim counts although its node does not announce", all(claims(0, 4), claims(1, 5), holds(1)), map[lb.NodeName]Claim{"node1": {5, CauseKept}}},
		{"what is not wanted is given up", all(claims(0, 4), func(in *Input) { in.Addresses = nil }), nil},
		// A node is asked for.
		{"a node that is asked for takes it from one that may have it, which keeps it until then", all(claims(0, 4), request(1)), map[lb.NodeName]Claim{"node0": {4, CauseKept}, "node1": {5, CauseRequest}}},
		{"a node that is asked for and was not able a moment ago waits", all(claims(0, 4), request(1), func(in *Input) { in.Unripe = map[netip.Addr]bool{a: true} }), map[lb.NodeName]Claim{"node0": {4, CauseKept}}},
		{"a node that is asked for and has it keeps it", all(claims(1, 4), request(1)), map[lb.NodeName]Claim{"node1": {4, CauseKept}}},
		{"a node that is asked for has what nobody has", all(request(0), func(in *Input) { in.Epochs[a] = 6 }), map[lb.NodeName]Claim{"node0": {7, CauseFailure}}},
		{"a node that is asked for is dead: the others have it as ever", all(func(in *Input) { in.Epochs[a] = 6 }, request(1), phase(Isolated, 1)), map[lb.NodeName]Claim{"node2": {7, CauseFailure}}},
		{"a node that is asked for does not act: what nobody has goes to the next", all(request(0), func(in *Input) { in.Passed = passed("node0") }), map[lb.NodeName]Claim{"node2": {1, CauseFirst}}},
		{"a node that is asked for drains: its owner keeps it", all(claims(0, 4), request(1), phase(Draining, 1)), map[lb.NodeName]Claim{"node0": {4, CauseKept}}},
		{"a node that is asked for drains and has it: another one takes it", all(claims(1, 4), request(1), phase(Draining, 1)), map[lb.NodeName]Claim{"node1": {4, CauseKept}, "node2": {5, CauseHandOver}}},
		{"a node that is asked for has no link: its owner keeps it", all(claims(0, 4), request(1), func(in *Input) { in.Nodes[1].Able = cannot }), map[lb.NodeName]Claim{"node0": {4, CauseKept}}},
		{"a node that is asked for restarts: its owner keeps it", all(claims(0, 4), request(1), phase(Restarting, 1)), map[lb.NodeName]Claim{"node0": {4, CauseKept}}},
		{"an owner that restarts is left alone by one that is asked for", all(claims(0, 4), request(1), phase(Restarting, 0)), map[lb.NodeName]Claim{"node0": {4, CauseKept}}},
		{"a node that is asked for has just begun: its owner keeps it", all(claims(0, 4), request(1), func(in *Input) { in.Nodes[1].Settled = false }), map[lb.NodeName]Claim{"node0": {4, CauseKept}}},
		{"an owner that drains hands over to the node that is asked for", all(claims(0, 4), request(1), phase(Draining, 0)), map[lb.NodeName]Claim{"node0": {4, CauseKept}, "node1": {5, CauseHandOver}}},
		{"a node that is asked for and lost it to another one starts no war", all(claims(1, 4), claims(2, 5), request(1)), map[lb.NodeName]Claim{"node2": {5, CauseKept}}},
		{"a node that is asked for waits while the address is on hold", all(claims(0, 4), request(1), func(in *Input) { in.Hold = map[netip.Addr]bool{a: true} }), map[lb.NodeName]Claim{"node0": {4, CauseKept}}},
		{"the last epoch is not followed by another one", all(claims(0, MaxEpoch), request(1)), map[lb.NodeName]Claim{"node0": {MaxEpoch, CauseKept}}},
		// A dispute about what the cluster wants.
		{"a node that lost it to one that may not own it, as it knows, starts no war", all(claims(0, 5), claims(2, 4), func(in *Input) { in.Addresses[0].Candidates = in.Addresses[0].Candidates[1:] }),
			map[lb.NodeName]Claim{"node0": {5, CauseKept}}},
		{"what is on hold is not taken from one that may not own it, as is known", all(claims(0, 5), func(in *Input) {
			in.Addresses[0].Candidates, in.Hold = in.Addresses[0].Candidates[1:], map[netip.Addr]bool{a: true}
		}), map[lb.NodeName]Claim{"node0": {5, CauseKept}}},
		{"what is on hold is taken from one that drains and may not own it", all(claims(0, 5), phase(Draining, 0), func(in *Input) {
			in.Addresses[0].Candidates, in.Hold = in.Addresses[0].Candidates[1:], map[netip.Addr]bool{a: true}
		}), map[lb.NodeName]Claim{"node0": {5, CauseKept}, "node2": {6, CauseHandOver}}},
		{"what is on hold is taken from one that drains", all(claims(0, 5), phase(Draining, 0), func(in *Input) { in.Hold = map[netip.Addr]bool{a: true} }),
			map[lb.NodeName]Claim{"node0": {5, CauseKept}, "node2": {6, CauseHandOver}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := cluster(3, 0)
			in.Addresses = []Address{{Address: a, Candidates: []Candidate{{Node: "node0"}, {Node: "node1"}, {Node: "node2"}}}}
			tt.change(&in)
			outs := everyone(in)
			if diff := cmp.Diff(tt.want, owns(outs, a), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("owners (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNodeReport(t *testing.T) {
	a := address(1)
	tests := []struct {
		name                                    string
		change                                  func(*Input)
		contested, yielded, unclaimed, covering []lb.NodeName // who reports it
	}{
		{name: "the winner of two claims reports the other", contested: []lb.NodeName{"node1"},
			change: func(in *Input) { in.Nodes[0].Claims[a], in.Nodes[1].Claims[a] = 3, 4 }},
		{name: "the winner of three claims reports the others", contested: []lb.NodeName{"node2"},
			change: func(in *Input) { in.Nodes[0].Claims[a], in.Nodes[1].Claims[a], in.Nodes[2].Claims[a] = 3, 3, 4 }},
		{name: "nobody contests a single claim", change: func(in *Input) { in.Nodes[0].Claims[a] = 3 }},
		{name: "all but the elected one wait for it", unclaimed: []lb.NodeName{"node0", "node1"}},
		{name: "nobody waits for what nobody can own", change: func(in *Input) { in.Addresses[0].Candidates = nil }},
		{name: "nobody waits for what was just let go", change: func(in *Input) { in.Released = map[netip.Addr]bool{a: true} }},
		{name: "who does not have it waits for the one that takes it over", unclaimed: []lb.NodeName{"node1"},
			change: func(in *Input) { in.Nodes[0].Claims[a], in.Nodes[0].Phase = 3, Draining }},
		{name: "a node that yields reports it", yielded: []lb.NodeName{"node2"}, unclaimed: []lb.NodeName{"node1"},
			change: func(in *Input) {
				in.Nodes[0].Claims[a], in.Nodes[2].Claims[a], in.Addresses[0].Candidates = 5, 4, in.Addresses[0].Candidates[1:]
			}},
		{name: "nobody yields to an owner that has lost its link", unclaimed: []lb.NodeName{"node1"},
			change: func(in *Input) {
				in.Nodes[0].Claims[a], in.Nodes[2].Claims[a] = 5, 4
				in.Nodes[0].Able = func(*Candidate, netip.Addr) bool { return false }
			}},
		{name: "a node that yields reports it, where the advertisement names interfaces", yielded: []lb.NodeName{"node2"}, unclaimed: []lb.NodeName{"node1"},
			change: func(in *Input) {
				in.Nodes[0].Claims[a], in.Nodes[2].Claims[a], in.Addresses[0].Candidates[0].Interfaces = 5, 4, []string{"eth1"}
				in.Nodes[0].Able = func(*Candidate, netip.Addr) bool { return false }
			}},
		{name: "one answers for an owner that restarts", covering: []lb.NodeName{"node2"},
			change: func(in *Input) { in.Nodes[0].Claims[a], in.Nodes[0].Phase = 3, Restarting }},
		{name: "the preferred one answers for an owner that restarts", covering: []lb.NodeName{"node1"},
			change: func(in *Input) {
				in.Nodes[0].Claims[a], in.Nodes[0].Phase, in.Addresses[0].Candidates[1].Preference = 3, Restarting, 1
			}},
		{name: "a request does not matter for who answers", covering: []lb.NodeName{"node2"},
			change: func(in *Input) {
				in.Nodes[0].Claims[a], in.Nodes[0].Phase, in.Addresses[0].Candidates[1].Requested = 3, Restarting, true
			}},
		{name: "load does not matter for who answers", covering: []lb.NodeName{"node2"},
			change: func(in *Input) {
				in.Nodes[0].Claims[a], in.Nodes[0].Phase = 3, Restarting
				for i := 100; i < 120; i++ {
					in.Addresses = append(in.Addresses, Address{Address: address(i), Candidates: in.Addresses[0].Candidates})
					in.Nodes[2].Claims[address(i)] = 1
				}
			}},
		{name: "nobody answers for an owner that restarts without a link: another one takes it", unclaimed: []lb.NodeName{"node1"},
			change: func(in *Input) {
				in.Nodes[0].Claims[a], in.Nodes[0].Phase, in.Nodes[0].Able = 3, Restarting, cannot
			}},
		{name: "nobody answers if nobody is able", change: func(in *Input) {
			in.Nodes[0].Claims[a], in.Nodes[0].Phase, in.Nodes[1].Phase, in.Nodes[2].Phase = 3, Restarting, Draining, Draining
		}},
		{name: "nobody answers for one that is active", change: func(in *Input) { in.Nodes[0].Claims[a] = 3 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := cluster(3, 0)
			in.Addresses = []Address{{Address: a, Candidates: []Candidate{{Node: "node0"}, {Node: "node1"}, {Node: "node2"}}}}
			if tt.change != nil {
				tt.change(&in)
			}
			got := map[string][]lb.NodeName{}
			outs := everyone(in)
			for _, node := range slices.Sorted(maps.Keys(outs)) {
				out := outs[node]
				for what, list := range map[string][]netip.Addr{"contested": out.Contested, "yielded": out.Yielded, "unclaimed": unclaimedOf(out), "covering": slices.Collect(maps.Keys(out.Care))} {
					if slices.Contains(list, a) {
						got[what] = append(got[what], node)
					}
				}
			}
			want := map[string][]lb.NodeName{"contested": tt.contested, "yielded": tt.yielded, "unclaimed": tt.unclaimed, "covering": tt.covering}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreMapEntries(func(_ string, v []lb.NodeName) bool { return len(v) == 0 })); diff != "" {
				t.Errorf("who reports it (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGradualFailback(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Input)
		want   map[lb.NodeName]Claim // of what moves
	}{
		{name: "a node with two less takes one", want: map[lb.NodeName]Claim{"node1": {2, CauseFailback}}},
		{name: "its epoch is higher than any that was seen", change: func(in *Input) {
			for i := range in.Addresses {
				in.Epochs[address(i)] = 9
			}
		}, want: map[lb.NodeName]Claim{"node1": {10, CauseFailback}}},
		{name: "only if it is asked for", change: func(in *Input) { in.MoveOne = false }},
		{name: "not to a node that has not been alive for long enough", change: func(in *Input) { in.Nodes[1].Settled = false }},
		{name: "not to one that drains", change: func(in *Input) { in.Nodes[1].Drained = true }},
		{name: "not to one without a link", change: func(in *Input) { in.Nodes[1].Able = cannot }},
		{name: "not to one that is preferred less", change: func(in *Input) {
			for i := range in.Addresses {
				in.Addresses[i].Candidates = []Candidate{{Node: "node0", Preference: 1}, {Node: "node1"}}
			}
		}},
		{name: "one less is not enough", change: func(in *Input) {
			in.Nodes[1].Claims[address(2)] = 2
			delete(in.Nodes[0].Claims, address(2))
			delete(in.Nodes[0].Claims, address(1))
			in.Addresses = in.Addresses[1:]
			in.Addresses = append(in.Addresses, Address{Address: address(4), Candidates: in.Addresses[0].Candidates})
			in.Nodes[0].Claims[address(4)] = 1
		}},
		{name: "one that is preferred takes it although it has as much", change: func(in *Input) {
			for i := range 2 {
				delete(in.Nodes[0].Claims, address(i))
				in.Nodes[1].Claims[address(i)] = 1
			}
			in.Addresses[3].Candidates = []Candidate{{Node: "node0"}, {Node: "node1", Preference: 1}}
		}, want: map[lb.NodeName]Claim{"node1": {2, CauseFailback}}},
		{name: "not from one that restarts", change: func(in *Input) {
			in.Nodes[0].Phase = Restarting
			for i := range in.Addresses {
				in.Addresses[i].Candidates = []Candidate{{Node: "node0"}, {Node: "node1", Preference: 1}}
			}
		}},
		{name: "not while something has no owner", change: func(in *Input) {
			in.Addresses = append(in.Addresses, Address{Address: address(9), Candidates: []Candidate{{Node: "node0"}}})
		}},
		{name: "not while something is handed over", change: func(in *Input) {
			in.Addresses = append(in.Addresses, Address{Address: address(9), Candidates: []Candidate{{Node: "node0"}}})
			in.Nodes[1].Claims[address(9)] = 1
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := cluster(2, 4)
			in.MoveOne = true
			for i := range 4 {
				in.Nodes[0].Claims[address(i)], in.Epochs[address(i)] = 1, 1
			}
			if tt.change != nil {
				tt.change(&in)
			}
			got := map[lb.NodeName]Claim{}
			moved := 0
			for node, out := range everyone(in) {
				for _, claim := range out.Own {
					if claim.Cause == CauseFailback {
						got[node] = claim
						moved++
					}
				}
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty()); diff != "" || moved > 1 {
				t.Errorf("%d moved (-want +got):\n%s", moved, diff)
			}
		})
	}
}

func TestHandedOverAddressesAreSpread(t *testing.T) {
	in := cluster(4, 12)
	for i := range in.Addresses {
		in.Nodes[0].Claims[address(i)], in.Epochs[address(i)] = 1, 1
	}
	in.Nodes[0].Phase = Draining
	round(&in)
	owners, twice := round(&in)
	if least, most := loads(owners, in.Nodes[1:]); least != 4 || most != 4 || twice > 0 {
		t.Errorf("a node owns %d, another %d of 12, %d are owned twice, want 4 each", least, most, twice)
	}
}

// A node that is drained hands over address by address, and the states of others arrive in
// any order. No node takes more than it would have taken without these states.
func TestAddressThatMovesDoesNotMoveOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(3, 6).Draw(t, "nodes")
		in := cluster(n, rapid.IntRange(n, 6*n).Draw(t, "addresses"))
		for i := range in.Addresses {
			in.Nodes[i%n].Claims[address(i)], in.Epochs[address(i)] = 1, 1
		}
		in.Nodes[0].Phase, in.Released = Draining, map[netip.Addr]bool{}
		before := everyone(in)
		waiting := rapid.IntRange(1, n-1).Draw(t, "who has not decided yet")
		for i := 1; i < n; i++ {
			received := rapid.Bool().Draw(t, "received")
			for a, claim := range before[node(i)].Own {
				if i == waiting || claim.Cause != CauseHandOver {
					continue
				}
				if gone := rapid.Bool().Draw(t, "let go"); gone {
					delete(in.Nodes[0].Claims, a)
					in.Released[a] = !received
				}
				if received {
					in.Nodes[i].Claims[a] = claim.Epoch
				}
			}
		}
		in.Self = node(waiting)
		if diff := cmp.Diff(before[in.Self].Own, Decide(in).Own, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Fatalf("%s takes (-without the states of others +now):\n%s", in.Self, diff)
		}
	})
}

func TestAddressesOfALeavingNodeAreSpreadEvenly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 8).Draw(t, "nodes")
		in := cluster(n, n*rapid.IntRange(1, 12).Draw(t, "addresses of each"))
		for i := range in.Addresses {
			in.Nodes[i%n].Claims[address(i)], in.Epochs[address(i)] = 1, 1
		}
		in.Nodes = slices.Delete(in.Nodes, 0, 1)
		owners, _ := round(&in)
		if least, most := loads(owners, in.Nodes); most-least > 1 {
			t.Fatalf("a node owns %d, another %d", least, most)
		}
	})
}

func TestNewAddressesAreSpreadEvenly(t *testing.T) {
	for _, n := range []int{3, 10, 33} {
		in := cluster(n, 4*n+1)
		owners, _ := round(&in)
		if least, most := loads(owners, in.Nodes); most-least > 1 {
			t.Errorf("%d addresses on %d nodes: one owns %d, another %d", 4*n+1, n, least, most)
		}
	}
}

func TestNodeThatHandsOverHasRoom(t *testing.T) {
	in := cluster(2, 20)
	for i := range 4 {
		in.Nodes[0].Claims[address(i)], in.Epochs[address(i)] = 1, 1
		in.Addresses[i].Candidates = in.Addresses[i].Candidates[1:]
	}
	last := slices.IndexFunc(in.Addresses[4:], func(a Address) bool { return election.ComesBefore(a.Address, node(1), node(0)) })
	in.Addresses = append(in.Addresses[:4], in.Addresses[4+last])
	if got := owns(everyone(in), in.Addresses[4].Address); got[node(0)] != (Claim{1, CauseFirst}) {
		t.Errorf("it is taken by %v, want node0, which has nothing any more", got)
	}
}

func TestAddressWithoutACandidateDoesNotRaiseTheShare(t *testing.T) {
	in := cluster(3, 30)
	for i := range in.Addresses[3:] {
		in.Addresses[3+i].Candidates = nil
	}
	owners, _ := round(&in)
	if least, most := loads(owners, in.Nodes); least != 1 || most != 1 {
		t.Errorf("a node owns %d, another %d of 3, want 1 each", least, most)
	}
}

// drawn is a cluster in any state: phases, links, candidates, claims, and epochs that
// are at least those of the claims.
func drawn(t *rapid.T) Input {
	in := cluster(rapid.IntRange(1, 6).Draw(t, "nodes"), rapid.IntRange(0, 12).Draw(t, "addresses"))
	for i := range in.Nodes {
		n := &in.Nodes[i]
		n.Phase = rapid.SampledFrom([]Phase{Active, Active, Active, Active, Draining, Restarting}).Draw(t, "phase")
		n.Drained = rapid.IntRange(0, 5).Draw(t, "drained") == 0
		n.Settled = rapid.Bool().Draw(t, "settled")
		links := rapid.SliceOfN(rapid.IntRange(0, 4), len(in.Addresses), len(in.Addresses)).Draw(t, "no link where 0")
		n.Able = func(_ *Candidate, a netip.Addr) bool { return links[a.As4()[3]] > 0 }
	}
	for i := range in.Addresses {
		a := &in.Addresses[i]
		var candidates []Candidate
		asked := rapid.IntRange(0, 2*len(in.Nodes)).Draw(t, "asked for")
		for j := range in.Nodes {
			if rapid.IntRange(0, 4).Draw(t, "no candidate if 0") > 0 {
				candidates = append(candidates, Candidate{Node: node(j), Preference: int32(rapid.IntRange(0, 1).Draw(t, "preference"))})
				if j == asked {
					candidates[len(candidates)-1].Requested = true
				}
			}
			if rapid.IntRange(0, 4).Draw(t, "claims it if 0") == 0 {
				in.Nodes[j].Claims[a.Address] = Epoch(rapid.IntRange(1, 3).Draw(t, "epoch"))
				in.Epochs[a.Address] = max(in.Epochs[a.Address], in.Nodes[j].Claims[a.Address])
			}
		}
		a.Candidates = candidates
	}
	return in
}

// ableFor reports whether a node may be given an address.
func ableFor(in *Input, a *Address) bool {
	return slices.ContainsFunc(a.Candidates, func(c Candidate) bool {
		n := in.Nodes[slices.IndexFunc(in.Nodes, func(n Node) bool { return n.Name == c.Node })]
		return n.Phase == Active && !n.Drained && n.Able(&c, a.Address)
	})
}

func TestFromAnyStateEveryAddressThatSomebodyCanOwnSoonHasOneOwner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawn(t)
		highest := maps.Clone(in.Epochs)
		var owners map[netip.Addr]lb.NodeName
		var twice int
		for range 4 {
			for a, carers := range coverings(in) {
				if len(carers) > 1 {
					t.Fatalf("%v answer for %s", carers, a)
				}
			}
			owners, twice = round(&in)
			for a, epoch := range highest {
				if in.Epochs[a] < epoch {
					t.Fatalf("the epoch of %s fell from %d to %d", a, epoch, in.Epochs[a])
				}
			}
			for _, n := range in.Nodes {
				for a, epoch := range n.Claims {
					if epoch > highest[a]+1 {
						t.Fatalf("the epoch of %s rose from %d to %d", a, highest[a], epoch)
					}
				}
			}
			highest = maps.Clone(in.Epochs)
		}
		if twice > 0 {
			t.Fatalf("%d addresses have two owners", twice)
		}
		for i := range in.Addresses {
			a := &in.Addresses[i]
			if _, owned := owners[a.Address]; !owned && ableFor(&in, a) {
				t.Fatalf("%s has no owner, although somebody can own it", a.Address)
			}
		}
		again, _ := round(&in)
		if diff := cmp.Diff(owners, again, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Fatalf("addresses moved although nothing had changed (-was +is):\n%s", diff)
		}
	})
}

// coverings returns the nodes that cover for each address.
func coverings(in Input) map[netip.Addr][]lb.NodeName {
	got := map[netip.Addr][]lb.NodeName{}
	for node, out := range everyone(in) {
		for a := range out.Care {
			got[a] = append(got[a], node)
		}
	}
	return got
}

func TestRestartingNodeHasExactlyOneCoveringNodeIfPossible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawn(t)
		restarts := rapid.IntRange(0, len(in.Nodes)-1).Draw(t, "restarts")
		in.Nodes[restarts].Phase = Restarting
		for i := range in.Nodes {
			in.Nodes[i].Claims = Claims{}
		}
		for i := range in.Addresses {
			in.Nodes[restarts].Claims[in.Addresses[i].Address] = 2
		}
		got := coverings(in)
		for i := range in.Addresses {
			a := &in.Addresses[i]
			want := 0
			if ableFor(&in, a) && in.Nodes[restarts].Able(&Candidate{}, a.Address) {
				want = 1
			}
			if len(got[a.Address]) != want {
				t.Fatalf("%v answer for %s, want %d", got[a.Address], a.Address, want)
			}
		}
	})
}

func TestNodeThatJoinsGetsOnlyAddressesThatAreMoved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 7).Draw(t, "nodes")
		in := cluster(n, rapid.IntRange(0, 30).Draw(t, "addresses"))
		joins := rapid.IntRange(0, n-1).Draw(t, "joins")
		newcomer := in.Nodes[joins]
		in.Nodes = slices.Delete(slices.Clone(in.Nodes), joins, joins+1)
		before, _ := round(&in)
		in.Nodes = slices.Insert(in.Nodes, joins, newcomer)
		after, _ := round(&in)
		if diff := cmp.Diff(before, after, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Fatalf("addresses moved although %s only joined (-was +is):\n%s", newcomer.Name, diff)
		}
	})
}

func TestFailbackEndsWhereItIsEvenOrPreferred(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 5).Draw(t, "nodes")
		in := cluster(n, rapid.IntRange(1, 15).Draw(t, "addresses"))
		preferred := rapid.IntRange(0, n).Draw(t, "preferred nodes") // the first ones; none means all
		candidates := slices.Clone(in.Addresses[0].Candidates)
		for i := range candidates[:preferred] {
			candidates[i].Preference = 1
		}
		for i := range in.Addresses {
			in.Addresses[i].Candidates = candidates
			in.Nodes[rapid.IntRange(0, n-1).Draw(t, "owner")].Claims[address(i)] = 1
			in.Epochs[address(i)] = 1
		}
		owners := map[netip.Addr]lb.NodeName{}
		for range 3 * len(in.Addresses) {
			in.MoveOne = true
			_, twice := round(&in)
			in.MoveOne = false
			if twice > 1 {
				t.Fatalf("%d addresses move at once", twice)
			}
			owners, _ = round(&in)
		}
		if preferred == 0 {
			preferred = n
		}
		if least, most := loads(owners, in.Nodes[:preferred]); most-least > 1 || len(owners) != len(in.Addresses) {
			t.Fatalf("in the end a node owns %d, another %d, all %d of %d", most, least, len(owners), len(in.Addresses))
		}
		for a, owner := range owners {
			if !slices.ContainsFunc(in.Nodes[:preferred], func(n Node) bool { return n.Name == owner }) {
				t.Fatalf("%s stays on %s, which is not preferred", a, owner)
			}
		}
	})
}

func TestOwnersAreThoseWhoseClaimsCountMost(t *testing.T) {
	one, two := netip.MustParseAddr("192.168.1.1"), netip.MustParseAddr("192.168.1.2")
	nodes := []Node{
		{Name: "a", Claims: Claims{one: 3, two: 1}},
		{Name: "b", Claims: Claims{one: 2, two: 1}},
	}
	first := lb.NodeName("a")
	if election.ComesBefore(two, "b", "a") {
		first = "b"
	}
	want := map[netip.Addr]lb.NodeName{one: "a", two: first}
	for range 2 {
		b := NewIndex("a")
		b.SetNodes(slices.Clone(nodes))
		if diff := cmp.Diff(want, map[netip.Addr]lb.NodeName{one: b.Owner(one), two: b.Owner(two)}, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%s first (-want +got):\n%s", nodes[0].Name, diff)
		}
		slices.Reverse(nodes)
	}
}

// unclaimedOf returns the addresses that a node waits for.
func unclaimedOf(out Output) (list []netip.Addr) {
	for _, u := range out.Unclaimed {
		list = append(list, u.Address)
	}
	return list
}

// passed are nodes that have let an address wait.
func passed(nodes ...lb.NodeName) map[netip.Addr][]lb.NodeName {
	return map[netip.Addr][]lb.NodeName{address(1): nodes}
}
