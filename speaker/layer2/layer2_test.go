package layer2

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lbstack/lbstack/internal/arp"
	"github.com/lbstack/lbstack/speaker"
)

var (
	vip     = netip.MustParseAddr("192.168.1.240")
	byValue = cmp.Comparer(func(x, y netip.Addr) bool { return x == y })
)

// wire is a link's connection that notes what is sent and when.
type wire struct {
	start time.Time
	in    chan arp.Request
	done  chan struct{}
	once  sync.Once

	mu        sync.Mutex
	announced []time.Duration
	answered  []netip.Addr
}

func newWire() *wire {
	return &wire{start: time.Now(), in: make(chan arp.Request), done: make(chan struct{})}
}

func (w *wire) Read() (arp.Request, bool, error) {
	select {
	case req := <-w.in:
		return req, req.Target.IsValid(), nil
	case <-w.done:
		return arp.Request{}, false, net.ErrClosed
	}
}

func (w *wire) Answer(req arp.Request) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answered = append(w.answered, req.Target)
	return nil
}

func (w *wire) Announce(netip.Addr) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.announced = append(w.announced, time.Since(w.start))
	return nil
}

// count returns how often something was announced.
func (w *wire) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.announced)
}

func (w *wire) Close() error { w.fail(); return nil }

// fail ends Read with an error, as a socket whose interface is gone.
func (w *wire) fail() { w.once.Do(func() { close(w.done) }) }

func responder(t *testing.T, wires map[string]*wire) *Responder {
	t.Helper()
	return New(t.Context(), logr.Discard(), func(l speaker.Link) (Conn, error) {
		if w, ok := wires[l.Name]; ok {
			return w, nil
		}
		return nil, errors.New("no such link")
	}, NewMetrics(prometheus.NewRegistry()))
}

func owns(interfaces ...string) map[netip.Addr]speaker.Owned {
	return map[netip.Addr]speaker.Owned{vip: {Interfaces: interfaces}}
}

func ms(list ...int) []time.Duration {
	var out []time.Duration
	for _, n := range list {
		out = append(out, time.Duration(n)*time.Millisecond)
	}
	return out
}

func TestAnnouncementSchedule(t *testing.T) {
	eth0 := []speaker.Link{{Name: "eth0", Index: 2}}
	tests := []struct {
		name string
		play func(*Responder)
		want []time.Duration
	}{
		{name: "a take-over is announced at once and again", play: func(r *Responder) {
			r.SetLinks(eth0)
			r.SetOwned(owns("eth0"))
		}, want: ms(0, 50, 200, 1100, 2200, 5000)},
		{name: "an address that is lost is announced no more", play: func(r *Responder) {
			r.SetLinks(eth0)
			r.SetOwned(owns("eth0"))
			time.Sleep(300 * time.Millisecond)
			r.SetOwned(nil)
		}, want: ms(0, 50, 200)},
		{name: "an address that is taken again begins anew, once", play: func(r *Responder) {
			r.SetLinks(eth0)
			r.SetOwned(owns("eth0"))
			time.Sleep(100 * time.Millisecond)
			r.SetOwned(nil)
			r.SetOwned(owns("eth0"))
		}, want: ms(0, 50, 100, 150, 300, 1200, 2300, 5100)},
		{name: "saying the same again announces nothing", play: func(r *Responder) {
			r.SetLinks(eth0)
			r.SetOwned(owns("eth0"))
			time.Sleep(10 * time.Second)
			r.SetOwned(owns("eth0"))
		}, want: ms(0, 50, 200, 1100, 2200, 5000)},
		{name: "a link that comes up is told what is owned", play: func(r *Responder) {
			r.SetOwned(owns("eth0"))
			time.Sleep(10 * time.Second)
			r.SetLinks(eth0)
		}, want: ms(10000, 10050, 10200, 11100, 12200, 15000)},
		{name: "a link that the address is not for is told nothing", play: func(r *Responder) {
			r.SetLinks(eth0)
			r.SetOwned(owns("eth1"))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire()
				tt.play(responder(t, map[string]*wire{"eth0": w}))
				time.Sleep(15 * time.Second) // the burst is over, nothing is repeated yet
				w.mu.Lock()
				defer w.mu.Unlock()
				if diff := cmp.Diff(tt.want, w.announced); diff != "" {
					t.Errorf("announced at (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestAnswersForWhatIsOwnedOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		r := responder(t, map[string]*wire{"eth0": w})
		r.SetLinks([]speaker.Link{{Name: "eth0"}})
		ask := func(a netip.Addr) { w.in <- arp.Request{Target: a}; synctest.Wait() }
		ask(vip)
		r.SetOwned(owns("eth0"))
		ask(vip)
		ask(netip.MustParseAddr("192.168.1.241"))
		ask(netip.Addr{}) // malformed
		ask(vip)
		r.SetOwned(nil)
		ask(vip)
		if diff := cmp.Diff([]netip.Addr{vip, vip}, w.answered, byValue); diff != "" {
			t.Errorf("answered (-want +got):\n%s", diff)
		}
	})
}

func TestWhatIsOwnedIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		r := responder(t, map[string]*wire{"eth0": w})
		r.SetLinks([]speaker.Link{{Name: "eth0", Index: 2}})
		r.SetOwned(owns("eth0"))
		time.Sleep(10 * time.Second)
		r.Repeat()
		synctest.Wait()
		if got, want := w.count(), len(burst)+1; got != want {
			t.Errorf("when asked to repeat: got %d announcements, want %d", got, want)
		}
		time.Sleep(10 * time.Minute)
		w.mu.Lock()
		repeated := w.announced[len(burst)+1:]
		w.mu.Unlock()
		before := 10 * time.Second
		for _, at := range repeated {
			if pause := at - before; pause < repeatEvery-repeatJitter || pause > repeatEvery+repeatJitter+time.Second {
				t.Errorf("repeated after %s, want %s give or take %s", pause, repeatEvery, repeatJitter)
			}
			before = at
		}
		if len(repeated) < 11 {
			t.Errorf("repeated %d times in ten minutes, want it each %s", len(repeated), repeatEvery)
		}
		r.SetOwned(nil)
		sent := w.count()
		time.Sleep(10 * time.Minute)
		if got := w.count() - sent; got != 0 {
			t.Errorf("announced %d times what is owned no more", got)
		}
	})
}

func TestAFailedLinkIsOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var current atomic.Pointer[wire]
		r := New(t.Context(), logr.Discard(), func(speaker.Link) (Conn, error) {
			if w := current.Load(); w != nil {
				return w, nil
			}
			return nil, errors.New("no such link yet")
		}, NewMetrics(prometheus.NewRegistry()))
		r.SetOwned(owns("eth0"))
		r.SetLinks([]speaker.Link{{Name: "eth0"}})
		synctest.Wait()
		for range 2 {
			w := newWire()
			current.Store(w)
			time.Sleep(reopen + 15*time.Second)
			if got := w.count(); got < len(burst) {
				t.Errorf("announced %d times on the new connection, want %d", got, len(burst))
			}
			w.fail()
			synctest.Wait()
		}
	})
}
