package speaker

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
)

// recorder notes what the engine tells the announcer.
type recorder struct {
	owned   [][]netip.Addr
	repeats int
}

func (r *recorder) SetLinks([]Link) {}

func (r *recorder) SetOurs([]net.HardwareAddr) {}

func (r *recorder) Repeat(...netip.Addr) { r.repeats++ }

func (r *recorder) SetOwned(m map[netip.Addr]Owned) {
	r.owned = append(r.owned, slices.SortedFunc(maps.Keys(m), netip.Addr.Compare))
}

func TestNothingIsAnnouncedBeforeEverythingIsKnown(t *testing.T) {
	vip := netip.MustParseAddr("192.168.1.240")
	news := map[string]func(*Engine){
		"cluster": func(e *Engine) {
			e.SetSnapshot(Snapshot{Addresses: []Announced{{Address: vip, Candidates: candidates("self")}}})
		},
		"live":  func(e *Engine) { e.SetLive(peers("self")) },
		"links": func(e *Engine) { e.SetLinks([]Link{{Name: "eth0"}}) },
	}
	for _, order := range [][]string{{"cluster", "live", "links"}, {"links", "live", "cluster"}, {"live", "links", "cluster"}} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			announcer := &recorder{}
			var last Report
			e := New("self", logr.Discard(), announcer, func(r Report) { last = r })
			go e.Run(ctx)
			for i, kind := range order {
				if e.Synced() || len(announcer.owned) != 0 {
					t.Errorf("order %v: before %q the engine announced %v", order, kind, announcer.owned)
				}
				news[kind](e)
				synctest.Wait()
				if got, want := e.Synced(), i == len(order)-1; got != want {
					t.Errorf("order %v: synced after %q: got %v, want %v", order, kind, got, want)
				}
			}
			e.SetLive(nil)
			synctest.Wait()
			want := [][]netip.Addr{{vip}, nil}
			if diff := cmp.Diff(want, announcer.owned, byValue); diff != "" {
				t.Errorf("order %v: announced (-want +got):\n%s", order, diff)
			}
			if len(last.Owned) != 0 || last.Live != 0 {
				t.Errorf("order %v: last report %+v, want nothing owned and nobody live", order, last)
			}
			cancel()
			synctest.Wait()
		})
	}
}

func TestANodeThatComesBackIsToldAgainWhoOwnsWhat(t *testing.T) {
	vip := netip.MustParseAddr("192.168.1.240")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		announcer := &recorder{}
		e := New("self", logr.Discard(), announcer, func(Report) {})
		go e.Run(ctx)
		e.SetSnapshot(Snapshot{Addresses: []Announced{{Address: vip, Candidates: candidates("self")}}})
		e.SetLinks([]Link{{Name: "eth0"}})
		for _, step := range []struct {
			live []Peer
			want int
		}{{peers("self", "other"), 0}, {peers("self"), 0}, {peers("self", "other"), 1}, {peers("self", "other"), 1}} {
			e.SetLive(step.live)
			synctest.Wait()
			if announcer.repeats != step.want {
				t.Errorf("alive are %v: repeated %d times, want %d", nodes(step.live), announcer.repeats, step.want)
			}
		}
		cancel()
		synctest.Wait()
	})
}
