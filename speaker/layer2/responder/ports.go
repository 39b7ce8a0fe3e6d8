package responder

import (
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/lbstack/lbstack/internal/backoff"
	"github.com/lbstack/lbstack/internal/l2net/packet"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// reopenBackoff spaces the attempts to open links that failed or could not be opened. After a time without a
// failure, which is twice the longest wait, the next wait is the shortest one again.
var reopenBackoff = backoff.Exponential{First: time.Second, Last: 30 * time.Second}

// portKey identifies a port by its link and its family.
type portKey struct {
	link string
	v6   bool
}

// port is an open connection to a link in one family.
type port struct {
	layer2.Link
	v6     bool
	mac    packet.MAC
	conn   Conn
	closed atomic.Bool
	// answering is odd while an answer is being sent.
	answering atomic.Uint64
	watched   []netip.Addr // addresses about which the connection reads messages; the lock of the responder guards them
	// Only the goroutine that reads the port uses these limiters.
	answers, notices, strangers *rate.Limiter
}

func (p *port) close() {
	if p.closed.CompareAndSwap(false, true) {
		_ = p.conn.Close()
	}
}

// waitForAnswer waits until an answer that is being sent has left. The wait takes microseconds, since
// sending does not block.
func (p *port) waitForAnswer() {
	for n := p.answering.Load(); n%2 == 1 && p.answering.Load() == n; {
		runtime.Gosched()
	}
}

// SetLinks implements layer2.Announcer.
func (r *Responder) SetLinks(links []layer2.Link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wanted, r.local = links, localAddresses(links)
	r.rememberMACs()
	r.openAndClosePorts()
}

// openAndClosePorts makes the ports match the wanted links. The caller holds the lock.
func (r *Responder) openAndClosePorts() {
	wanted := map[portKey]layer2.Link{}
	for _, l := range r.wanted {
		if l.IPv4 && r.options.ARP != nil {
			wanted[portKey{link: l.Name}] = l
		}
		if l.LinkLocal.IsValid() && r.options.NDP != nil {
			wanted[portKey{link: l.Name, v6: true}] = l
		}
	}
	for key, p := range r.ports {
		if now, ok := wanted[key]; ok && !p.closed.Load() && p.matches(now) {
			continue
		}
		r.dropped += p.conn.Dropped()
		p.close()
		delete(r.ports, key)
	}
	for key := range r.unopened {
		if _, ok := wanted[key]; !ok {
			r.noteOpenResult(key, nil)
		}
	}
	for key, l := range wanted {
		if _, ok := r.ports[key]; !ok && r.ctx.Err() == nil {
			r.openPort(key, l)
		}
	}
	r.watchPorts()
}

// matches reports whether the port can still be used for its link. The parameter now is the present state of
// the link.
func (p *port) matches(now layer2.Link) bool {
	return now.Index == p.Index && slices.Equal(now.Hardware, p.Hardware) && (!p.v6 || now.LinkLocal == p.LinkLocal)
}

// openPort opens a port and begins to announce the owned addresses on it. The caller holds the
// lock.
func (r *Responder) openPort(key portKey, l layer2.Link) {
	listen := r.options.ARP
	if key.v6 {
		listen = r.options.NDP
	}
	mac, err := packet.ToMAC(l.Hardware)
	var conn Conn
	if err == nil {
		conn, err = listen(l)
	}
	if err != nil {
		if r.noteOpenResult(key, err) {
			r.log.Error(err, "cannot announce addresses on an interface; trying again", "link", l.Name)
		}
		r.scheduleReopen()
		return
	}
	r.noteOpenResult(key, nil)
	p := &port{Link: l, v6: key.v6, mac: mac, conn: conn, answers: rate.NewLimiter(answerRate, answerBurst), notices: rate.NewLimiter(noticeRate, noticeRate), strangers: rate.NewLimiter(strangerRate, strangerBurst)}
	r.ports[key] = p
	r.watchPort(p)
	go r.readPort(p)
	r.startPort(p)
}

// noteOpenResult records why a port could not be opened; nil: the port is open, or not wanted any more. It
// reports whether the reason has changed. The caller holds the lock.
func (r *Responder) noteOpenResult(key portKey, err error) (changed bool) {
	before, failed := r.unopened[key]
	switch {
	case err == nil:
		delete(r.unopened, key)
	default:
		r.unopened[key] = err
	}
	changed = failed != (err != nil) || failed && before.Error() != err.Error()
	if changed {
		r.requestReport()
	}
	return changed
}

// unservedLinks returns the links that could not be opened, with the families for which that failed.
func (r *Responder) unservedLinks() (list []layer2.UnservedLink) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, err := range r.unopened {
		list = append(list, layer2.UnservedLink{Interface: key.link, IPv6: key.v6, Problem: err.Error()})
	}
	slices.SortFunc(list, func(x, y layer2.UnservedLink) int {
		if c := strings.Compare(x.Interface, y.Interface); c != 0 || x.IPv6 == y.IPv6 {
			return c
		}
		if x.IPv6 {
			return 1
		}
		return -1
	})
	return list
}

// startPort begins to announce and to probe on a port that was opened. The caller holds the
// lock.
func (r *Responder) startPort(p *port) {
	var announce, probe []*addressEntry
	for _, e := range r.entries {
		switch {
		case !p.servesEntry(e):
		case e.phase == phaseAnnounced && !e.isCovering():
			announce = append(announce, e)
		case e.phase == phaseProbed:
			probe = append(probe, e)
		}
	}
	if len(announce) > 0 {
		go r.runBurst(r.beginBurst(announce, p))
	}
	r.beginProbes(probe)
}

// servesEntry reports whether an address is served on the port.
func (p *port) servesEntry(e *addressEntry) bool {
	if e.address.Is6() != p.v6 {
		return false
	}
	return slices.ContainsFunc(e.places, func(at servedLink) bool { return at.link == p.Name })
}

// watchPorts makes all ports receive messages about the addresses that are served or asked about there. The
// caller holds the lock.
func (r *Responder) watchPorts() {
	for _, p := range r.ports {
		r.watchPort(p)
	}
}

func (r *Responder) watchPort(p *port) {
	addresses := []netip.Addr{}
	for _, e := range r.entries {
		if p.servesEntry(e) {
			addresses = append(addresses, e.address)
		}
	}
	addresses = append(addresses, r.questionAddresses(p)...)
	slices.SortFunc(addresses, netip.Addr.Compare)
	addresses = slices.Compact(addresses)
	if p.watched != nil && slices.Equal(addresses, p.watched) {
		return
	}
	p.watched = addresses
	if err := p.conn.Watch(addresses); err != nil && !p.closed.Load() {
		r.log.Error(err, "setting the packet filter of an interface failed, so that the speaker may miss requests; trying again", "link", p.Name)
		p.watched = nil
		r.scheduleReopen()
	}
}

// scheduleReopen starts a timer, unless it runs already. The timer opens the ports that failed or could not
// be opened. Each failure makes the wait longer. The caller holds the lock.
func (r *Responder) scheduleReopen() {
	if r.reopens {
		return
	}
	if time.Since(r.failedAt) > 2*reopenBackoff.Last {
		r.failures = 0
	}
	r.reopens, r.failures, r.failedAt = true, r.failures+1, time.Now()
	time.AfterFunc(reopenBackoff.Wait(r.failures), func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.reopens = false
		r.openAndClosePorts()
	})
}

// countDropped returns how many packets were lost since the start because they were not read in time.
func (r *Responder) countDropped() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.dropped
	for _, p := range r.ports {
		all += p.conn.Dropped()
	}
	return float64(all)
}
