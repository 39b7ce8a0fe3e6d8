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

// ProbeOrigin is the node that asks the hosts of the local network for an address, with the interfaces on
// which it asks.
type ProbeOrigin struct {
	Node       string
	Interfaces []string
	// near means that each interface has a subnet with the address. Otherwise the address may belong to another network.
	near bool
}

// ChooseProbeOrigin returns the node that asks the hosts of the local network for an address. This is the
// node that the user names; if the user names none, it is a node with a running speaker. It prefers nodes
// with a subnet that has the address, and among these one that does not announce the address, since a node
// does not receive its own requests.
func ChooseProbeOrigin(s *Snapshot, address netip.Addr, node string) (ProbeOrigin, error) {
	owner := s.ownerOf(address)
	var origins []ProbeOrigin
	for i := range s.States {
		state := &s.States[i]
		if node == "" && !isRunning(state) || node != "" && node != state.Name {
			continue
		}
		if origin := originOn(state, address); len(origin.Interfaces) > 0 {
			origins = append(origins, origin)
		}
	}
	if len(origins) == 0 {
		who := "no running speaker reports"
		if node != "" {
			who = "no speaker on node " + node + " reports"
		}
		return ProbeOrigin{}, fmt.Errorf("%s an interface with %s, so that no node can ask for %s: kubectl lbstack status shows the speakers", who, lb.FamilyOf(address), address)
	}
	rank := func(o ProbeOrigin) int {
		switch {
		case o.near && o.Node != owner:
			return 0
		case o.near:
			return 1
		}
		return 2
	}
	return slices.MinFunc(origins, func(x, y ProbeOrigin) int { return cmp.Or(cmp.Compare(rank(x), rank(y)), cmp.Compare(x.Node, y.Node)) }), nil
}

// isRunning reports whether a speaker runs, according to its own report and to the condition Current, which
// the controller sets.
func isRunning(state *v1beta1.SpeakerState) bool {
	return state.Status.Phase != v1beta1.SpeakerStopped && !meta.IsStatusConditionFalse(state.Status.Conditions, v1beta1.ConditionCurrent)
}

// originOn returns the interfaces of a node that have a subnet with an address or, if there are none, those that have the family
// of the address.
func originOn(state *v1beta1.SpeakerState, address netip.Addr) ProbeOrigin {
	near, others := ProbeOrigin{Node: state.Name, near: true}, ProbeOrigin{Node: state.Name}
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

// ownerOf returns the node whose speaker reports that it announces an address on the local network; empty if there is none.
func (s *Snapshot) ownerOf(address netip.Addr) string {
	v := &decisionView{states: s.speakerReports(), macs: map[lb.NodeName]map[string]string{}}
	v.addReports(s)
	return string(v.picture.Owners[address].Node)
}

// ProbeReport is the result of asking the hosts of the local network for an address.
type ProbeReport struct {
	// Node is the node that asked, and Interfaces are those on which it asked.
	Node       string   `json:"node"`
	Interfaces []string `json:"interfaces"`
	// Answers are the hosts that answered that they have the address.
	Answers []ProbeAnswer `json:"answers"`
	// AsReported means that the answers agree with the SpeakerStates. Either only the node that announces the
	// address answers, or nobody answers and at most the asking node announces the address. It is also true
	// if other hosts answer for an address that no pool gives and no node announces.
	AsReported bool `json:"asReported"`
	// Message is the result as a sentence, with what to do.
	Message string `json:"message"`
	// Problems are the interfaces on which the network could not be asked, each with the reason.
	Problems []string `json:"problems,omitempty"`

	protocol string
}

// ProbeAnswer is the answer of a host that has the address.
type ProbeAnswer struct {
	lanprobe.Answer
	// Nodes are the nodes of the cluster with the hardware address in the answer; empty for a foreign host.
	Nodes []string `json:"nodes,omitempty"`
	// ViaNodes are the nodes with the hardware address from which the answer was sent. They are set only if that is not the hardware
	// address in the answer.
	ViaNodes []string `json:"viaNodes,omitempty"`
}

// CompareProbe compares the answers of hosts with the reports of the speakers.
func CompareProbe(s *Snapshot, address netip.Addr, origin ProbeOrigin, result lanprobe.Result) *ProbeReport {
	p := &ProbeReport{Node: origin.Node, Interfaces: origin.Interfaces, Answers: []ProbeAnswer{}, Problems: result.Problems, protocol: "NDP"}
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
	owner := s.ownerOf(address)
	p.setMessage(owner, owner != "" || s.PoolOf(address) != "")
	if result.Own && owner != p.Node {
		p.Message += "; an interface of node " + p.Node + " itself has the address (kube-proxy in mode ipvs puts the addresses of Services on an interface)"
	}
	return p
}

// setMessage sets Message and AsReported. The parameter owner is the node that announces the address, or
// empty. The parameter ours is false for an address that no pool gives and no node announces, since any host
// may have such an address.
func (p *ProbeReport) setMessage(owner string, ours bool) {
	answered, foreign, others := false, false, map[string]bool{}
	for i := range p.Answers {
		a := &p.Answers[i]
		if slices.Contains(a.Nodes, owner) {
			answered = true
			continue
		}
		foreign = foreign || len(a.Nodes) == 0
		others[a.hostPhrase()] = true
	}
	switch {
	case len(p.Problems) >= len(p.Interfaces):
		p.Message = "the network was not asked"
	case len(others) > 0 && !ours:
		p.AsReported, p.Message = true, answerPhrase(slices.Sorted(maps.Keys(others)))+", and no pool gives the address"
	case len(others) > 0:
		p.Message = p.unexpectedAnswersMessage(owner, answered, slices.Sorted(maps.Keys(others))) + ": "
		if foreign {
			p.Message += reports.ForeignHost{}.Remedy() + ", or exclude the address in the pool"
		} else {
			p.Message += "ask again, since the address may just have moved; if the answers stay the same, check whether an interface of that node has the address, and check the service proxy of the node (kubectl lbstack doctor)"
		}
	case answered:
		p.AsReported, p.Message = true, "node "+owner+" answers, as its speaker reports, and no other host answers"
	case owner == "":
		p.AsReported, p.Message = true, "nobody answers"
	case owner == p.Node:
		p.AsReported, p.Message = true, "no other host answers; node "+owner+" announces the address itself, and does not receive its own requests: ask from another node with --from"
	default:
		p.Message = fmt.Sprintf("nobody answers, although the speaker of node %s reports that it announces the address: clients on this network do not reach the address: look at the speaker, check what drops %s between the nodes %s and %s, and whether these nodes are on the same network", owner, p.protocol, owner, p.Node)
	}
}

// unexpectedAnswersMessage returns a sentence on the hosts that answer and should not (others). The parameter
// answered means that the owner answers too.
func (p *ProbeReport) unexpectedAnswersMessage(owner string, answered bool, others []string) string {
	switch {
	case owner == "":
		return answerPhrase(others) + ", although no node announces the address"
	case answered:
		return "node " + owner + " answers, as its speaker reports, but " + answerPhrase(others) + " as well: clients reach one of them"
	case owner == p.Node:
		return answerPhrase(others) + ", and node " + owner + " announces the address as well: clients reach one of them"
	}
	return answerPhrase(others) + ", and node " + owner + " does not answer, although it reports that it announces the address: clients do not reach that node"
}

func answerPhrase(hosts []string) string {
	if names := bounded.Names(hosts, len(hosts)); len(hosts) > 1 {
		return names + " answer"
	}
	return hosts[0] + " answers"
}

// hostPhrase returns a phrase for the host.
func (a *ProbeAnswer) hostPhrase() string {
	if len(a.Nodes) > 0 {
		return "node " + strings.Join(a.Nodes, " or ")
	}
	return "host " + a.HardwareAddress + " (no node of the cluster)"
}

// hostCell returns the text of the column HOST.
func (a *ProbeAnswer) hostCell() string {
	text := "no node of the cluster"
	if len(a.Nodes) > 0 {
		text = a.hostPhrase()
	}
	switch {
	case len(a.ViaNodes) > 0:
		text += ", by node " + strings.Join(a.ViaNodes, " or ")
	case a.Via != "":
		text += ", by " + a.Via
	}
	return text
}

func (p *ProbeReport) print(out io.Writer) error {
	fmt.Fprintf(out, "\nAsked by %s from node %s on %s:\n", p.protocol, p.Node, strings.Join(p.Interfaces, ", "))
	w := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	if len(p.Answers) > 0 {
		fmt.Fprintln(w, "HARDWARE ADDRESS\tINTERFACE\tHOST")
	}
	for i := range p.Answers {
		a := &p.Answers[i]
		fmt.Fprintln(w, strings.Join([]string{a.HardwareAddress, a.Interface, a.hostCell()}, "\t"))
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
