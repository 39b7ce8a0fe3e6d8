// Package layer2 is the engine of one node: from what the cluster wants, what the
// other speakers say and which links are up, it decides which addresses this node
// owns, has them announced, and says so. One goroutine owns the state; everybody
// else sends it news. It knows no Kubernetes: speaker/kube brings the snapshots
// and takes the reports.
package layer2

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/internal/segment"
	"github.com/lbstack/lbstack/internal/watchdog"
)

const (
	// probing is how long it takes to ask whether a foreign host uses an address, and to be
	// answered.
	probing = 500 * time.Millisecond
	// releasedFor is how long an address that a living node has let go is left alone:
	// the news that it is not wanted any more reaches nodes at different times.
	releasedFor = 500 * time.Millisecond
	// holdOff is how long an address is left to a node that took it and knows
	// something else about the cluster.
	holdOff = 10 * time.Second
	// keepEvery is how often what the next speaker should know is kept: all of it is
	// written each time.
	keepEvery = 500 * time.Millisecond
	// moveEvery is how often one address of the cluster may move although nothing
	// failed.
	moveEvery = time.Second
	// settled is how long a node must have been alive to be given what others have.
	settled = 30 * time.Second
)

// Mesh is how this speaker is heard by the others.
type Mesh interface {
	// Publish says all that this speaker has to say of itself.
	Publish(wire.State)
	// Acted says that everything in a view has been acted on.
	Acted(mesh.View)
}

// Config is what an Engine works with.
type Config struct {
	// Self is this node.
	Self lb.NodeName
	// Log tells what is owned, and no more.
	Log logr.Logger
	// Now reads the clock; nil: time.Now.
	Now func() time.Time
	// Announcer makes the network send traffic here.
	Announcer Announcer
	// Mesh tells the others.
	Mesh Mesh
	// Report takes what was done, after each change, from the engine's goroutine; it
	// must not block.
	Report func(Report)
	// Keep takes what a speaker that starts on this node should know; it must not
	// block. May be nil.
	Keep func(Kept)
	// Resume is what was kept when this node's last speaker ended. Its snapshot is not
	// looked at: see SetKept.
	Resume Kept
	// Failback allows addresses to move although nothing failed.
	Failback bool
	// Metrics count what happens.
	Metrics *Metrics
	// Passes marks those of Run; nil: nothing does.
	Passes *watchdog.Loop
}

// Kept is what is kept on the node for the next speaker.
type Kept struct {
	// Snapshot is what the cluster wanted last.
	Snapshot Snapshot
	// Claims of this node.
	Claims ownership.Claims
	// Held are addresses that their owners do not announce, since foreign hosts use them.
	Held []netip.Addr
	// Ours are hardware addresses of the cluster's nodes.
	Ours []net.HardwareAddr
}

// Engine decides what this node owns. Make it with New.
type Engine struct {
	Config
	news chan struct{} // holds one token when there is news

	mu     sync.Mutex
	inbox  inbox
	synced bool
	owning int

	// What follows belongs to the goroutine of Run.
	begun   time.Time // when everything was known for the first time
	running bool      // it has decided once
	waited  bool      // for those that should be there, once
	ran     bool      // it has decided once while it was not isolated
	// together are the nodes whose speakers were seen to start while this one did.
	together map[lb.NodeName]bool
	book     *ownership.Index
	links    map[lb.NodeName]nodeLinks // of nodes with speakers that live, or are missed
	subnets  *subnets
	// linksNumber grows with each change of links, and of those of this node that are reached.
	linksNumber uint64
	onLinks     []wire.Link      // that this node may announce on
	claims      ownership.Claims // never changed, but replaced
	rivals      map[netip.Addr]rivalry
	taken       map[netip.Addr]taken
	asking      map[netip.Addr]time.Time // what may still be probed, since when
	served      map[netip.Addr]Owned
	unclaimed   map[netip.Addr]unclaimed
	requested   map[netip.Addr]requested
	released    map[netip.Addr]time.Time
	contested   contest
	lost        map[netip.Addr]time.Time // when who had it was heard last: nobody has it now
	live        map[lb.NodeName]bool
	doubted     map[netip.Addr]bool        // its last owner did not announce it: a foreign host uses it
	hold        map[netip.Addr]time.Time   // until when it is not taken from others
	caredFor    map[netip.Addr]lb.NodeName // what this node answers for, and whose it is
	returned    map[netip.Addr]awaited     // those of caredFor whose node runs again
	uncovered   map[netip.Addr]time.Time   // those that were in caredFor, and have had no owner since
	lonely      bool                       // it was isolated in the round before
	received    map[lb.NodeName]bool       // whose speakers were alive when it was in the majority last; nil: it never was
	minority    minority
	insisted    map[netip.Addr]insistence // when addresses were announced again, since others announce them
	standoffs   map[netip.Addr]standoff
	stalled     bool // this process stood still, and the others were not asked yet
	moved       time.Time
	said        said
	// remembered are hardware addresses of nodes from before this speaker.
	remembered []net.HardwareAddr
}

// taken is how this node got an address.
type taken struct {
	since time.Time
	first bool
}

// inbox is the latest news of each kind; what is nil was never told.
type inbox struct {
	want       *Snapshot // without addresses, which are news
	addresses  addressNews
	view       *mesh.View
	links      *[]Link
	conflicts  []Conflict
	unserved   []Unserved
	segment    segment.Results
	partition  partition
	rivals     []rival                    // see frames
	announced  map[netip.Addr]struct{}    // by the nodes that this one covers for; see frames
	hosts      map[lb.NodeName]netip.Addr // of the speakers that should be there
	restarting time.Time                  // until when; zero: no
	restarted  chan struct{}              // is closed when the others have been told, and nil then
}

// New returns an engine for a node.
func New(c Config) *Engine {
	if c.Now == nil {
		c.Now = time.Now
	}
	e := &Engine{
		Config: c, news: make(chan struct{}, 1),
		book: ownership.NewIndex(c.Self), links: map[lb.NodeName]nodeLinks{},
		taken: map[netip.Addr]taken{}, asking: map[netip.Addr]time.Time{}, served: map[netip.Addr]Owned{}, unclaimed: map[netip.Addr]unclaimed{}, released: map[netip.Addr]time.Time{}, hold: map[netip.Addr]time.Time{},
		doubted: map[netip.Addr]bool{}, insisted: map[netip.Addr]insistence{}, standoffs: map[netip.Addr]standoff{}, lost: map[netip.Addr]time.Time{}, returned: map[netip.Addr]awaited{}, uncovered: map[netip.Addr]time.Time{}, caredFor: map[netip.Addr]lb.NodeName{}, together: map[lb.NodeName]bool{}, requested: map[netip.Addr]requested{}, remembered: c.Resume.Ours,
	}
	for _, address := range c.Resume.Held {
		e.doubted[address] = true
	}
	return e
}

// SetSnapshot tells the engine what the cluster wants.
func (e *Engine) SetSnapshot(s Snapshot) { e.tell(func(in *inbox) { in.setWant(s) }) }

// SetChange tells the engine what is new in what the cluster wants. A snapshot, perhaps
// an empty one, must have been told before.
func (e *Engine) SetChange(c Change) { e.tell(func(in *inbox) { in.changeWant(c) }) }

// SetKept tells the engine what the cluster wanted when it was last heard, in case
// that nothing newer is known.
func (e *Engine) SetKept(s Snapshot) {
	e.tell(func(in *inbox) {
		if in.want == nil {
			in.setWant(s)
		}
	})
}

// SetView tells the engine what the other speakers say.
func (e *Engine) SetView(v mesh.View) { e.tell(func(in *inbox) { in.view = &v }) }

// SetLinks tells the engine which links there are.
func (e *Engine) SetLinks(links []Link) { e.tell(func(in *inbox) { in.links = &links }) }

// SetUnserved tells the engine on which links nothing can be announced after all. What is
// announced there moves to other links, or nodes.
func (e *Engine) SetUnserved(u []Unserved) { e.tell(func(in *inbox) { in.unserved = u }) }

// SetConflicts tells the engine which addresses foreign hosts use.
func (e *Engine) SetConflicts(c []Conflict) { e.tell(func(in *inbox) { in.conflicts = c }) }

// Restart tells the others that this speaker ends and that another one will be
// there on the node after a time: they answer for it meanwhile. It returns when that
// has been said, or the context ends.
func (e *Engine) Restart(ctx context.Context, back time.Duration) {
	done := make(chan struct{})
	e.tell(func(in *inbox) { in.restarting, in.restarted = e.Now().Add(back), done })
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// Synced says whether the engine has seen the cluster, the other speakers and
// the links, and acted on them.
func (e *Engine) Synced() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.synced
}

// Owning returns how many addresses this node owns, and whether it is to hand them
// over.
func (e *Engine) Owning() (addresses int, draining bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.owning, e.inbox.want != nil && e.inbox.want.Draining[e.Self]
}

func (e *Engine) tell(write func(*inbox)) {
	e.mu.Lock()
	write(&e.inbox)
	e.mu.Unlock()
	select {
	case e.news <- struct{}{}:
	default: // there is a token: the engine will see this news too
	}
}

// Run decides and acts on news until the context ends. Nothing is announced before
// all kinds of news have come once: a node that does not know the others yet would
// believe that it owns everything.
func (e *Engine) Run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.news:
		case <-timer.C:
		}
		e.Passes.Begin()
		if next := e.round(e.Now()); !next.IsZero() {
			timer.Reset(next.Sub(e.Now()))
		}
		e.Passes.End()
	}
}

// round looks at everything once. It returns when to look again although there is
// no news; zero: not.
func (e *Engine) round(now time.Time) time.Time {
	in, complete := e.read()
	if !complete {
		return time.Time{}
	}
	if e.begun.IsZero() {
		e.begun = now
	}
	e.weigh(now, in)
	e.start(now, in)
	if until := e.waitsForOthers(now, in); now.Before(until) {
		return until
	}
	e.waited = true
	if !in.view.Checked {
		e.stalled = true
		return time.Time{} // what the others own is being asked
	}
	in.rivals, in.announced = e.frames()
	v := e.gather(now, in)
	d := e.decide(v)
	e.act(v, d)
	if e.stalled {
		e.stalled = false
		e.Announcer.Repeat() // others may have announced the addresses meanwhile
	}
	e.running = true
	e.ran = e.ran || v.phase != ownership.Isolated
	if !e.isMinority() {
		e.received = v.lives
	}
	if e.inMinority() || len(e.minority.queries)+len(e.standoffs) > 0 {
		e.ask(e.questions(now, in))
	} else {
		e.ask(nil)
	}
	e.mu.Lock()
	e.synced, e.owning = true, len(e.claims)
	if v.phase == ownership.Restarting && in.restarted != nil {
		close(in.restarted)
		if e.inbox.restarted == in.restarted {
			e.inbox.restarted = nil
		}
	}
	e.mu.Unlock()
	return e.next(now, in)
}

// read returns the latest news, if there was news of each kind, and notes which
// addresses are wanted.
func (e *Engine) read() (in inbox, complete bool) {
	e.mu.Lock()
	in = e.inbox
	if complete = in.want != nil && in.view != nil && in.links != nil; complete {
		e.inbox.addresses = addressNews{}
	}
	in.rivals, in.announced = nil, nil
	e.mu.Unlock()
	if complete {
		in.addresses.enter(e.book)
	}
	return in, complete
}

// frames takes what was received from the segments since the last round that looked at it. It is
// reported once, so that a round which ends before it is looked at must leave it.
func (e *Engine) frames() (rivals []rival, announced map[netip.Addr]struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	rivals, announced = e.inbox.rivals, e.inbox.announced
	e.inbox.rivals, e.inbox.announced = nil, nil
	return rivals, announced
}

// next returns when time alone changes a decision.
func (e *Engine) next(now time.Time, in inbox) (next time.Time) {
	earliest := func(at time.Time) {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	for _, u := range e.unclaimed {
		earliest(u.next(now))
	}
	for _, at := range e.released {
		earliest(at.Add(releasedFor))
	}
	for _, since := range e.asking {
		earliest(since.Add(probing))
	}
	if e.said.keepAt.After(now) {
		earliest(e.said.keepAt)
	}
	for _, until := range e.hold {
		earliest(until)
	}
	if e.Failback {
		earliest(now.Add(moveEvery))
	}
	if at := e.begun.Add(settled); at.After(now) {
		earliest(at) // what this node is asked for moves then
	}
	for _, at := range []time.Time{e.nextInMinority(now, in), e.nextCovered(now), e.nextStandoff(now), e.nextKernel(now, in), e.nextRequested(now)} {
		if !at.IsZero() {
			earliest(at)
		}
	}
	return next
}
