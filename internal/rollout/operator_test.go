package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/lbstack/lbstack/internal/lb"
)

// operator acts on decisions in a world. Its view of the cluster is late.
type operator struct {
	w        *world
	stored   Stored // on the API server: it survives the process
	wanted   Revision
	retry    string
	settings Settings
	upgrades bool              // a new revision is a new version of the operator, not an edit
	edits    int64             // of the spec
	applied  int64             // the last edit that was applied completely; the status has it
	refuses  time.Time         // when the API server stops refusing advertisements
	removals int               // of nodes from the advertisement, which are not applied yet
	editing  time.Time         // when the repeated edits of the spec end
	good     map[Revision]bool // revisions whose templates are stored

	// State of the process, lost when it ends.
	seenSince time.Time
	views     []State // of the last seconds, the newest last
	view      int     // index of the view that the process has
	since     map[string]time.Time
	deleted   map[string]bool
	away      time.Time // when the process runs again

	taken   map[lb.NodeName]bool // nodes that are without a speaker because of a deletion
	moved   time.Time            // when the stored state changed last
	deletes int
	killAt  int // the point of the pass at which the process is killed; 0: none
	broken  string
	trace   []string
}

func newOperator(w *world) *operator {
	o := &operator{w: w, good: map[Revision]bool{}, taken: map[lb.NodeName]bool{}}
	o.restart(w.now)
	return o
}

// restart begins a new process, which reads everything anew.
func (o *operator) restart(at time.Time) {
	o.away, o.views, o.view = at, nil, 0
	o.since, o.deleted, o.seenSince = map[string]time.Time{}, map[string]bool{}, at
}

// want changes the wanted revision: by an edit of the spec, or by another version of the operator.
func (o *operator) want(r Revision) {
	if o.wanted != r && !o.upgrades {
		o.edits++
	}
	o.wanted = r
}

// look adds the present view of the cluster.
func (o *operator) look() {
	o.views = append(o.views, o.w.facts())
	if len(o.views) > 4 {
		o.views = o.views[1:]
		o.view = max(0, o.view-1)
	}
	o.view += o.w.rng.IntN(len(o.views) - o.view)
}

// state returns the input of the process's decisions.
func (o *operator) state() State {
	s := o.views[o.view]
	s.Stored, s.Wanted, s.Retry, s.Settings, s.GoodStored = o.stored, o.wanted, o.retry, o.settings, o.good[o.stored.Good]
	s.Now, s.SeenSince = o.w.now.Add(time.Duration(o.w.rng.IntN(1000))*time.Millisecond), o.seenSince
	s.Generation, s.Unapplied = o.edits, o.applied != o.edits
	nodes := s.Nodes
	s.Nodes = map[lb.NodeName]Node{}
	for name, node := range nodes {
		if node.Pod != nil {
			pod := *node.Pod
			pod.Ending = pod.Ending || o.deleted[pod.ID]
			key := fmt.Sprint(pod.ID, pod.Restarts, pod.Ready)
			if o.since[key].IsZero() {
				o.since[key] = o.w.now
			}
			delete(o.since, fmt.Sprint(pod.ID, pod.Restarts, !pod.Ready))
			pod.Since = o.since[key]
			node.Pod = &pod
		}
		s.Nodes[name] = node
	}
	return s
}

// unadvertise edits the spec so that a node may no longer announce routes. The API server may refuse
// the edit for some time.
func (o *operator) unadvertise() {
	o.edits++
	o.removals++
	if o.w.chance(2) {
		o.refuses = o.w.between(5, 60)
	}
}

// remove takes a node out of the advertisement, preferably a node with a step.
func (o *operator) remove() {
	n := o.w.nodes[o.w.rng.IntN(len(o.w.nodes))]
	if len(o.stored.Steps) > 0 {
		n = o.w.node(o.stored.Steps[0].Node)
	}
	n.until = o.w.now
	o.note("%s is taken out of the advertisement", n.name)
}

// pass is one pass of the operator.
func (o *operator) pass() {
	o.check()
	if o.w.now.Before(o.away) {
		return
	}
	o.look()
	o.good[o.wanted] = true
	point := 0
	killed := func() bool {
		if point++; point != o.killAt {
			return false
		}
		o.killAt = 0
		o.restart(o.w.between(1, 30))
		return true
	}
	var s State
	var p Plan
	for round := 0; ; round++ {
		s = o.state()
		if p = Decide(s); p.Next.Equal(o.stored) {
			break
		}
		if round == 10 {
			o.fail("the decision does not settle")
			return
		}
		if killed() {
			return
		}
		o.note("%s", describe(o.stored, p.Next))
		o.stored, o.moved = p.Next, o.w.now
		if killed() {
			return
		}
	}
	o.apply(p)
	if killed() {
		return
	}
	for _, d := range p.Delete {
		o.delete(s, d)
		if killed() {
			return
		}
	}
}

// apply writes the templates of the workloads, and the advertisement of the spec.
func (o *operator) apply(p Plan) {
	w := o.w
	if !w.now.Before(o.refuses) {
		for ; o.removals > 0; o.removals-- {
			o.remove()
		}
		o.applied = o.edits
	}
	for _, r := range []Revision{p.Controller, p.Speaker} {
		if r != (Revision{}) && !o.good[r] {
			o.fail("the revision %s is planned, and is not stored", r)
		}
	}
	if p.Controller != (Revision{}) && w.controller != p.Controller.Controller {
		w.controller, w.deployedAt = p.Controller.Controller, w.now
	}
	if p.Speaker != (Revision{}) && w.template != p.Speaker.Speaker {
		w.former, w.template, w.templateAt = cmp.Or(w.template, p.Speaker.Speaker), p.Speaker.Speaker, w.now
	}
}

func (o *operator) delete(s State, d Deletion) {
	if !slices.ContainsFunc(o.stored.Steps, func(step Step) bool { return step.Node == d.Node && step.Pod == d.Pod }) {
		o.fail("%s is deleted before its step is stored", d.Pod)
	}
	n := o.w.node(d.Node)
	o.deleted[d.Pod] = true
	if n.pod == nil || n.pod.id != d.Pod {
		return // the precondition
	}
	o.deletes++
	o.note("delete %s of %s", d.Pod, n.pod.revision)
	if n.pod.ends.IsZero() {
		n.pod.ends = o.w.between(1, 6)
		if n.up && s.Nodes[d.Node].Pod.Ready {
			o.taken[d.Node] = true
		}
	}
	most := s.Settings.MaxUnavailable.countOf((&decision{State: s}).countNodes())
	if len(o.taken) > most {
		o.fail("%d nodes are without a speaker because of the rollout, %d may be", len(o.taken), most)
	}
}

// check updates the nodes that are without a speaker because of a deletion.
func (o *operator) check() {
	for name := range o.taken {
		n := o.w.node(name)
		if !n.up || n.tainted || n.pod != nil && n.pod.ends.IsZero() && n.pod.ready {
			delete(o.taken, name)
		}
	}
}

func (o *operator) fail(format string, args ...any) {
	if o.broken == "" {
		o.broken = fmt.Sprintf(format, args...)
	}
	o.note("BROKEN: "+format, args...)
}

func (o *operator) note(format string, args ...any) {
	o.trace = append(o.trace, o.w.now.Format("15:04:05 ")+fmt.Sprintf(format, args...))
}

func describe(before, after Stored) string {
	text := fmt.Sprintf("%s to %s, good %s", after.Phase, after.targetRevision(), after.Good)
	for _, s := range after.Steps {
		text += " " + string(s.Node)
		if s.Broken {
			text += " (broken)"
		}
	}
	if after.Failure != before.Failure {
		text += " failed: " + string(after.Failure.Node) + " " + after.Failure.Why
	}
	return text
}
