package inspect

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/reports"
)

// SubjectKind is the kind of a Subject.
type SubjectKind string

// The kinds of subjects.
const (
	AllAddresses SubjectKind = ""
	OneAddress   SubjectKind = "address"
	OneService   SubjectKind = "service"
	OneNode      SubjectKind = "node"
	OnePool      SubjectKind = "pool"
)

// Subject is the address or object that Who is asked about.
type Subject struct {
	Kind    SubjectKind
	Address netip.Addr
	// Service is set for OneService.
	Service lb.ServiceKey
	// Name is the name of the node or pool, for OneNode and OnePool.
	Name string
}

// ParseSubject parses ADDRESS, NAMESPACE/NAME, service/NAME, node/NAME, pool/NAME, or a name alone. A name alone must be the name of
// exactly one node, pool or Service of the namespace. It finds only nodes with a SpeakerState and Services with a claim.
func ParseSubject(s *Snapshot, text, namespace string) (Subject, error) {
	if text == "" {
		return Subject{}, nil
	}
	if address, err := apiconv.ParseAddress(text); err == nil {
		return Subject{Kind: OneAddress, Address: address}, nil
	}
	if first, rest, both := strings.Cut(text, "/"); both {
		switch {
		case first == "" || rest == "" || strings.Contains(rest, "/"):
			return Subject{}, fmt.Errorf("%q does not have one of the forms ADDRESS, NAMESPACE/NAME (a Service), service/NAME, node/NAME and pool/NAME", text)
		case slices.Contains([]string{"service", "services", "svc"}, first):
			return Subject{Kind: OneService, Service: lb.ServiceKey{Namespace: namespace, Name: rest}}, nil
		case slices.Contains([]string{"node", "nodes"}, first):
			return Subject{Kind: OneNode, Name: rest}, nil
		case slices.Contains([]string{"pool", "pools", "lbpool", "ipaddresspool"}, first):
			return Subject{Kind: OnePool, Name: rest}, nil
		}
		return Subject{Kind: OneService, Service: lb.ServiceKey{Namespace: first, Name: rest}}, nil
	}
	return s.subjectNamed(text, namespace)
}

// subjectNamed returns the subject for a name alone, see ParseSubject.
func (s *Snapshot) subjectNamed(name, namespace string) (Subject, error) {
	var found []Subject
	if slices.ContainsFunc(s.States, func(state v1beta1.SpeakerState) bool { return state.Name == name }) {
		found = append(found, Subject{Kind: OneNode, Name: name})
	}
	if slices.ContainsFunc(s.Pools, func(p v1beta1.IPAddressPool) bool { return p.Name == name }) {
		found = append(found, Subject{Kind: OnePool, Name: name})
	}
	key := lb.ServiceKey{Namespace: namespace, Name: name}
	if slices.ContainsFunc(s.Claims, func(c v1beta1.IPAddressClaim) bool { return claimHasHolder(&c, key) }) {
		found = append(found, Subject{Kind: OneService, Service: key})
	}
	switch len(found) {
	case 0:
		return Subject{}, fmt.Errorf("%q is not an address, a node with a speaker, a pool, or a Service in the namespace %q that has an address (kubectl lbstack why shows why a Service has none)", name, namespace)
	case 1:
		return found[0], nil
	}
	forms := make([]string, 0, len(found))
	for _, f := range found {
		forms = append(forms, string(f.Kind)+"/"+name)
	}
	return Subject{}, errors.New("several objects have the name " + name + ": pass " + strings.Join(forms, " or "))
}

func claimHasHolder(claim *v1beta1.IPAddressClaim, key lb.ServiceKey) bool {
	return slices.ContainsFunc(claim.Spec.Holders, func(h v1beta1.ClaimHolder) bool { return apiconv.HolderKey(h) == key })
}

// The states of addresses that have no claim.
const (
	// StateFree: a pool gives the address, and no Service has it.
	StateFree = "Free"
	// StateNoPool: no pool gives the address.
	StateNoPool = "NoPool"
	// StateNoClaim: a node announces the address, and no Service has it.
	StateNoClaim = "NoClaim"
)

// Assignment has the Services that have an address, and the nodes that announce it.
type Assignment struct {
	Address netip.Addr `json:"address"`
	Pool    string     `json:"pool,omitempty"`
	// State is the state of the claim, or StateFree, StateNoPool or StateNoClaim.
	State string `json:"state"`
	// Services are the Services that have the address or for which it is reserved, as namespace/name.
	Services []string `json:"services,omitempty"`
	// Node is the node that announces the address on the local network, since the time Since. Interfaces are the interfaces on
	// which the node does so, each with its MAC address.
	Node       string     `json:"node,omitempty"`
	Interfaces []string   `json:"interfaces,omitempty"`
	Since      *time.Time `json:"since,omitempty"`
	// AnnounceFrom is the node that an administrator has asked to announce the address on the local network.
	AnnounceFrom string `json:"announceFrom,omitempty"`
	// Routes are the nodes that announce the address to routers, each with its BGPPeers.
	Routes []RouteOf `json:"routes,omitempty"`
	// Conflict is a phrase with the foreign host that uses the address, and what to do.
	Conflict string `json:"conflict,omitempty"`

	claim string
}

// RouteOf is a node that announces an address to routers.
type RouteOf struct {
	Node   string   `json:"node"`
	Prefix string   `json:"prefix"`
	Peers  []string `json:"peers"`
}

// Assignments is the answer of Who.
type Assignments struct {
	// Found means that at least one of the addresses has a claim.
	Found bool         `json:"found"`
	Items []Assignment `json:"items"`
	// Probe is the result of asking the hosts of the local network; nil if they were not asked.
	Probe *ProbeReport `json:"probe,omitempty"`
}

// Who returns the assignments of the addresses that belong to a subject, sorted by address.
func Who(s *Snapshot, q Subject) Assignments {
	v := &decisionView{states: s.speakerReports(), macs: map[lb.NodeName]map[string]string{}}
	v.addReports(s)
	rows := map[netip.Addr]*Assignment{}
	for i := range s.Claims {
		if row, ok := assignment(&s.Claims[i]); ok {
			rows[row.Address] = row
		}
	}
	for address := range v.picture.Owners {
		if rows[address] == nil {
			rows[address] = &Assignment{Address: address, State: StateNoClaim}
		}
	}
	if q.Kind == OneAddress && rows[q.Address] == nil {
		rows[q.Address] = &Assignment{Address: q.Address, State: StateNoPool}
		if pool := s.PoolOf(q.Address); pool != "" {
			rows[q.Address].Pool, rows[q.Address].State = string(pool), StateFree
		}
	}
	var answer Assignments
	for _, row := range rows {
		v.addAnnouncers(row)
		if q.matches(row) {
			answer.Items = append(answer.Items, *row)
			answer.Found = answer.Found || row.claim != ""
		}
	}
	slices.SortFunc(answer.Items, func(x, y Assignment) int { return x.Address.Compare(y.Address) })
	return answer
}

func assignment(claim *v1beta1.IPAddressClaim) (*Assignment, bool) {
	address, err := apiconv.ClaimAddress(claim)
	if err != nil {
		return nil, false
	}
	row := &Assignment{Address: address, Pool: string(claim.Spec.Pool), State: string(cmp.Or(claim.Spec.State, v1beta1.ClaimReserved)), claim: claim.Name, AnnounceFrom: string(apiconv.AnnounceFromNode(claim))}
	for _, h := range claim.Spec.Holders {
		row.Services = append(row.Services, apiconv.HolderKey(h).String())
	}
	return row, true
}

// addAnnouncers adds the reports of the speakers about an address to its row.
func (v *decisionView) addAnnouncers(row *Assignment) {
	if owner, ok := v.picture.Owners[row.Address]; ok {
		row.Node = string(owner.Node)
		if !owner.Since.IsZero() {
			since := owner.Since.UTC()
			row.Since = &since
		}
		for _, name := range owner.Interfaces {
			row.Interfaces = append(row.Interfaces, strings.TrimSpace(name+" "+v.macs[owner.Node][name]))
		}
	}
	for _, p := range v.routes {
		if p.Prefix.Contains(row.Address) {
			r := RouteOf{Node: string(p.Node), Prefix: p.Prefix.String()}
			for _, peer := range p.Peers {
				r.Peers = append(r.Peers, string(peer))
			}
			row.Routes = append(row.Routes, r)
		}
	}
	slices.SortFunc(row.Routes, func(x, y RouteOf) int { return cmp.Or(cmp.Compare(x.Node, y.Node), cmp.Compare(x.Prefix, y.Prefix)) })
	if host, ok := v.picture.Hosts[row.Address]; ok {
		row.Conflict = fmt.Sprintf("%s uses this address: %s", host.Describe(false), host.Remedy())
	}
}

// matches reports whether the address of an assignment belongs to the subject.
func (q Subject) matches(row *Assignment) bool {
	switch q.Kind {
	case OneAddress:
		return row.Address == q.Address
	case OneService:
		return slices.Contains(row.Services, q.Service.String())
	case OnePool:
		return row.Pool == q.Name
	case OneNode:
		return row.Node == q.Name || slices.ContainsFunc(row.Routes, func(r RouteOf) bool { return r.Node == q.Name })
	case AllAddresses:
	}
	return true
}

// Print writes the answer for people.
func (a *Assignments) Print(w io.Writer) error { return a.print(w, false) }

// PrintWide writes the answer for people, with MAC addresses and each route.
func (a *Assignments) PrintWide(w io.Writer) error { return a.print(w, true) }

func (a *Assignments) print(out io.Writer, wide bool) error {
	if len(a.Items) == 0 {
		_, err := fmt.Fprintln(out, "No address.")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	fmt.Fprintln(w, "ADDRESS\tPOOL\tSTATE\tSERVICES\tNODE\tINTERFACES\tSINCE\tROUTERS")
	for i := range a.Items {
		row := &a.Items[i]
		since := "-"
		if row.Since != nil {
			since = row.Since.Format(time.RFC3339)
		}
		links := slices.Clone(row.Interfaces)
		if !wide {
			for i := range links {
				links[i], _, _ = strings.Cut(links[i], " ")
			}
		}
		fmt.Fprintln(w, strings.Join([]string{
			row.Address.String(), orNone(row.Pool), row.State, orNone(strings.Join(row.Services, ",")), orNone(row.Node), orNone(strings.Join(links, ",")), since, row.routersCell(wide),
		}, "\t"))
	}
	for i := range a.Items {
		row := &a.Items[i]
		if row.AnnounceFrom != "" {
			fmt.Fprintf(w, "\n%s: %s\n", row.Address, row.requestPhrase())
		}
		if row.Conflict != "" {
			fmt.Fprintf(w, "\n%s: %s\n", row.Address, row.Conflict)
		}
	}
	if err := w.Flush(); err != nil || a.Probe == nil {
		return err
	}
	return a.Probe.print(out)
}

// requestPhrase returns a sentence on AnnounceFrom: whether that node announces the address.
func (a *Assignment) requestPhrase() string {
	if a.Node == a.AnnounceFrom {
		return "the IPAddressClaim asks for node " + a.AnnounceFrom + ", which announces the address"
	}
	return "the IPAddressClaim asks for node " + a.AnnounceFrom + ", which does not announce the address: kubectl lbstack why shows the reason for each node"
}

func orNone(text string) string { return cmp.Or(text, "-") }

// routersCell returns the text of the column ROUTERS: the routers that have a route, and the number
// of nodes that announce it. If wide, it returns each node with its route and its routers.
func (a *Assignment) routersCell(wide bool) string {
	if len(a.Routes) == 0 {
		return "-"
	}
	var nodes, peers, each []string
	for _, r := range a.Routes {
		nodes, peers = append(nodes, r.Node), append(peers, r.Peers...)
		each = append(each, fmt.Sprintf("%s(%s)=%s", r.Node, r.Prefix, strings.Join(r.Peers, "+")))
	}
	if wide {
		return strings.Join(each, ",")
	}
	slices.Sort(peers)
	return fmt.Sprintf("%s from %d nodes", strings.Join(slices.Compact(peers), ","), len(slices.Compact(nodes)))
}

// Names returns the names of the claims, as kubectl prints them with -o name.
func (a *Assignments) Names() (names []string) {
	for i := range a.Items {
		if a.Items[i].claim != "" {
			names = append(names, "ipaddressclaim.lbstack.io/"+a.Items[i].claim)
		}
	}
	return names
}

// addReports adds the reports of the speakers to the view.
func (v *decisionView) addReports(s *Snapshot) {
	list := make([]reports.Report, 0, len(v.states))
	for i := range s.States {
		list = append(list, v.states[lb.NodeName(s.States[i].Name)])
		macs := map[string]string{}
		for _, link := range s.States[i].Status.Interfaces {
			macs[string(link.Name)] = link.HardwareAddress
		}
		v.macs[lb.NodeName(s.States[i].Name)] = macs
	}
	v.picture = reports.Merge(list)
	for i := range s.RouteSlices {
		node, routes := apiconv.SpeakerRoutes(&s.RouteSlices[i])
		for _, r := range routes {
			v.routes = append(v.routes, reports.BGPPath{Node: node, Route: r})
		}
	}
}

// PoolOf returns the pool that gives an address, whether the address is free or not; empty if there is none.
func (s *Snapshot) PoolOf(address netip.Addr) lb.PoolName {
	pool, _ := s.newAllocator().PoolOf(address)
	return pool
}
