package rollout

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
)

// fault is a defect of a revision.
type fault string

const (
	none        fault = "none"
	noImage     fault = "image that cannot be pulled"
	crashes     fault = "speaker that crashes"
	silent      fault = "speaker that reports nothing"
	mute        fault = "speaker that is ready and announces nothing"
	idle        fault = "speaker that claims nothing"
	voiceless   fault = "speaker that claims addresses and does not announce them"
	meshless    fault = "speaker that receives from no other"
	sessionless fault = "speaker without BGP sessions"
	routeless   fault = "speaker with BGP sessions that announces no routes"
	killer      fault = "speaker that takes its node down"
	controls    fault = "controller that does not get ready"
)

// world is the true state of a cluster. It advances by seconds.
type world struct {
	rng        *rand.Rand
	now        time.Time
	nodes      []*simNode
	services   []*simService
	faults     map[Hash]fault
	template   Hash      // of the DaemonSet
	former     Hash      // the template before
	templateAt time.Time // when the DaemonSet got it
	controller Hash
	deployedAt time.Time
	routerDown time.Time // when the router is up again
	covers     bool      // addresses stay with speakers that restart within 30 s
	routed     bool      // each node announces a route
	private    bool      // no speaker receives announcements of another one
	pods       int
}

type simNode struct {
	name    lb.NodeName
	up      bool
	since   time.Time // when up changed
	ready   bool      // the condition Ready of the node, which follows late
	pod     *simPod
	broken  bool // no pod gets ready on it
	tainted bool
	until   time.Time // when it was taken out of the advertisement; zero: it may announce a route
}

type simPod struct {
	id       string
	revision Hash
	ready    bool
	next     time.Time // when the pod gets ready, or crashes
	restarts int
	ends     time.Time
	killed   bool // the pod has taken its node down
	started  time.Time
}

type simService struct {
	key     lb.ServiceKey
	owner   *simNode
	since   time.Time // not announced since; zero: announced
	changed time.Time
	odd     time.Time // end of the time in which the owner's state keeps all nodes from announcing the Service
	lost    time.Time // since when the owner has failed; others answer for a while; zero: the owner works
	covered bool      // the owner has restarted since it took the Service, and does not announce it
	by      *simNode  // the node that covers for the owner
	process time.Time // start of the process on by; zero: no node covers any more
}

func newWorld(seed uint64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 22)), now: start, faults: map[Hash]fault{}}
	nodes := 1 + w.rng.IntN(1+w.rng.IntN(30))
	for i := range nodes {
		w.nodes = append(w.nodes, &simNode{name: lb.NodeName(fmt.Sprintf("n%02d", i+1)), up: true, ready: true, since: w.now.Add(-time.Hour)})
	}
	for i := range w.rng.IntN(4 * nodes) {
		w.services = append(w.services, &simService{key: lb.ServiceKey{Namespace: "shop", Name: fmt.Sprintf("s%d", i)}})
	}
	return w
}

// between returns a random time from now on.
func (w *world) between(low, high int) time.Time {
	return w.now.Add(time.Duration(low+w.rng.IntN(high-low+1)) * time.Second)
}

func (w *world) chance(oneIn int) bool { return w.rng.IntN(oneIn) == 0 }

func (w *world) node(name lb.NodeName) *simNode {
	i := slices.IndexFunc(w.nodes, func(n *simNode) bool { return n.name == name })
	return w.nodes[i]
}

// tick advances the world by a second.
func (w *world) tick() {
	w.now = w.now.Add(time.Second)
	for _, n := range w.nodes {
		if !n.up && w.now.Sub(n.since) > 3*time.Minute {
			w.comeUp(n)
		}
		if n.ready != n.up && w.now.Sub(n.since) >= 40*time.Second || n.up {
			n.ready = n.up
		}
		if n.up {
			w.kubelet(n)
		}
	}
	for _, s := range w.services {
		w.serve(s)
	}
}

// kubelet advances the pod of a node.
func (w *world) kubelet(n *simNode) {
	p := n.pod
	switch {
	case p == nil:
		if !n.tainted && w.template != "" && w.chance(2) {
			w.create(n)
		}
	case !p.ends.IsZero():
		p.ready = p.ready && w.now.Before(p.ends.Add(-time.Second))
		if !w.now.Before(p.ends) {
			n.pod = nil
		}
	case n.broken:
		p.ready, p.next = false, w.between(2, 8)
	case w.faults[p.revision] == noImage || w.now.Before(p.next):
	case !p.ready:
		p.ready = true
		p.next = w.now.Add(6 * time.Second)
	case w.faults[p.revision] == crashes:
		p.ready = false
		p.restarts++
		p.next = w.now.Add(time.Second * time.Duration(5<<min(p.restarts, 6)))
	case w.faults[p.revision] == killer && !p.killed:
		p.killed = true
		w.down(n)
	}
}

// create is the DaemonSet controller, which gets a new template late.
func (w *world) create(n *simNode) {
	w.pods++
	revision := w.template
	if w.now.Sub(w.templateAt) < time.Second || w.now.Sub(w.templateAt) < 4*time.Second && w.chance(5) {
		revision = w.former
	}
	n.pod = &simPod{id: fmt.Sprintf("%s/%d", n.name, w.pods), revision: revision, next: w.between(2, 12), started: w.now}
}

func (w *world) down(n *simNode) {
	n.up, n.since = false, w.now
	if n.pod != nil {
		n.pod.ready = false
	}
}

func (w *world) comeUp(n *simNode) {
	n.up, n.since = true, w.now
	if n.pod != nil {
		n.pod.next = w.between(2, 12)
	}
}

// serve moves a Service away from a node whose speaker does not work.
func (w *world) serve(s *simService) {
	works := func(n *simNode) bool {
		return n != nil && n.up && n.pod != nil && n.pod.ready && n.pod.ends.IsZero() && w.faults[n.pod.revision] != idle
	}
	claimsNothing := s.owner != nil && s.owner.pod != nil && s.owner.pod.ready && w.faults[s.owner.pod.revision] == idle
	switch {
	case works(s.owner):
		if s.covered || !s.lost.IsZero() {
			s.covered = w.private || w.faults[s.owner.pod.revision] == voiceless
		}
		if !s.covered || !s.lost.IsZero() {
			s.by = nil
		}
		s.lost = time.Time{}
		w.cover(s, works)
	case w.covers && !claimsNothing && s.owner != nil && s.owner.up && (s.lost.IsZero() || w.now.Sub(s.lost) < 30*time.Second):
		if s.lost.IsZero() {
			s.lost = w.now
		}
	default:
		var others []*simNode
		for _, n := range w.nodes {
			if works(n) {
				others = append(others, n)
			}
		}
		s.lost, s.covered = time.Time{}, false
		if s.owner = nil; len(others) > 0 {
			s.owner = others[w.rng.IntN(len(others))]
		}
	}
	muted := s.owner != nil && s.owner.pod != nil && w.faults[s.owner.pod.revision] == mute
	switch announced := s.owner != nil && !muted && !w.now.Before(s.odd); {
	case announced:
		s.since = time.Time{}
	case s.since.IsZero():
		s.since = w.now
	}
}

// cover has a node cover for the owner of a Service. When the process of that node is replaced, another node covers;
// when the process crashes, no node covers: see crash.
func (w *world) cover(s *simService, works func(*simNode) bool) {
	if !s.covered || s.by != nil && (s.process.IsZero() || s.by.pod != nil && s.by.pod.started.Equal(s.process)) {
		return
	}
	for _, i := range w.rng.Perm(len(w.nodes)) {
		if n := w.nodes[i]; n != s.owner && works(n) {
			s.by, s.process = n, n.pod.started
			return
		}
	}
}

// crash ends the process of a speaker, and no other speaker covers for the nodes that it covered for.
func (w *world) crash(n *simNode) {
	for _, s := range w.services {
		if s.by == n {
			s.process = time.Time{}
		}
	}
	n.pod.ready, n.pod.started, n.pod.next = false, w.now, w.between(1, 5)
	n.pod.restarts++
}

// announced reports whether a speaker of a revision announces a Service.
func (w *world) announced(revision Hash) bool {
	return slices.ContainsFunc(w.services, func(s *simService) bool {
		return s.since.IsZero() && s.owner != nil && s.owner.pod != nil && s.owner.pod.revision == revision
	})
}

// facts returns everything that the API server has about the cluster.
func (w *world) facts() State {
	s := State{Nodes: map[lb.NodeName]Node{}, Template: w.template, Controller: Workload{Template: w.controller, Ready: w.now.Sub(w.deployedAt) > 5*time.Second && w.faults[w.controller] != controls}}
	if w.now.Sub(w.templateAt) < 2*time.Second {
		s.Template = ""
	}
	for _, n := range w.nodes {
		node := Node{UpSince: n.since, Silent: !n.up && len(w.nodes) > 1}
		switch {
		case !n.ready:
			node.Skip, node.Down = "NotReady", true
		case n.tainted:
			node.Skip = "has a taint"
		}
		if p := n.pod; p != nil {
			node.Pod = &Pod{ID: p.id, Revision: p.revision, Mesh: 7575, Ready: p.ready || !n.up && n.ready, Restarts: p.restarts, Ending: !p.ends.IsZero()}
			node.Report = w.report(n)
		}
		s.Nodes[n.name] = node
	}
	for _, service := range w.services {
		if !service.since.IsZero() {
			s.Outages = append(s.Outages, Outage{Service: service.key, Since: service.since, Changed: service.changed})
		}
	}
	return s
}

func (w *world) report(n *simNode) *Report {
	meshless := func(n *simNode) bool { return n.pod != nil && w.faults[n.pod.revision] == meshless }
	if w.faults[n.pod.revision] == silent || !n.pod.ready {
		return nil
	}
	r := &Report{Started: n.pod.started, Sessions: map[bgp.PeerName]bool{"tor": !w.now.Before(w.routerDown) && w.faults[n.pod.revision] != sessionless}}
	reported := n.until.IsZero() || w.now.Before(n.until.Add(5*time.Second)) && n.pod.started.Before(n.until)
	if w.routed && w.faults[n.pod.revision] != routeless && reported {
		r.Routes = 1
	}
	for _, other := range w.nodes {
		works := other.up && other.pod != nil && other.pod.ready
		if other != n && (!works || meshless(other) || meshless(n)) {
			r.Misses = append(r.Misses, other.name)
		}
	}
	for _, s := range w.services {
		if s.owner == n && s.since.IsZero() {
			r.Addresses++
		}
		if s.covered && s.by == n && s.process.Equal(n.pod.started) && !slices.Contains(r.Unannounced, s.owner.name) {
			r.Unannounced = append(r.Unannounced, s.owner.name)
		}
	}
	return r
}
