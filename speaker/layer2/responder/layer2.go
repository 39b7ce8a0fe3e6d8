// Package responder answers, announces and probes, over ARP and NDP, the addresses that this node owns. It
// answers in user space and binds no address to an interface, so that the node stops answering when the
// process dies.
package responder

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"

	"github.com/lbstack/lbstack/internal/l2net/packet"
	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/segment"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// Conn is what a responder needs of a connection to a link, in one family.
type Conn interface {
	// Watch replaces the addresses about which Read returns messages.
	Watch([]netip.Addr) error
	// Read waits for a message; ok is false for a malformed one. After an error the
	// connection cannot be used any more.
	Read() (m packet.Message, ok bool, err error)
	// Answer answers a request: the requested address is at the given hardware address.
	Answer(packet.Message, packet.MAC) error
	// Announce announces to all hosts of the link that the address is here.
	Announce(netip.Addr) error
	// Probe asks all hosts of the link whether one uses the address.
	Probe(netip.Addr) error
	// Dropped returns how many packets were not read in time.
	Dropped() uint64
	// Close ends Read.
	Close() error
}

// ListenFunc opens a connection to a link.
type ListenFunc func(layer2.Link) (Conn, error)

// Options are the options of a responder.
type Options struct {
	// ARP opens connections for IPv4; nil: IPv4 is not served.
	ARP ListenFunc
	// NDP opens connections for IPv6; nil: IPv6 is not served.
	NDP ListenFunc
	// Metrics are the metrics that the responder updates.
	Metrics *Metrics
	// MayAnswer is called before anything is sent: while it returns false, the responder sends nothing. After
	// the process stood still, it must not answer requests that waited in its sockets meanwhile. The function is
	// called often, so it must be fast; nil: always true.
	MayAnswer func() bool
	// Conflicts receives all addresses that other hosts use, in order and at most MaxConflicts confirmed ones, whenever
	// these conflicts change; may be nil.
	Conflicts func([]layer2.Conflict)
	// Unserved receives the links on which addresses of a family cannot be announced although they should
	// be, in order, whenever these links change; may be nil.
	Unserved func([]layer2.UnservedLink)
	// Segment receives the answers of hosts to the questions of layer2.Announcer.SetQuestions, whenever the
	// answers change; may be nil.
	Segment func(segment.Results)
	// Witnesses returns other hosts of a link, such as its gateway. The responder probes them: each answer shows
	// that the node receives from the segment. Nil: no such hosts are probed.
	Witnesses func(layer2.Link) []netip.Addr
	// Rival is called when another host, a node or not, announced an address that this node
	// announces. The arguments its and own are the hardware addresses of that host and of this node. May
	// be nil. It must not block.
	Rival func(address netip.Addr, its, own net.HardwareAddr)
	// Announced is called when a node that has restarted announces an address, or answers for it, while
	// this speaker still covers the address (see layer2.Serving.Returned); may be nil. It must not block.
	Announced func(netip.Addr)
	// AnswerSource returns the node that sent an answer for an address, given the hardware address in the
	// answer. The result kernel is true if the kernel of that node must have sent the answer, since the node's
	// speaker does not claim the address. If AnswerSource is nil, conflicts with kernels are not found. It is
	// called with the lock of the responder, and must not call the responder.
	AnswerSource func(address netip.Addr, hardware net.HardwareAddr) (node lb.NodeName, kernel bool)
	// ProxyBinds reports whether the service proxy puts the addresses of Services on interfaces
	// of each node, so that kernels may answer for all of them; nil: it does not.
	ProxyBinds func() bool
	// Timing has the intervals of the responder; nil: DefaultTiming.
	Timing *Timing
}

// Responder owns the connections to the links. It is a layer2.Announcer.
type Responder struct {
	ctx     context.Context
	log     logr.Logger
	options Options
	timing  Timing
	metrics *Metrics

	// services and macs are replaced as a whole, so that an answer needs no lock.
	services atomic.Pointer[map[netip.Addr]*servedAddress]
	macs     atomic.Pointer[knownMACs]

	asking  atomic.Bool   // there are questions to send on the segments (see SetQuestions)
	pace    *rate.Limiter // limits announcements in bursts, and probes
	refresh *rate.Limiter // limits addresses that are announced again
	changed chan struct{} // holds one token when there is something to report

	mu        sync.Mutex
	detection layer2.Detection
	wanted    []layer2.Link
	local     map[netip.Addr]layer2.Link // addresses of the links themselves
	nodes     []net.HardwareAddr
	ports     map[portKey]*port
	unopened  map[portKey]error // ports that could not be opened, and why
	reopens   bool              // a timer runs that opens failed ports again
	failures  int               // failures of ports in a row
	failedAt  time.Time         // when a port failed last
	entries   map[netip.Addr]*addressEntry
	asker     questionState
	count     uint64 // number of take-overs
	dropped   uint64 // packets that closed ports have dropped
}

var _ layer2.Announcer = (*Responder)(nil)

// knownMACs are the hardware addresses of hosts that are not foreign.
type knownMACs struct {
	own   map[packet.MAC]bool // of this node's links
	nodes map[packet.MAC]bool // of the cluster's nodes
}

// New returns a responder that works until the context ends.
func New(ctx context.Context, log logr.Logger, options Options) *Responder {
	r := &Responder{
		ctx: ctx, log: log, options: options, timing: DefaultTiming(), metrics: options.Metrics,
		changed: make(chan struct{}, 1), ports: map[portKey]*port{}, unopened: map[portKey]error{}, entries: map[netip.Addr]*addressEntry{},
		asker: questionState{machine: segment.New()},
	}
	if options.Timing != nil {
		r.timing = *options.Timing
	}
	r.pace = rate.NewLimiter(rate.Limit(r.timing.BurstRate), burstChunkSize)
	r.refresh = rate.NewLimiter(rate.Limit(r.timing.RefreshRate), refreshGroupSize)
	r.services.Store(&map[netip.Addr]*servedAddress{})
	r.macs.Store(&knownMACs{})
	r.metrics.setDroppedFunc(r.countDropped)
	context.AfterFunc(ctx, func() { r.SetLinks(nil) })
	go r.keepRefreshing()
	go r.keepChecking()
	go r.keepReporting()
	return r
}

// mayAnswer reports whether the responder may send anything: answers, announcements or probes.
func (r *Responder) mayAnswer() bool { return r.options.MayAnswer == nil || r.options.MayAnswer() }

// SetNodeHardware implements layer2.Announcer.
func (r *Responder) SetNodeHardware(nodes []net.HardwareAddr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nodes = nodes
	r.rememberMACs()
}

// rememberMACs stores the hardware addresses of hosts that are not foreign. The caller holds the lock.
func (r *Responder) rememberMACs() {
	next := &knownMACs{own: map[packet.MAC]bool{}, nodes: map[packet.MAC]bool{}}
	for _, l := range r.wanted {
		if mac, err := packet.ToMAC(l.Hardware); err == nil {
			next.own[mac] = true
		}
	}
	for _, hardware := range r.nodes {
		if mac, err := packet.ToMAC(hardware); err == nil {
			next.nodes[mac] = true
		}
	}
	r.macs.Store(next)
}

// Repeat implements layer2.Announcer: it announces the given addresses again, or all if none is given. The
// addresses that this node took over last come first.
func (r *Responder) Repeat(addresses ...netip.Addr) {
	r.mu.Lock()
	var again []*addressEntry
	for _, a := range addresses {
		if e, ok := r.entries[a]; ok {
			again = append(again, e)
		}
	}
	if len(addresses) == 0 {
		for _, e := range r.entries {
			again = append(again, e)
		}
	}
	r.mu.Unlock()
	go r.announceAgain(again)
}
