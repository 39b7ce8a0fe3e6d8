package layer2

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// burst is when a take-over is announced, from its beginning: at once; again
// soon, because one frame may be lost; and then spread, because Linux ignores an
// update within a second of the last one (neigh locktime) and switches may still
// be learning.
var burst = [...]time.Duration{0, 50 * time.Millisecond, 200 * time.Millisecond, 1100 * time.Millisecond, 2200 * time.Millisecond, 5 * time.Second}

const (
	// repeatEvery is how often everything is announced anew, give or take
	// repeatJitter: switches forget a MAC that sends nothing (300 s by default),
	// bursts get lost, and a neighbour may have learned something else.
	repeatEvery, repeatJitter = 40 * time.Second, 10 * time.Second
	// pace is the time between two addresses of a repetition: with thousands of
	// them the network must not see one great burst.
	pace = 2 * time.Millisecond
)

// repeat announces what is owned now and then, and when it is asked to.
func (r *Responder) repeat() {
	for {
		timer := time.NewTimer(repeatEvery - repeatJitter + rand.N(2*repeatJitter))
		select {
		case <-r.ctx.Done():
			timer.Stop()
			return
		case <-r.again:
			timer.Stop()
		case <-timer.C:
		}
		r.repeatOnce()
	}
}

func (r *Responder) repeatOnce() {
	r.mu.Lock()
	takes := maps.Clone(r.takes)
	r.mu.Unlock()
	for _, address := range slices.SortedFunc(maps.Keys(takes), netip.Addr.Compare) {
		r.announce(address, takes[address], "")
		timer := time.NewTimer(pace)
		select {
		case <-r.ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// begin announces addresses, by the schedule, on one link or on all. The caller
// holds the lock. An address that is lost, or taken again, while it lasts is
// left out from then on.
func (r *Responder) begin(addresses []netip.Addr, only string) {
	if len(addresses) == 0 {
		return
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	takes := make([]uint64, len(addresses))
	for i, a := range addresses {
		takes[i] = r.takes[a]
	}
	go r.run(addresses, takes, only)
}

func (r *Responder) run(addresses []netip.Addr, takes []uint64, only string) {
	start := time.Now()
	for _, at := range burst {
		timer := time.NewTimer(at - time.Since(start))
		select {
		case <-r.ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		announced := 0
		for i, address := range addresses {
			announced += r.announce(address, takes[i], only)
		}
		if announced == 0 && at > 0 {
			return // none of them is owned any more
		}
	}
}

// announce announces an address on its links if the take-over is still the
// current one, and returns on how many.
func (r *Responder) announce(address netip.Addr, take uint64, only string) (links int) {
	for _, l := range r.linksFor(address, take, only) {
		if err := l.conn.Announce(address); err != nil {
			r.log.V(1).Info("an announcement was not sent", "link", l.Name, "address", address, "why", err.Error())
			continue
		}
		r.metrics.Announcements.Inc()
		links++
	}
	return links
}

func (r *Responder) linksFor(address netip.Addr, take uint64, only string) []*link {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.takes[address] != take {
		return nil
	}
	var links []*link
	for _, name := range (*r.owned.Load())[address].Interfaces {
		if l, ok := r.links[name]; ok && (only == "" || only == name) {
			links = append(links, l)
		}
	}
	return links
}
