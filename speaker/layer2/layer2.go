// Package layer2 answers and announces, over ARP, the IPv4 addresses that this
// node owns. It answers in user space and binds no address to an interface: when
// the process dies, the node is silent.
package layer2

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/lbstack/lbstack/internal/arp"
	"github.com/lbstack/lbstack/speaker"
)

// reopen is how soon a link that failed, or could not be opened, is tried again.
const reopen = time.Second

// Conn is what a responder needs of a connection to a link.
type Conn interface {
	// Read waits for a request; ok is false for what is none.
	Read() (req arp.Request, ok bool, err error)
	// Answer tells who asked that the address is here.
	Answer(arp.Request) error
	// Announce tells everybody that the address is here.
	Announce(netip.Addr) error
	// Close ends Read.
	Close() error
}

// Responder owns the connections to the links. It is a speaker.Announcer.
type Responder struct {
	ctx     context.Context
	log     logr.Logger
	listen  func(speaker.Link) (Conn, error)
	metrics *Metrics

	// owned is replaced, never changed: an answer needs no lock.
	owned atomic.Pointer[map[netip.Addr]speaker.Owned]

	again chan struct{} // holds one token when everything is to be announced anew

	mu     sync.Mutex
	wanted []speaker.Link
	links  map[string]*link
	takes  map[netip.Addr]uint64 // which take-over of an address is the current one
	count  uint64
}

type link struct {
	speaker.Link
	conn   Conn
	closed atomic.Bool
}

// New returns a responder that opens links with listen and works until the
// context ends.
func New(ctx context.Context, log logr.Logger, listen func(speaker.Link) (Conn, error), metrics *Metrics) *Responder {
	r := &Responder{ctx: ctx, log: log, listen: listen, metrics: metrics, again: make(chan struct{}, 1), links: map[string]*link{}, takes: map[netip.Addr]uint64{}}
	r.owned.Store(&map[netip.Addr]speaker.Owned{})
	context.AfterFunc(ctx, func() { r.SetLinks(nil) })
	go r.repeat()
	return r
}

// SetLinks opens links that are new and closes those that are gone. What is
// owned is announced on a link that comes up.
func (r *Responder) SetLinks(links []speaker.Link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wanted = links
	r.openAndClose()
}

// openAndClose brings the links to what is wanted. The caller holds the lock.
func (r *Responder) openAndClose() {
	wanted := map[string]speaker.Link{}
	for _, l := range r.wanted {
		wanted[l.Name] = l
	}
	for name, l := range r.links {
		now, ok := wanted[name]
		if ok && !l.closed.Load() && now.Index == l.Index && slices.Equal(now.Hardware, l.Hardware) {
			continue
		}
		l.close()
		delete(r.links, name)
	}
	for name, w := range wanted {
		if _, ok := r.links[name]; ok || r.ctx.Err() != nil {
			continue
		}
		conn, err := r.listen(w)
		if err != nil {
			r.log.Error(err, "cannot announce on a link; trying again", "link", name)
			r.reopenSoon()
			continue
		}
		l := &link{Link: w, conn: conn}
		r.links[name] = l
		go r.answer(l)
		r.begin(slices.Collect(maps.Keys(*r.owned.Load())), name)
	}
}

// reopenSoon opens what could not be opened, or has failed, a little later.
func (r *Responder) reopenSoon() {
	time.AfterFunc(reopen, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.openAndClose()
	})
}

// SetOurs implements speaker.Announcer.
func (r *Responder) SetOurs([]net.HardwareAddr) {}

// Repeat announces everything that is owned once more.
func (r *Responder) Repeat(...netip.Addr) {
	select {
	case r.again <- struct{}{}:
	default: // it is about to
	}
}

// SetOwned replaces what is owned.
func (r *Responder) SetOwned(owned map[netip.Addr]speaker.Owned) {
	next := map[netip.Addr]speaker.Owned{}
	for address, o := range owned {
		if address.Is4() {
			next[address] = o
		}
	}
	before := *r.owned.Swap(&next)
	r.metrics.Owned.Set(float64(len(next)))

	r.mu.Lock()
	defer r.mu.Unlock()
	var taken []netip.Addr
	for address, o := range next {
		if old, ok := before[address]; !ok || !slices.Equal(old.Interfaces, o.Interfaces) {
			r.count++
			r.takes[address] = r.count
			taken = append(taken, address)
		}
	}
	for address := range before {
		if _, ok := next[address]; !ok {
			delete(r.takes, address)
		}
	}
	r.begin(taken, "")
}

func (l *link) close() {
	if l.closed.CompareAndSwap(false, true) {
		_ = l.conn.Close()
	}
}

// answer answers for what is owned until the link is closed or fails.
func (r *Responder) answer(l *link) {
	defer l.close()
	for {
		req, ok, err := l.conn.Read()
		switch {
		case err != nil:
			if !l.closed.Load() {
				r.log.Error(err, "a link failed; opening it again", "link", l.Name)
				r.reopenSoon()
			}
			return
		case !ok:
			r.metrics.Malformed.Inc()
			continue
		}
		r.metrics.Requests.Inc()
		o, ok := (*r.owned.Load())[req.Target]
		if !ok || !slices.Contains(o.Interfaces, l.Name) {
			continue
		}
		if err := l.conn.Answer(req); err != nil {
			r.log.V(1).Info("an answer was not sent", "link", l.Name, "address", req.Target, "why", err.Error())
			continue
		}
		r.metrics.Answers.Inc()
	}
}
