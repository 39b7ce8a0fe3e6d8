package inspect

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/bounded"
	"github.com/lbstack/lbstack/internal/lanprobe"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
)

// Origin is the node and its interfaces that the local network is asked from.
type Origin struct {
	Node       string
	Interfaces []string
	// near means that the interfaces have a subnet of the address; else it may be of another network.
	near bool
}

// ProbeFrom returns where to ask for an address: on the node that is named or, without a name, on one with a speaker that runs. One
// that has a subnet of the address comes first, and then one that does not announce it: a node does not receive its own requests.
func ProbeFrom(s *Snapshot, address netip.Addr, node string) (Origin, error) {
	owner := s.owner(address)
	var origins []Origin
	for i := range s.States {
		state := &s.States[i]
		if node == "" && !running(state) || node != "" && node != state.Name {
			continue
		}
		if origin := originOn(state, address); len(origin.Interfaces) > 0 {
			origins = append(origins, origin)
		}
	}
	if len(origins) == 0 {
		who := "no speaker that runs reports"
		if node != "" {
			who = "no speaker of a node " + node + " reports"
		}
		return Origin{}, fmt.Errorf("%s an interface for %s: %s cannot be asked for: kubectl lbstack status shows the speakers", who, lb.FamilyOf(address), address)
	}
	rank := func(o Origin) int {
		switch {
		case o.near && o.Node != owner:
			return 0
		case o.near:
			return 1
		}
		return 2
	}
	return slices.MinFunc(origins, func(x, y Origin) int { return cmp.Or(cmp.Compare(rank(x), rank(y)), cmp.Compare(x.Node, y.Node)) }), nil
}

// running reports whether a speaker is there, as far as it and the controller have reported.
func running(state *v1beta1.SpeakerState) bool {
	return state.Status.Phase != v1beta1.SpeakerStopped && !meta.IsStatusConditionFalse(state.Status.Conditions, v1beta1.ConditionCurrent)
}

// originOn returns the interfaces of a node with a subnet of an address or, if it has none, all that have its family.
func originOn(state *v1beta1.SpeakerState, address netip.Addr) Origin {
	near, others := Origin{Node: state.Name, near: true}, Origin{Node: state.Name}
	links, _ := apiconv.SpeakerLinks(state)
	for _, link := range links {
		if !slices.Contains(link.Families, lb.FamilyOf(address)) {
			continue
		}
		others.Interfaces = append(others.Interfaces, link.Name)
		if slices.ContainsFunc(link.Subnets, func(p netip.Prefix) bool { return p.Contains(address) }) {
			near.Interfaces = append(near.Interfaces, link.Name)
		}
	}
	if len(near.Interfaces) == 0 {
		near = others
	}
	near.Interfaces = near.Interfaces[:min(len(near.Interfaces), lanprobe.MaxInterfaces)]
	return near
}

// owner returns the node that announces an address on the local network, as reported; empty: none.
func (s *Snapshot) owner(address netip.Addr) string {
	v := &view{states: s.reports(), macs: map[lb.NodeName]map[string]string{}}
	v.observe(s)
	return string(v.picture.Owners[address].Node)
}

// Probed is what the hosts of the local network answered.
type Probed struct {
	// Node that asked, on Interfaces.
	Node       string   `json:"node"`
	Interfaces []string `json:"interfaces"`
	// Answers are the hosts that have the address, by their own account.
	Answers []ProbeAnswer `json:"answers"`
	// AsReported means that the network agrees with the SpeakerStates: the node that announces the address answers, and no other
	// host; or nobody announces it, and none answers.
	AsReported bool `json:"asReported"`
	// Message is the result as a sentence, with what to do.
	Message string `json:"message"`
	// Problems are why the network could not be asked on an interface.
	Problems []string `json:"problems,omitempty"`

	protocol string
}

// ProbeAnswer is a host that has the address, by its own account.
type ProbeAnswer struct {
	lanprobe.Answer
	// Nodes of the cluster with the hardware address; none: a foreign host.
	Nodes []string `json:"nodes,omitempty"`
	// ViaNodes are those with the hardware address that the answer was sent from, if it is another.
	ViaNodes []string `json:"viaNodes,omitempty"`
}

// Probe compares what hosts answered with what the speakers report.
func Probe(s *Snapshot, address netip.Addr, origin Origin, result lanprobe.Result) *Probed {
	p := &Probed{Node: origin.Node, Interfaces: origin.Interfaces, Answers: []ProbeAnswer{}, Problems: result.Problems, protocol: "NDP"}
	if address.Is4() {
		p.protocol = "ARP"
	}
	nodes := map[string][]string{}
	for i := range s.States {
		for _, link := range s.States[i].Status.Interfaces {
			nodes[link.HardwareAddress] = append(nodes[link.HardwareAddress], s.States[i].Name)
		}
	}
	for mac, names := range nodes {
		slices.Sort(names)
		nodes[mac] = slices.Compact(names)
	}
	for _, a := range result.Answers {
		p.Answers = append(p.Answers, ProbeAnswer{Answer: a, Nodes: nodes[a.HardwareAddress], ViaNodes: nodes[a.Via]})
	}
	owner := s.owner(address)
	p.judge(owner, owner != "" || s.PoolOf(address) != "")
	if result.Own && owner != p.Node {
		p.Message += "; an interface of node " + p.Node + " itself has the address (kube-proxy in mode ipvs puts those of Services on one)"
	}
	return p
}

// judge sets the sentence and whether all is as reported. An address that is not ours is one that no pool gives and no node announces:
// any host may have it.
func (p *Probed) judge(owner string, ours bool) {
	answered, foreign, others := false, false, map[string]bool{}
	for i := range p.Answers {
		a := &p.Answers[i]
		if slices.Contains(a.Nodes, owner) {
			answered = true
			continue
		}
		foreign = foreign || len(a.Nodes) == 0
		others[a.who()] = true
	}
	switch {
	case len(p.Problems) >= len(p.Interfaces):
		p.Message = "the network was not asked"
	case len(others) > 0 && !ours:
		p.AsReported, p.Message = true, answer(slices.Sorted(maps.Keys(others)))+", and no pool gives the address"
	case len(others) > 0:
		p.Message = p.unexpected(owner, answered, slices.Sorted(maps.Keys(others))) + ": "
		if foreign {
			p.Message += reports.Foreign{}.Remedy() + ", or exclude the address in the pool"
		} else {
			p.Message += "ask again, since it may just have moved; if it stays so, look for the address on the interfaces of that node, and at its service proxy (kubectl lbstack doctor)"
		}
	case answered:
		p.AsReported, p.Message = true, "node "+owner+" answers, as it reports, and no other host"
	case owner == "":
		p.AsReported, p.Message = true, "nobody answers"
	case owner == p.Node:
		p.AsReported, p.Message = true, "no other host answers; node "+owner+" announces the address itself, and does not receive its own requests: ask from another node with --from"
	default:
		p.Message = fmt.Sprintf("nobody answers, although node %s announces the address, as it reports: clients here do not reach it: look at its speaker, at what drops %s between the nodes %s and %s, and whether they have a network in common", owner, p.protocol, owner, p.Node)
	}
}

// unexpected says which hosts answer that should not.
func (p *Probed) unexpected(owner string, answered bool, others []string) string {
	switch rest := bounded.Names(others, len(others)); {
	case owner == "":
		return answer(others) + ", although no node announces the address"
	case answered:
		return "node " + owner + " answers, as it reports, and " + rest + " as well: clients reach one of them"
	case owner == p.Node:
		return answer(others) + ", and node " + owner + " announces the address as well: clients reach one of them"
	}
	return answer(others) + ", and node " + owner + ", which announces the address, as it reports, does not: clients do not reach it"
}

func answer(hosts []string) string {
	if names := bounded.Names(hosts, len(hosts)); len(hosts) > 1 {
		return names + " answer"
	}
	return hosts[0] + " answers"
}

// who returns the host as words.
func (a *ProbeAnswer) who() string {
	if len(a.Nodes) > 0 {
		return "node " + strings.Join(a.Nodes, " or ")
	}
	return "host " + a.HardwareAddress + " (no node of the cluster)"
}

// cell returns the text of the column HOST.
func (a *ProbeAnswer) cell() string {
	text := "no node of the cluster"
	if len(a.Nodes) > 0 {
		text = a.who()
	}
	switch {
	case len(a.ViaNodes) > 0:
		text += ", by node " + strings.Join(a.ViaNodes, " or ")
	case a.Via != "":
		text += ", by " + a.Via
	}
	return text
}

func (p *Probed) print(out io.Writer) error {
	fmt.Fprintf(out, "\nAsked by %s from node %s on %s:\n", p.protocol, p.Node, strings.Join(p.Interfaces, ", "))
	w := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	if len(p.Answers) > 0 {
		fmt.Fprintln(w, "HARDWARE ADDRESS\tINTERFACE\tHOST")
	}
	for i := range p.Answers {
		a := &p.Answers[i]
		fmt.Fprintln(w, strings.Join([]string{a.HardwareAddress, a.Interface, a.cell()}, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, problem := range p.Problems {
		fmt.Fprintln(out, "not asked on "+problem)
	}
	_, err := fmt.Fprintln(out, strings.ToUpper(p.Message[:1])+p.Message[1:]+".")
	return err
}
