package inspect

import (
	"cmp"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"text/tabwriter"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
)

// Overview is the state of an installation on one screen.
type Overview struct {
	// Ready means that the stack is Ready and every Service that it serves is announced.
	Ready bool `json:"ready"`
	// Summary and Message are the state of the stack, as one word and as a sentence.
	Summary string `json:"summary"`
	Message string `json:"message,omitempty"`
	// Version is the version of lbstack that runs, and Rollout the progress of a rollout.
	Version string `json:"version,omitempty"`
	Rollout string `json:"rollout,omitempty"`

	Components []Component `json:"components,omitempty"`
	Speakers   []Speaker   `json:"speakers,omitempty"`
	Pools      []Pool      `json:"pools,omitempty"`
	Routers    []Router    `json:"routers,omitempty"`
	// Conflicts are addresses that a foreign host uses, each as a phrase with the host.
	Conflicts []string `json:"conflicts,omitempty"`
	// Services is the number of Services that are served. Unannounced are those that are not announced, each with the reason.
	Services    int      `json:"services"`
	Unannounced []string `json:"unannounced,omitempty"`
}

// Component is a workload of lbstack.
type Component struct {
	Name    string `json:"name"`
	Ready   int32  `json:"ready"`
	Desired int32  `json:"desired"`
	Message string `json:"message,omitempty"`
}

// Speaker is the speaker of one node.
type Speaker struct {
	Node      string `json:"node"`
	State     string `json:"state"`
	Addresses int32  `json:"addresses"`
	// Sessions is the number of sessions that the speaker should have, and Established the number of established ones.
	Established int    `json:"established"`
	Sessions    int    `json:"sessions"`
	Routes      int32  `json:"routes"`
	Message     string `json:"message,omitempty"`
}

// Pool shows how many addresses of one family of a pool are in use.
type Pool struct {
	Name   string `json:"name"`
	Family string `json:"family"`
	Used   int64  `json:"used"`
	Total  string `json:"total"`
	State  string `json:"state"`
}

// Router is a BGPPeer. Nodes is the number of nodes that should have a session with it, and Established the number of those that
// have one.
type Router struct {
	Name string `json:"name"`
	// Address is the address of the router, or the interface that leads to it.
	Address     string `json:"address"`
	Established int32  `json:"established"`
	Nodes       int32  `json:"nodes"`
	Message     string `json:"message,omitempty"`
}

// Status returns the overview of an installation.
func Status(s *Snapshot) Overview {
	o := Overview{Summary: "NoStack", Message: "the cluster has no LoadBalancerStack: create it"}
	if s.Stack != nil {
		o.addStack(s.Stack)
	}
	for i := range s.States {
		o.addSpeaker(&s.States[i])
	}
	for i := range s.Pools {
		o.addPool(&s.Pools[i])
	}
	for i := range s.Peers {
		p := &s.Peers[i]
		r := Router{Name: p.Name, Address: cmp.Or(p.Spec.PeerAddress, string(p.Spec.Interface)), Established: p.Status.Established, Nodes: p.Status.Nodes}
		r.Message = problemMessage(p.Status.Conditions, v1beta1.ConditionReady, "Established")
		o.Routers = append(o.Routers, r)
	}
	for i := range s.Services {
		if svc := &s.Services[i]; apiconv.IsServedBy(svc, s.loadBalancerClass()) {
			o.addService(svc)
		}
	}
	slices.SortFunc(o.Speakers, func(a, b Speaker) int { return cmp.Compare(a.Node, b.Node) })
	slices.SortFunc(o.Routers, func(a, b Router) int { return cmp.Compare(a.Name, b.Name) })
	slices.Sort(o.Conflicts)
	slices.Sort(o.Unannounced)
	o.Ready = o.Ready && len(o.Unannounced) == 0
	return o
}

func (o *Overview) addStack(addStack *v1beta1.LoadBalancerStack) {
	status := &addStack.Status
	o.Summary, o.Version, o.Message = cmp.Or(status.Summary, "NotObserved"), status.Version, ""
	ready := currentCondition(status.Conditions, v1beta1.ConditionReady, addStack.Generation)
	switch {
	case ready == nil:
		o.Message = "the operator has not processed the current spec of the stack yet: if this lasts, look at the pods of the operator"
	default:
		o.Ready, o.Message = ready.Status == metav1.ConditionTrue, ready.Message
	}
	if status.Rollout != nil && status.Rollout.Phase != v1beta1.RolloutComplete {
		o.Rollout = fmt.Sprintf("%s: %s", status.Rollout.Phase, status.Rollout.Message)
	}
	for _, c := range status.Components {
		o.Components = append(o.Components, Component{Name: c.Name, Ready: c.Ready, Desired: c.Desired, Message: c.Message})
	}
}

func (o *Overview) addSpeaker(state *v1beta1.SpeakerState) {
	sp := Speaker{Node: state.Name, State: string(state.Status.Phase), Addresses: state.Status.AddressCount, Routes: state.Status.RouteCount}
	report := apiconv.SpeakerReport(state)
	sp.Sessions = len(report.Sessions)
	for _, session := range report.Sessions {
		if session.Established {
			sp.Established++
		}
	}
	sp.Message = problemMessage(state.Status.Conditions, v1beta1.ConditionCurrent, v1beta1.ConditionReady)
	o.Speakers = append(o.Speakers, sp)
	for _, foreign := range report.Foreign {
		o.Conflicts = append(o.Conflicts, fmt.Sprintf("%s: %s", foreign.Address, foreign.Describe(false)))
	}
}

func (o *Overview) addPool(p *v1beta1.IPAddressPool) {
	state := "not observed"
	if ready := meta.FindStatusCondition(p.Status.Conditions, v1beta1.ConditionReady); ready != nil {
		state = ready.Reason
	}
	for _, usage := range []struct {
		family lb.Family
		*v1beta1.AddressUsage
	}{{lb.IPv4, p.Status.IPv4}, {lb.IPv6, p.Status.IPv6}} {
		if usage.AddressUsage != nil {
			o.Pools = append(o.Pools, Pool{Name: p.Name, Family: usage.family.String(), Used: usage.Used, Total: usage.Total, State: state})
		}
	}
	if p.Status.IPv4 == nil && p.Status.IPv6 == nil {
		o.Pools = append(o.Pools, Pool{Name: p.Name, Total: "0", State: state})
	}
}

func (o *Overview) addService(svc *corev1.Service) {
	o.Services++
	story := Story{}
	if story.conclude(svc); !story.Announced {
		o.Unannounced = append(o.Unannounced, fmt.Sprintf("%s (%s): %s", apiconv.KeyOf(svc), story.Reason, story.Message))
	}
}

// problemMessage returns the message of the first of the named conditions that is False; empty if none is.
func problemMessage(list []metav1.Condition, names ...string) string {
	for _, name := range names {
		if c := meta.FindStatusCondition(list, name); c != nil && c.Status == metav1.ConditionFalse {
			return c.Message
		}
	}
	return ""
}

// maxUnannounced is the largest number of Services that Print lists. It adds the number of further ones.
const maxUnannounced = 10

// Print writes the overview for people, with at most maxUnannounced Services that are not announced.
func (o *Overview) Print(out io.Writer) error { return o.print(out, maxUnannounced) }

// PrintWide writes the overview with all Services that are not announced.
func (o *Overview) PrintWide(out io.Writer) error { return o.print(out, len(o.Unannounced)) }

func (o *Overview) print(out io.Writer, most int) error {
	w := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	fmt.Fprintf(w, "%s", o.Summary)
	if o.Version != "" {
		fmt.Fprintf(w, ", lbstack %s", o.Version)
	}
	fmt.Fprintln(w)
	for _, line := range []string{o.Message, o.Rollout} {
		if line != "" {
			fmt.Fprintf(w, "  %s\n", line)
		}
	}
	printRows(w, "COMPONENT\tREADY\tMESSAGE", o.Components, func(c Component) string {
		return fmt.Sprintf("%s\t%d/%d\t%s", c.Name, c.Ready, c.Desired, c.Message)
	})
	printRows(w, "NODE\tSPEAKER\tADDRESSES\tSESSIONS\tROUTES\tMESSAGE", o.Speakers, func(s Speaker) string {
		return fmt.Sprintf("%s\t%s\t%d\t%d/%d\t%d\t%s", s.Node, s.State, s.Addresses, s.Established, s.Sessions, s.Routes, s.Message)
	})
	printRows(w, "POOL\tFAMILY\tUSED\tTOTAL\t\tSTATE", o.Pools, func(p Pool) string {
		return fmt.Sprintf("%s\t%s\t%d\t%s\t%s\t%s", p.Name, p.Family, p.Used, p.Total, usageBar(p.Used, p.Total), p.State)
	})
	printRows(w, "ROUTER\tADDRESS\tSESSIONS\tMESSAGE", o.Routers, func(r Router) string {
		return fmt.Sprintf("%s\t%s\t%d/%d\t%s", r.Name, r.Address, r.Established, r.Nodes, r.Message)
	})
	printList(w, "Conflicts", o.Conflicts)
	fmt.Fprintf(w, "\nServices: %d, of which %d are not announced\n", o.Services, len(o.Unannounced))
	for _, line := range o.Unannounced[:min(most, len(o.Unannounced))] {
		fmt.Fprintf(w, "  %s\n", line)
	}
	if n := len(o.Unannounced) - most; n > 0 {
		fmt.Fprintf(w, "  and %d more\n", n)
	}
	return w.Flush()
}

func printRows[T any](w io.Writer, head string, rows []T, row func(T) string) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", head)
	for _, r := range rows {
		fmt.Fprintln(w, strings.TrimRight(row(r), "\t"))
	}
}

func printList(w io.Writer, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s:\n", title)
	for _, line := range lines {
		fmt.Fprintf(w, "  %s\n", line)
	}
}

// barWidth is the number of marks in the bar of a pool.
const barWidth = 20

// usageBar returns a bar that shows the share of used addresses. It has at least one mark if any
// address is used.
func usageBar(used int64, total string) string {
	all, ok := new(big.Int).SetString(total, 10)
	if !ok || all.Sign() <= 0 {
		return "[" + strings.Repeat(".", barWidth) + "]"
	}
	marks := new(big.Int).Mul(big.NewInt(used), big.NewInt(barWidth))
	n := int(min(marks.Div(marks, all).Int64(), barWidth))
	if used > 0 {
		n = max(n, 1)
	}
	return "[" + strings.Repeat("#", n) + strings.Repeat(".", barWidth-n) + "]"
}
