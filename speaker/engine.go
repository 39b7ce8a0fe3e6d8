// Package speaker is the engine of one node: from what the cluster wants, which
// speakers are alive and which links are up, it decides which addresses this
// node owns, and has them announced. One goroutine owns the state; everybody
// else sends it news. It knows no Kubernetes: speaker/kube brings the snapshots
// and takes the reports.
package speaker

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/lbstack/lbstack/internal/delta"
	"github.com/lbstack/lbstack/internal/lb"
)

// Report is what the engine did, for the node's status.
type Report struct {
	// Owned addresses, ordered.
	Owned []OwnedSince
	// Links that this node can announce on, ordered by name. Those that lead to
	// its own pods are there only while they are in use.
	Links []Link
	// Live speakers, this one included.
	Live int
	// Problems of the snapshot.
	Problems []string
}

// OwnedSince is an owned address and since when.
type OwnedSince struct {
	Owned
	// Address that is owned.
	Address netip.Addr
	// Since when the node has owned it.
	Since time.Time
}

// Engine decides what this node owns. Make it with New.
type Engine struct {
	self      lb.NodeName
	log       logr.Logger
	announcer Announcer
	report    func(Report)
	news      chan struct{} // holds one token when there is news

	mu     sync.Mutex
	inbox  inbox
	synced bool
}

// inbox is the latest news of each kind; what is nil was never told.
type inbox struct {
	want  *Snapshot
	live  *[]Peer
	links *[]Link
}

// New returns an engine for a node. The report is called from the engine's
// goroutine, after each change; it must not block.
func New(self lb.NodeName, log logr.Logger, announcer Announcer, report func(Report)) *Engine {
	return &Engine{self: self, log: log, announcer: announcer, report: report, news: make(chan struct{}, 1)}
}

// SetSnapshot tells the engine what the cluster wants.
func (e *Engine) SetSnapshot(s Snapshot) { e.tell(func(in *inbox) { in.want = &s }) }

// SetLive tells the engine which speakers are alive.
func (e *Engine) SetLive(peers []Peer) { e.tell(func(in *inbox) { in.live = &peers }) }

// SetLinks tells the engine which links there are.
func (e *Engine) SetLinks(links []Link) { e.tell(func(in *inbox) { in.links = &links }) }

// Synced says whether the engine has seen the cluster, the other speakers and
// the links, and acted on them.
func (e *Engine) Synced() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.synced
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

// Run decides and acts on news until the context ends. Nothing is announced
// before all three kinds of news have come once: a node that does not know the
// others yet would believe that it owns everything.
func (e *Engine) Run(ctx context.Context) {
	owned := map[netip.Addr]Owned{}
	since := map[netip.Addr]time.Time{}
	var live []Peer
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.news:
		}
		v, ok := e.view()
		if !ok {
			continue
		}
		desired := decide(v)
		e.act(v, owned, desired, since)
		if len(owned) > 0 && gained(live, v.live) {
			// They may have announced the same while they did not see us.
			e.announcer.Repeat()
		}
		owned, live = desired, v.live
		e.report(reportOf(v, owned, since))
		e.mu.Lock()
		e.synced = true
		e.mu.Unlock()
	}
}

func (e *Engine) view() (view, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.inbox.want == nil || e.inbox.live == nil || e.inbox.links == nil {
		return view{}, false
	}
	return view{self: e.self, want: *e.inbox.want, live: *e.inbox.live, links: *e.inbox.links}, true
}

func (e *Engine) act(v view, owned, desired map[netip.Addr]Owned, since map[netip.Addr]time.Time) {
	e.announcer.SetLinks(v.links)
	d := delta.Between(owned, desired, Owned.Same)
	if d.Empty() {
		return
	}
	e.announcer.SetOwned(desired)
	for address, o := range d.Add {
		since[address] = time.Now()
		e.log.Info("this node owns an address now", "address", address, "interfaces", o.Interfaces, "live", nodes(v.live))
	}
	for address := range d.Remove {
		delete(since, address)
		e.log.Info("this node owns an address no more", "address", address, "live", nodes(v.live))
	}
}

func reportOf(v view, owned map[netip.Addr]Owned, since map[netip.Addr]time.Time) Report {
	r := Report{Live: len(v.live), Problems: v.want.Problems}
	for _, address := range slices.SortedFunc(maps.Keys(owned), netip.Addr.Compare) {
		r.Owned = append(r.Owned, OwnedSince{Owned: owned[address], Address: address, Since: since[address]})
	}
	for _, link := range v.links {
		inUse := slices.ContainsFunc(r.Owned, func(o OwnedSince) bool { return slices.Contains(o.Interfaces, link.Name) })
		if !link.Internal || inUse {
			r.Links = append(r.Links, link)
		}
	}
	return r
}
