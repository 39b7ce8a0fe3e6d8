// Package layer2 is the layer 2 engine of one node. It decides which addresses this node owns, from what the
// cluster wants, what the other speakers publish and which links are up. It passes the addresses to the
// announcer, publishes the claims and reports its state. The goroutine of Run owns the state; other
// goroutines pass changes through the methods of Engine. The package does not import Kubernetes: speaker/kube
// makes the snapshots and receives the reports.
//
// The comments of this package use the following terms. An address is wanted while the cluster wants it
// announced. A node claims an address while its speaker publishes in the mesh that the node owns it. A
// speaker is missing while it should run and is not alive (mesh.View.Missing). A foreign host is a host that
// is not a node of the cluster. A speaker covers an address of another node, usually one whose speaker
// restarts, while it answers for the address with the hardware address of that node. A link is silent while
// this node receives nothing from the network segment of the link. A round is one call of runRound: it reads
// all inputs, decides and acts. The file minority.go explains minorities and how segments are asked.
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
	// probeDuration is how long the announcer takes at most to find out by one series of probes whether a foreign
	// host uses an address: probeSchedule and probeJitter of the responder.
	probeDuration = 600 * time.Millisecond
	// releaseDelay is for how long no node takes an address that a live node gave up. That node may have given
	// it up because the address is not wanted any more, and other nodes may receive this change later.
	releaseDelay = 500 * time.Millisecond
	// holdOffTime is how long this node waits before it takes an address back after a dispute. In a dispute,
	// another node takes an address that this node should own according to its snapshot. The two nodes have
	// received different states of the cluster.
	holdOffTime = 10 * time.Second
	// saveInterval is the shortest time between two checkpoints: a checkpoint is always written as a whole.
	saveInterval = 500 * time.Millisecond
	// moveInterval is the shortest time between two moves in the cluster that are not caused by a failure
	// (Config.Failback).
	moveInterval = time.Second
	// settleTime is how long a node must have been alive before it takes addresses that other nodes own.
	settleTime = 30 * time.Second
)

// Mesh is how this speaker publishes its state to the other speakers.
type Mesh interface {
	// Publish replaces the state of this speaker.
	Publish(wire.State)
	// Acted reports that the engine has acted on all that is in the view.
	Acted(mesh.View)
}

// Config has the settings of an Engine, and what it works with.
type Config struct {
	// Self is this node.
	Self lb.NodeName
	// Log gets a line for each address that this node takes or gives up.
	Log logr.Logger
	// Now reads the clock; nil: time.Now.
	Now func() time.Time
	// Announcer makes the network send the traffic for owned addresses to this node.
	Announcer Announcer
	// Mesh publishes the state of this speaker to the other speakers.
	Mesh Mesh
	// Report is called with each report that differs from the last one, from the goroutine of Run; it must not
	// block.
	Report func(Report)
	// Save is called with the checkpoint for the next speaker on this node, from the goroutine of Run; it
	// must not block. It may be nil.
	Save func(Checkpoint)
	// Resume is the checkpoint of the previous speaker on this node. The engine ignores its Snapshot, which the
	// caller passes to SetCheckpoint.
	Resume Checkpoint
	// Failback allows addresses to move to other nodes although nothing failed.
	Failback bool
	// Metrics are the metrics that the engine updates.
	Metrics *Metrics
	// Passes marks the beginning and end of each round, for the watchdog; nil: there is no watchdog.
	Passes *watchdog.Loop
}

// Checkpoint is what is stored on the node for the next speaker.
type Checkpoint struct {
	// Snapshot is the latest snapshot of what the cluster wants.
	Snapshot Snapshot
	// Claims are the claims of this node.
	Claims ownership.Claims
	// Held are addresses that their owners do not announce, since foreign hosts use them.
	Held []netip.Addr
	// Ours are hardware addresses of the cluster's nodes.
	Ours []net.HardwareAddr
}

// Engine decides what this node owns. Make it with New.
type Engine struct {
	Config
	changed chan struct{} // has a token when inbox has changed since the last round began

	mu     sync.Mutex
	inbox  inbox
	synced bool
	owning int

	// Only the goroutine of Run uses the following fields.
	begun   time.Time // when this speaker began to start: when the first snapshot, view and links were there, or when its isolation ended
	running bool      // a decision was made since begun
	waited  bool      // the wait for the other speakers is over (startWaitEnd)
	// together are the nodes whose speakers were starting at the same time as this one.
	together map[lb.NodeName]bool
	owners   *ownership.Index
	links    map[lb.NodeName]nodeLinks // of nodes whose speakers are alive, or are missing and have sent to this one
	subnets  *subnetIndex
	// linksNumber grows with each change of links or onLinks.
	linksNumber uint64
	onLinks     []wire.Link      // links that this node may announce on
	claims      ownership.Claims // addresses that this node claims; the map is replaced, never changed
	rivals      map[netip.Addr]rivalry
	taken       map[netip.Addr]acquisition
	asking      map[netip.Addr]time.Time // addresses that the announcer may still be probing: since when
	served      map[netip.Addr]Serving
	unclaimed   map[netip.Addr]unclaimedAddress
	requested   map[netip.Addr]requestedAddress
	released    map[netip.Addr]time.Time
	contested   contestedClaims
	lost        map[netip.Addr]time.Time // addresses that lost their owner: when the last message of the owner's speaker arrived
	live        map[lb.NodeName]bool
	doubted     map[netip.Addr]bool           // addresses that their last owner did not announce, since a foreign host uses them
	hold        map[netip.Addr]time.Time      // addresses that this node does not take from other nodes: until when (holdOffTime)
	covering    map[netip.Addr]lb.NodeName    // addresses that this node covers, and their owners
	returned    map[netip.Addr]awaitedAddress // addresses in covering whose owner's speaker runs again
	uncovered   map[netip.Addr]time.Time      // addresses that this node covered until they lost their owner: when they lost it
	wasIsolated bool                          // this speaker was isolated in the last round
	minority    minorityState
	insisted    map[netip.Addr]insistence // addresses that were announced again because other nodes announce them too
	standoffs   map[netip.Addr]standoff
	stalls      uint64 // mesh.View.Stalls in the view of the last round
	moved       time.Time
	sent        sentState
	// remembered are the hardware addresses of nodes, as read from the checkpoint.
	remembered []net.HardwareAddr
}

// acquisition is how this node got an address.
type acquisition struct {
	since time.Time
	first bool
}

// inbox is the latest input of each kind; nil: there was none yet. Engine.mu guards it.
type inbox struct {
	want       *Snapshot // without its addresses: they are in the field addresses until a round takes them
	addresses  addressChanges
	view       *mesh.View
	links      *[]Link
	conflicts  []Conflict
	unserved   []UnservedLink
	segment    segment.Results
	partition  partitionReport
	rivals     []rivalAnnouncement        // since the last call of takeFrames
	announced  map[netip.Addr]struct{}    // covered addresses that their owners announced since the last call of takeFrames
	hosts      map[lb.NodeName]netip.Addr // IP addresses of the nodes on which speakers should run
	restarting time.Time                  // when the next speaker is expected; zero: this one does not restart
	restarted  chan struct{}              // closed, and set to nil, once it is published that this speaker restarts
}

// New returns an engine for a node.
func New(c Config) *Engine {
	if c.Now == nil {
		c.Now = time.Now
	}
	e := &Engine{
		Config: c, changed: make(chan struct{}, 1),
		owners: ownership.NewIndex(c.Self), links: map[lb.NodeName]nodeLinks{},
		taken: map[netip.Addr]acquisition{}, asking: map[netip.Addr]time.Time{}, served: map[netip.Addr]Serving{}, unclaimed: map[netip.Addr]unclaimedAddress{}, released: map[netip.Addr]time.Time{}, hold: map[netip.Addr]time.Time{},
		doubted: map[netip.Addr]bool{}, insisted: map[netip.Addr]insistence{}, standoffs: map[netip.Addr]standoff{}, lost: map[netip.Addr]time.Time{}, returned: map[netip.Addr]awaitedAddress{}, uncovered: map[netip.Addr]time.Time{}, covering: map[netip.Addr]lb.NodeName{}, together: map[lb.NodeName]bool{}, requested: map[netip.Addr]requestedAddress{}, remembered: c.Resume.Ours,
	}
	for _, address := range c.Resume.Held {
		e.doubted[address] = true
	}
	return e
}

// SetSnapshot sets what the cluster wants.
func (e *Engine) SetSnapshot(s Snapshot) { e.updateInbox(func(in *inbox) { in.setWanted(s) }) }

// SetChange applies a change to what the cluster wants. SetSnapshot must have been called before, perhaps
// with an empty snapshot.
func (e *Engine) SetChange(c Change) { e.updateInbox(func(in *inbox) { in.changeWanted(c) }) }

// SetCheckpoint sets what the cluster wanted according to the checkpoint. It has no effect if SetSnapshot
// was called before.
func (e *Engine) SetCheckpoint(s Snapshot) {
	e.updateInbox(func(in *inbox) {
		if in.want == nil {
			in.setWanted(s)
		}
	})
}

// SetView sets the latest view of the other speakers.
func (e *Engine) SetView(v mesh.View) { e.updateInbox(func(in *inbox) { in.view = &v }) }

// SetLinks sets which links this node has.
func (e *Engine) SetLinks(links []Link) { e.updateInbox(func(in *inbox) { in.links = &links }) }

// SetUnserved sets the links on which addresses should be announced and cannot be. These addresses move to
// other links or to other nodes.
func (e *Engine) SetUnserved(u []UnservedLink) { e.updateInbox(func(in *inbox) { in.unserved = u }) }

// SetConflicts sets the addresses of this node that other hosts use too.
func (e *Engine) SetConflicts(c []Conflict) { e.updateInbox(func(in *inbox) { in.conflicts = c }) }

// Restart publishes that this speaker ends and that the next speaker on this node is expected after the given
// time (back). Until then other nodes cover for this node. Restart returns when that is published, or when
// the context ends.
func (e *Engine) Restart(ctx context.Context, back time.Duration) {
	done := make(chan struct{})
	e.updateInbox(func(in *inbox) { in.restarting, in.restarted = e.Now().Add(back), done })
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// HasSynced reports whether the engine has completed a round. For that it needs a snapshot, a view of the
// other speakers and the links.
func (e *Engine) HasSynced() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.synced
}

// CountOwned returns how many addresses this node owns, and whether it is being drained.
func (e *Engine) CountOwned() (addresses int, draining bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.owning, e.inbox.want != nil && e.inbox.want.Draining[e.Self]
}

func (e *Engine) updateInbox(write func(*inbox)) {
	e.mu.Lock()
	write(&e.inbox)
	e.mu.Unlock()
	select {
	case e.changed <- struct{}{}:
	default: // there is a token already: the next round reads this change too
	}
}

// Run decides and acts after each change until the context ends. Nothing is announced before there is a
// snapshot, a view and the links: a node that does not know the other speakers yet would take every
// address.
func (e *Engine) Run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.changed:
		case <-timer.C:
		}
		e.Passes.Begin()
		if next := e.runRound(e.Now()); !next.IsZero() {
			timer.Reset(next.Sub(e.Now()))
		}
		e.Passes.End()
	}
}

// runRound reads the inbox, decides and acts, once. It returns when the next round is due if no input changes
// earlier; zero: then no round is due.
func (e *Engine) runRound(now time.Time) time.Time {
	in, complete := e.readInbox()
	if !complete {
		return time.Time{}
	}
	if e.begun.IsZero() {
		e.begun = now
	}
	e.updateMinority(now, in)
	e.start(now, in)
	if until := e.startWaitEnd(now, in); now.Before(until) {
		return until
	}
	e.waited = true
	if !in.view.Checked {
		return time.Time{} // this process stood still, and the other speakers are being asked for their claims
	}
	in.rivals, in.announced = e.takeFrames()
	v := e.buildView(now, in)
	d := e.decide(v)
	e.act(v, d)
	if v.stalled {
		e.Announcer.Repeat() // other nodes may have announced the addresses meanwhile
	}
	e.running = true
	if e.isMinorityMode() || len(e.minority.queries)+len(e.standoffs) > 0 {
		e.passQuestions(e.currentQuestions(now, in))
	} else {
		e.passQuestions(nil)
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
	return e.nextChange(now, in)
}

// readInbox returns the inbox without the fields that takeFrames returns, and whether the inbox has a
// snapshot, a view and the links. If it has all three, readInbox applies the changes of wanted addresses to
// the index of owners.
func (e *Engine) readInbox() (in inbox, complete bool) {
	e.mu.Lock()
	in = e.inbox
	if complete = in.want != nil && in.view != nil && in.links != nil; complete {
		e.inbox.addresses = addressChanges{}
	}
	in.rivals, in.announced = nil, nil
	e.mu.Unlock()
	if complete {
		in.addresses.apply(e.owners)
	}
	return in, complete
}

// takeFrames returns what was received from the segments since the last call, and removes it from the inbox.
// Each frame is returned only once. A round that ends before it decides must not call takeFrames, since it
// would lose frames.
func (e *Engine) takeFrames() (rivals []rivalAnnouncement, announced map[netip.Addr]struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	rivals, announced = e.inbox.rivals, e.inbox.announced
	e.inbox.rivals, e.inbox.announced = nil, nil
	return rivals, announced
}

// nextChange returns when the next decision is due if no input changes earlier.
func (e *Engine) nextChange(now time.Time, in inbox) (next time.Time) {
	earliest := func(at time.Time) {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	for _, u := range e.unclaimed {
		earliest(u.nextElection(now))
	}
	for _, at := range e.released {
		earliest(at.Add(releaseDelay))
	}
	for _, since := range e.asking {
		earliest(since.Add(probeDuration))
	}
	if e.sent.saveAt.After(now) {
		earliest(e.sent.saveAt)
	}
	for _, until := range e.hold {
		earliest(until)
	}
	if e.Failback {
		earliest(now.Add(moveInterval))
	}
	if at := e.begun.Add(settleTime); at.After(now) {
		earliest(at) // from then on this node can take addresses that other nodes own
	}
	for _, at := range []time.Time{e.nextMinorityChange(now, in), e.nextCoverTime(now), e.nextStandoffTime(now), e.nextKernelTime(now, in), e.nextRequestTime(now)} {
		if !at.IsZero() {
			earliest(at)
		}
	}
	return next
}
