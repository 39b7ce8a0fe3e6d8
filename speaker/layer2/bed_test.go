package layer2_test

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/internal/segment"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// The engine under test runs on the node "self", in a bubble of testing/synctest. A test sets the
// snapshot, the view of the mesh and the links, and reads what the engine did in that order: the
// addresses that it owned, and the states and reports that it published.

const self lb.NodeName = "self"

var (
	a1 = netip.MustParseAddr("192.168.1.1")
	a2 = netip.MustParseAddr("192.168.1.2")

	equate = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty()}
)

// bed has an engine and everything that the engine reads and calls.
type bed struct {
	*testing.T
	engine  *layer2.Engine
	metrics prometheus.Gatherer
	want    layer2.Snapshot
	view    mesh.View
	links   []layer2.Link

	happened // a copy of record, since the last call of look

	mu     sync.Mutex
	record happened
}

// happened has the calls that the engine made.
type happened struct {
	log     []string // one line for each call, in order
	owned   map[netip.Addr]layer2.Serving
	ours    []net.HardwareAddr
	states  []wire.State
	reports []layer2.Report
	saved   []layer2.Checkpoint
}

// newBed runs an engine that has received nothing yet. A call of inform passes one link, no peers and
// no addresses to the engine, unless the test changes these fields first.
func newBed(t *testing.T, change ...func(*layer2.Config)) *bed {
	registry := prometheus.NewRegistry()
	b := &bed{T: t, metrics: registry, view: mesh.View{Checked: true}, links: []layer2.Link{eth("eth0", 1)}}
	c := layer2.Config{
		Self: self, Log: logr.Discard(), Announcer: announcer{b}, Mesh: meshRecorder{b}, Metrics: layer2.NewMetrics(registry),
		Report: func(r layer2.Report) { b.note("report", func(h *happened) { h.reports = append(h.reports, r) }) },
		Save:   func(k layer2.Checkpoint) { b.note("save", func(h *happened) { h.saved = append(h.saved, k) }) },
	}
	for _, f := range change {
		f(&c)
	}
	b.engine = layer2.New(c)
	go b.engine.Run(t.Context())
	return b
}

// running returns a bed whose engine received everything a second and a half ago, and has probed for foreign hosts.
func running(t *testing.T, want []ownership.Address, peers ...mesh.Peer) *bed {
	b := beginning(t, want, peers...)
	b.after(1500 * time.Millisecond)
	b.forget()
	return b
}

// beginning returns a bed whose engine has just received everything.
func beginning(t *testing.T, want []ownership.Address, peers ...mesh.Peer) *bed {
	b := newBed(t)
	b.want.Addresses, b.view.Peers = want, peers
	b.inform()
	b.forget()
	return b
}

// inform passes the snapshot, the links and the view to the engine.
func (b *bed) inform() {
	want := b.want
	want.Addresses, want.Draining, want.Down = slices.Clone(want.Addresses), maps.Clone(want.Draining), maps.Clone(want.Down)
	b.engine.SetSnapshot(want)
	b.engine.SetLinks(b.links)
	b.receive(b.view.Peers...)
}

// receive passes a view with these peers alive to the engine.
func (b *bed) receive(peers ...mesh.Peer) {
	b.view.Peers = peers
	b.view.Version++
	b.engine.SetView(b.view)
	b.settle()
}

// lose passes a view without peers to the engine, in which these nodes are missing. No host answers on
// any link.
func (b *bed) lose(nodes ...lb.NodeName) {
	b.view.Missing = missing(nodes...)
	b.receive()
	b.after(300 * time.Millisecond)
}

// survive passes a view without peers to the engine, in which these nodes are missing. A host answers
// on eth0, and no host answers for a1 and a2.
func (b *bed) survive(nodes ...lb.NodeName) {
	b.view.Missing = missing(nodes...)
	b.receive()
	b.after(290 * time.Millisecond)
	b.reach("eth0")
	b.after(10 * time.Millisecond)
	b.reach("eth0", a1, a2)
}

// reach has a host answer on a link until the test ends, and no host answer for the addresses free.
func (b *bed) reach(link string, free ...netip.Addr) {
	r := segment.Results{Reached: map[string]time.Time{link: time.Now()}, Free: map[netip.Addr]time.Time{}}
	for _, a := range free {
		r.Free[a] = time.Now()
	}
	b.engine.SetSegment(r)
	b.settle()
}

// free has a host answer on eth0, and none for these addresses.
func (b *bed) free(addresses ...netip.Addr) {
	b.reach("eth0")
	b.after(300 * time.Millisecond)
	b.reach("eth0", addresses...)
}

// after advances the clock of the bubble.
func (b *bed) after(d time.Duration) {
	time.Sleep(d)
	b.settle()
}

// settle waits until the engine is idle, and calls look.
func (b *bed) settle() {
	synctest.Wait()
	b.look()
}

// look copies the record of the calls for the test.
func (b *bed) look() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.happened = b.record
}

func (b *bed) note(what string, write func(*happened)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.record.log = append(b.record.log, what)
	write(&b.record)
}

// forget clears the record, except for the owned addresses and the hardware addresses of nodes.
func (b *bed) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.record = happened{owned: b.record.owned, ours: b.record.ours}
	b.happened = b.record
}

// calls returns the lines of the log that begin with one of these words.
func (b *bed) calls(kinds ...string) []string {
	var events []string
	for _, event := range b.log {
		if slices.Contains(kinds, strings.Fields(event)[0]) {
			events = append(events, event)
		}
	}
	return events
}

// serves compares the owned addresses with want.
func (b *bed) serves(when string, want map[netip.Addr]layer2.Serving) {
	b.Helper()
	b.same("owned addresses "+when, want, b.owned)
}

// claims compares the last published state with phase and want.
func (b *bed) claims(when string, phase ownership.Phase, want ownership.Claims) {
	b.Helper()
	if len(b.states) == 0 {
		b.Fatalf("%s, no state was published", when)
	}
	last := b.states[len(b.states)-1]
	b.same("the phase "+when, phase.String(), last.Phase.String())
	b.same("the claims "+when, want, last.Claims)
}

// silentNow fails unless nothing is announced and the last published state is isolated.
func (b *bed) silentNow(when string) {
	b.Helper()
	b.serves(when, nil)
	b.claims(when, ownership.Isolated, nil)
}

// silent fails if anything is announced, or if any published state has a claim.
func (b *bed) silent(when string) {
	b.Helper()
	b.serves(when, nil)
	for _, s := range b.states {
		b.same("the claims "+when, ownership.Claims{}, s.Claims)
	}
}

func (b *bed) same(what string, want, got any) {
	b.Helper()
	if diff := cmp.Diff(want, got, equate); diff != "" {
		b.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// counted returns the metrics that are not zero: moves by cause, the number and total duration of
// failovers, and the duration of duplicates.
func (b *bed) counted() map[string]float64 {
	b.Helper()
	families, err := b.metrics.Gather()
	if err != nil {
		b.Fatal(err)
	}
	counted := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch {
			case len(m.GetLabel()) > 0:
				counted[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			case m.GetHistogram().GetSampleCount() > 0:
				counted["failovers"] = float64(m.GetHistogram().GetSampleCount())
				counted["failover seconds"] = m.GetHistogram().GetSampleSum()
			case m.GetCounter().GetValue() > 0:
				counted["duplicate seconds"] = m.GetCounter().GetValue()
			}
		}
	}
	return counted
}

// announcer records the calls of the engine to layer2.Announcer.
type announcer struct{ b *bed }

func (a announcer) SetLinks(links []layer2.Link) {
	a.b.note(fmt.Sprintf("links %d", len(links)), func(*happened) {})
}

func (a announcer) SetServed(owned map[netip.Addr]layer2.Serving) {
	a.b.note("owned "+addresses(slices.Collect(maps.Keys(owned))), func(h *happened) { h.owned = maps.Clone(owned) })
}

func (a announcer) Repeat(again ...netip.Addr) {
	a.b.note("repeat "+addresses(again), func(*happened) {})
}

func (a announcer) SetQuestions(q *layer2.Questions) {
	what := "ask nothing"
	if q != nil {
		what = "ask " + addresses(slices.Collect(maps.Keys(q.Addresses)))
	}
	if q != nil && len(q.Nodes) > 0 {
		what += " and nodes " + addresses(slices.Clone(q.Nodes))
	}
	if q != nil && len(q.Awaited) > 0 {
		what += " and await " + addresses(slices.Clone(q.Awaited))
	}
	a.b.note(what, func(*happened) {})
}

func (a announcer) SetNodeHardware(ours []net.HardwareAddr) {
	a.b.note(fmt.Sprintf("ours %d", len(ours)), func(h *happened) { h.ours = ours })
}

func (a announcer) SetDetection(d layer2.Detection) {
	a.b.note("detection "+string(d), func(*happened) {})
}

// meshRecorder records the calls of the engine to the mesh.
type meshRecorder struct{ b *bed }

func (m meshRecorder) Publish(s wire.State) {
	what := fmt.Sprintf("publish %s %s", s.Phase, addresses(slices.Collect(maps.Keys(s.Claims))))
	m.b.note(what, func(h *happened) { h.states = append(h.states, s) })
}

func (m meshRecorder) Acted(v mesh.View) {
	m.b.note(fmt.Sprintf("acted %d", v.Version), func(*happened) {})
}

func addresses(list []netip.Addr) string {
	slices.SortFunc(list, netip.Addr.Compare)
	return fmt.Sprint(list)
}
