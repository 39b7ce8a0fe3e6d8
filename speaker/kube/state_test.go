package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/eligibility"
	"github.com/lbstack/lbstack/internal/lb"
	speakerbgp "github.com/lbstack/lbstack/speaker/bgp"
	"github.com/lbstack/lbstack/speaker/layer2"
)

func TestStatus(t *testing.T) {
	links := []layer2.Link{{Name: "eth0", Hardware: net.HardwareAddr{2, 0, 0, 0, 0, 1}}}
	tests := []struct {
		name   string
		report layer2.Report
		reason string
	}{
		{name: "a draining node reports that", report: layer2.Report{Links: links, Live: 3, Standby: "is drained"}, reason: v1beta1.ReasonStandby},
		{name: "a node that no advertisement selects reports that", report: layer2.Report{Links: links, Live: 3, Unselected: true}, reason: v1beta1.ReasonNotSelected},
		{name: "a speaker with a link announces", report: layer2.Report{Links: links, Live: 3}, reason: v1beta1.ReasonAnnouncing},
		{name: "a node without a link reports that", report: layer2.Report{Live: 3}, reason: v1beta1.ReasonNoInterface},
		{name: "a speaker that lost all others reports that before anything else", report: layer2.Report{Phase: "Isolated", Problems: []string{"bad"}}, reason: v1beta1.ReasonIsolated},
		{name: "a minority is reported before other problems", report: layer2.Report{Links: links, MinoritySince: time.Unix(1, 0), Problems: []string{"bad"}}, reason: v1beta1.ReasonMinority},
		{name: "a minority because of nodes that are not ready comes after what is wrong", report: layer2.Report{Links: links, MinoritySince: time.Unix(1, 0), Alone: true, Problems: []string{"bad"}}, reason: v1beta1.ReasonInvalidAdvertisement},
		{name: "a minority because of nodes that are not ready is reported", report: layer2.Report{Links: links, MinoritySince: time.Unix(1, 0), Alone: true}, reason: v1beta1.ReasonMinority},
		{name: "a link that cannot be announced on is reported", report: layer2.Report{Links: links, Unserved: []layer2.UnservedLink{{Interface: "eth1"}}}, reason: v1beta1.ReasonInterfaceFailed},
		{name: "a link that cannot be announced on comes before what other objects show", report: layer2.Report{Links: links, Problems: []string{"bad"}, Conflicts: []layer2.Conflict{{}}, Unserved: []layer2.UnservedLink{{Interface: "eth1"}}}, reason: v1beta1.ReasonInterfaceFailed},
		{name: "node that announces nothing is named", report: layer2.Report{Links: links, Covered: []layer2.CoveredNode{{Node: "n2", Count: 3, First: netip.MustParseAddr("192.0.2.1")}}}, reason: v1beta1.ReasonPeerNotAnnouncing},
		{name: "an address that is conceded comes before what other objects show", report: layer2.Report{Links: links, Problems: []string{"bad"}, Conceded: layer2.UsedAddresses{Count: 1}}, reason: v1beta1.ReasonAddressConceded},
		{name: "lost datagrams are reported", report: layer2.Report{Links: links, Lost: []lb.NodeName{"n2"}}, reason: v1beta1.ReasonDatagramsLost},
		{name: "foreign hosts are reported", report: layer2.Report{Links: links, Conflicts: []layer2.Conflict{{}}}, reason: v1beta1.ReasonForeignHosts},
		{name: "an invalid advertisement is reported", report: layer2.Report{Links: links, Problems: []string{"bad"}}, reason: v1beta1.ReasonInvalidAdvertisement},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := meta.FindStatusCondition(desiredStatus(&v1beta1.SpeakerState{}, tt.report, RoutingState{}, nil).Conditions, v1beta1.ConditionReady)
			if c == nil || c.Reason != tt.reason || c.Message == "" {
				t.Errorf("condition: got %+v, want reason %s and a message", c, tt.reason)
			}
		})
	}
}

func TestStatus_OfASpeakerThatMissesOthers(t *testing.T) {
	minority := layer2.Report{Live: 1, Missing: []lb.NodeName{"n2", "n3"}, MinoritySince: time.Unix(1, 0)}
	with := func(change func(*layer2.Report)) layer2.Report {
		r := minority
		change(&r)
		return r
	}
	const look = ": check these nodes, and allow UDP on the mesh port (spec.speaker.ports of the LoadBalancerStack) between the nodes"
	const misses = "this speaker receives nothing from 2 of the 3 speakers that should run: the speakers on n2 and n3"
	const receives = misses + ". It goes on announcing its addresses, and takes over an address only if no host answers for it"
	for _, tt := range []struct {
		name   string
		report layer2.Report
		want   string
	}{
		{"in a minority", minority, receives + look},
		{"a link is silent", with(func(r *layer2.Report) { r.Silent = []string{"eth1"} }), receives + ". On eth1 no host answers: the speaker announces nothing there until a host requests one of its addresses" + look},
		{"a link is silent, and the nodes of all others are not ready", with(func(r *layer2.Report) {
			r.Alone, r.Silent, r.Links = true, []string{"eth1"}, []layer2.Link{{Name: "eth0"}, {Name: "eth1"}}
		}), misses + ", whose Nodes are not ready. It goes on announcing its addresses, and takes over an address only if no host answers for it. " +
			"On eth1 no host answers: the speaker announces nothing there until a host requests one of its addresses: repair the nodes, or delete the Nodes that will not return"},
		{"hosts answer for addresses", with(func(r *layer2.Report) {
			r.InUse = layer2.UsedAddresses{Count: 3, First: []layer2.AddressUse{
				{Address: netip.MustParseAddr("10.0.0.1"), Interface: "eth0", Hardware: net.HardwareAddr{2, 0, 0, 0, 0, 7}},
				{Address: netip.MustParseAddr("10.0.0.2"), Interface: "eth0", Hardware: net.HardwareAddr{2, 0, 0, 0, 0, 8}, Node: "n2"},
			}}
		}), receives + ". Other hosts answer for 10.0.0.1 (02:00:00:00:00:07, on the interface eth0), 10.0.0.2 (02:00:00:00:00:08 of the node n2, on the interface eth0), 1 more" + look},
		{"no host answers", with(func(r *layer2.Report) { r.Phase = "Isolated" }),
			"the speaker receives nothing from the speakers on n2 and n3, and no host answers on the interfaces on which it announces addresses. Other nodes may announce its addresses now, " +
				"so it announces nothing until a host on such an interface answers or requests one of its addresses: check the network connection of this node"},
		{"the others receive nothing from it", layer2.Report{Phase: "Isolated", MinoritySince: time.Unix(1, 0), Missing: []lb.NodeName{"n2", "n3"}, Unreached: []lb.NodeName{"n2", "n3"}},
			"nothing that the speaker sends arrives at n2 and n3, although messages from these nodes arrive here. The speaker announces nothing, since these nodes take over its addresses: " +
				"find out what drops the UDP datagrams that this node sends to the mesh port (spec.speaker.ports of the LoadBalancerStack)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := meta.FindStatusCondition(desiredStatus(&v1beta1.SpeakerState{}, tt.report, RoutingState{}, nil).Conditions, v1beta1.ConditionReady)
			if diff := cmp.Diff(tt.want, c.Message); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStatusOfRefusedAddresses(t *testing.T) {
	refused := RefusedAddresses{Count: 3, First: []eligibility.Refusal{{Address: netip.MustParseAddr("1.1.1.1"), Why: `its pool "gold" does not list it`}}}
	got := desiredStatus(&v1beta1.SpeakerState{}, layer2.Report{Links: []layer2.Link{{Name: "eth0"}}}, RoutingState{Refused: refused}, nil)
	c := meta.FindStatusCondition(got.Conditions, v1beta1.ConditionReady)
	if want := `1.1.1.1: its pool "gold" does not list it; 2 more`; c.Reason != v1beta1.ReasonAddressRefused || !strings.Contains(c.Message, want) {
		t.Errorf("got %+v, want %s with %q", c, v1beta1.ReasonAddressRefused, want)
	}
	if got.RefusedAddresses != 3 {
		t.Errorf("got %d refused addresses, want 3", got.RefusedAddresses)
	}
}

func TestStatus_FailedCheckpointComesBeforeFailuresOfOtherObjects(t *testing.T) {
	r := layer2.Report{Links: []layer2.Link{{Name: "eth0"}}, Problems: []string{"bad"}, Conflicts: []layer2.Conflict{{}}}
	c := meta.FindStatusCondition(desiredStatus(&v1beta1.SpeakerState{}, r, RoutingState{}, errors.New("read-only")).Conditions, v1beta1.ConditionReady)
	if c.Reason != v1beta1.ReasonCheckpointFailed {
		t.Errorf("got %+v, want %s", c, v1beta1.ReasonCheckpointFailed)
	}
}

func TestStatus_FailedCheckpointIsReported(t *testing.T) {
	readOnly := &fs.PathError{Op: "open", Path: "/var/lib/lbstack/speaker-n1.json.new", Err: syscall.EROFS}
	r := layer2.Report{Links: []layer2.Link{{Name: "eth0"}}}
	c := meta.FindStatusCondition(desiredStatus(&v1beta1.SpeakerState{}, r, RoutingState{}, readOnly).Conditions, v1beta1.ConditionReady)
	if c.Reason != v1beta1.ReasonCheckpointFailed || !strings.Contains(c.Message, "/var/lib/lbstack/speaker-n1.json.new is on a read-only file system") {
		t.Errorf("got %+v, want %s with the file and what is wrong with it", c, v1beta1.ReasonCheckpointFailed)
	}
	r.Phase = "Isolated"
	c = meta.FindStatusCondition(desiredStatus(&v1beta1.SpeakerState{}, r, RoutingState{}, readOnly).Conditions, v1beta1.ConditionReady)
	if c.Reason != v1beta1.ReasonIsolated {
		t.Errorf("isolated speaker: got the reason %s, want the one that weighs more", c.Reason)
	}
}

func TestStatusListsOwnedAddressesUpToTheBound(t *testing.T) {
	var r layer2.Report
	a := netip.MustParseAddr("10.0.0.0")
	for range maxListedAddresses + 1 {
		r.Owned = append(r.Owned, layer2.OwnedAddress{Address: a, Serving: layer2.Serving{Interfaces: []string{"eth0"}}, Since: time.Unix(1, 5), Epoch: math.MaxUint64})
		a = a.Next()
	}
	got := desiredStatus(&v1beta1.SpeakerState{}, r, RoutingState{}, nil)
	if len(got.Addresses) != maxListedAddresses || got.AddressCount != maxListedAddresses+1 {
		t.Errorf("got %d listed and a count of %d, want %d and %d", len(got.Addresses), got.AddressCount, maxListedAddresses, maxListedAddresses+1)
	}
	first := got.Addresses[0]
	if diff := cmp.Diff([]v1beta1.InterfaceName{"eth0"}, first.Interfaces); diff != "" || first.Address != "10.0.0.0" || first.Epoch != math.MaxInt64 {
		t.Errorf("first address %+v, want 10.0.0.0 on eth0 and the highest epoch there is", first)
	}
}

func TestStatusHasAPhaseOfTheAPI(t *testing.T) {
	for published, want := range map[string]v1beta1.SpeakerPhase{"": "", "Starting": "", "Active": "Active", "Draining": "Draining", "Isolated": "Isolated"} {
		if got := desiredStatus(&v1beta1.SpeakerState{}, layer2.Report{Phase: published}, RoutingState{}, nil).Phase; got != want {
			t.Errorf("phase %q: got %q, want %q", published, got, want)
		}
	}
}

func TestASpeakerThatWasStoppedIsNotReady(t *testing.T) {
	s := desiredStatus(&v1beta1.SpeakerState{}, layer2.Report{Phase: "Active", Links: []layer2.Link{{Name: "eth0"}}}, RoutingState{}, nil)
	setStopped(&s)
	if c := meta.FindStatusCondition(s.Conditions, v1beta1.ConditionReady); s.Phase != v1beta1.SpeakerStopped || c.Status != metav1.ConditionFalse || c.Reason != v1beta1.ReasonStopped {
		t.Errorf("got the phase %s and %+v", s.Phase, c)
	}
}

// When a speaker was stopped is read from the transition of Ready.
func TestStop_NotesWhen(t *testing.T) {
	before := metav1.NewTime(time.Unix(1, 0))
	s := v1beta1.SpeakerStateStatus{Conditions: []metav1.Condition{{
		Type: v1beta1.ConditionReady, Status: metav1.ConditionFalse, Reason: "NoLink", LastTransitionTime: before,
	}}}
	setStopped(&s)
	c := meta.FindStatusCondition(s.Conditions, v1beta1.ConditionReady)
	if c.LastTransitionTime.Equal(&before) {
		t.Errorf("it was not ready before: got the time %s of that, want when it was stopped", c.LastTransitionTime)
	}
	c.LastTransitionTime = before
	if setStopped(&s); !meta.FindStatusCondition(s.Conditions, v1beta1.ConditionReady).LastTransitionTime.Equal(&before) {
		t.Error("it was stopped before: got another time, want that one")
	}
}

func TestStatusListsEachConflictOnceUpToTheBound(t *testing.T) {
	var list []layer2.Conflict
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 9}
	a := netip.MustParseAddr("10.0.0.0")
	for i := range maxConflicts + 1 {
		c := layer2.Conflict{Address: a, Interface: "eth0", Hardware: mac, Announced: i == 0, Since: time.Unix(1, 5)}
		if i == 1 {
			c.Node = "node2"
		}
		list = append(list, c, layer2.Conflict{Address: a, Interface: "eth1", Hardware: mac})
		a = a.Next()
	}
	got := desiredStatus(&v1beta1.SpeakerState{}, layer2.Report{Links: []layer2.Link{{Name: "eth0"}}, Conflicts: list}, RoutingState{}, nil)
	if len(got.Conflicts) != maxConflicts {
		t.Fatalf("got %d conflicts, want %d", len(got.Conflicts), maxConflicts)
	}
	if got.Conflicts[1].HostNode != "node2" {
		t.Errorf("got %+v, want one with the node that has the address", got.Conflicts[1])
	}
	want := v1beta1.SpeakerConflict{Address: "10.0.0.0", Interface: "eth0", HardwareAddress: mac.String(), Announced: true, Since: metav1.NewTime(time.Unix(1, 0))}
	if diff := cmp.Diff(want, got.Conflicts[0]); diff != "" {
		t.Errorf("first conflict (-want +got):\n%s", diff)
	}
	const sentence = "other hosts use addresses that this node owns: 10.0.0.0 (used by 02:00:00:00:00:09 on eth0; announced nevertheless), " +
		"10.0.0.1 (used by the kernel of the node node2 (02:00:00:00:00:09) on eth0; not announced), 10.0.0.2 (used by 02:00:00:00:00:09 on eth0; not announced) and 253 more: " +
		"if another load balancer, such as MetalLB, announces the addresses from nodes, turn that load balancer off; otherwise give these hosts other addresses, or exclude the addresses in the pool. If kube-proxy has added the addresses to interfaces of nodes, set ipvs.strictARP of kube-proxy"
	if c := meta.FindStatusCondition(got.Conditions, v1beta1.ConditionReady); c.Message != sentence {
		t.Errorf("message: got  %s\nwant %s", c.Message, sentence)
	}
}

func TestStatusIsOneThatTheAPIServerTakes(t *testing.T) {
	var r layer2.Report
	var subnets []netip.Prefix
	for i := range 100 {
		subnets = append(subnets, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i)}), 16))
	}
	for i := range 1000 {
		r.Links = append(r.Links, layer2.Link{Name: fmt.Sprint("eth", i), Prefixes: subnets, MTU: 9000})
		r.Problems = append(r.Problems, strings.Repeat("bad", 100))
		r.Missing = append(r.Missing, lb.NodeName(fmt.Sprint("node", i)))
	}
	got := desiredStatus(&v1beta1.SpeakerState{}, r, RoutingState{}, nil)
	if n := len(got.Conditions[0].Message); n > 32768 || len(got.Interfaces) > 256 || len(got.MissingSpeakers) != 256 {
		t.Errorf("got a message of %d bytes, %d interfaces and %d missing speakers, want at most 32768, 256 and 256", n, len(got.Interfaces), len(got.MissingSpeakers))
	}
	if mtu := got.Interfaces[0].MTU; mtu != 9000 {
		t.Errorf("got an MTU of %d, want 9000", mtu)
	}
	if first := got.Interfaces[0].Subnets; len(first) != 32 || first[31] != "10.31.0.0/16" {
		t.Errorf("subnets: got %v, want the first 32", first)
	}
}

func TestLongStatesAreWrittenLessOften(t *testing.T) {
	for entries, want := range map[int]time.Duration{0: writeInterval, 100: writeInterval, 1100: writeInterval + time.Second, 20000: longestPause} {
		w := StateWriter{entries: entries}
		if got := w.pauseLength(); got != want {
			t.Errorf("%d entries: got %s from one write to the next, want %s", entries, got, want)
		}
	}
}

// The controller reports of a speaker in a minority in its state, which it reads until it is in
// the majority again.
func TestStateWriter_ReadsMinorityReportOfTheController(t *testing.T) {
	state := &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
	s := newServer(t, state)
	synctest.Test(t, func(t *testing.T) {
		var got []time.Time
		w := NewStateWriter(s, s, "n1", logr.Discard())
		w.Partitioned = func(since time.Time) { got = append(got, since) }
		reads := func() (count int) {
			for _, question := range s.questions() {
				if question == "get SpeakerState" {
					count++
				}
			}
			return count
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = w.Start(ctx) }()
		defer func() { cancel(); <-done }()
		since := time.Now()
		w.SetReport(layer2.Report{Live: 1, Missing: []lb.NodeName{"n2", "n3"}, MinoritySince: since})
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if len(got) < 2 || slices.ContainsFunc(got, func(at time.Time) bool { return !at.IsZero() }) || reads() < 2 {
			t.Errorf("got reports about %v, want at least 2, of no partition", got)
		}
		current := &v1beta1.SpeakerState{}
		if err := s.Get(ctx, client.ObjectKey{Name: "n1"}, current); err != nil {
			t.Fatal(err)
		}
		if reported := current.Status.MinoritySince; reported == nil || !reported.Time.Equal(since) {
			t.Fatalf("got minoritySince %v, want %v", reported, since)
		}
		current.Status.Conditions = append(current.Status.Conditions, metav1.Condition{
			Type: v1beta1.ConditionPartitioned, Status: metav1.ConditionTrue, Reason: v1beta1.ReasonLargerGroup, LastTransitionTime: metav1.NewTime(since),
		})
		if err := s.Status().Update(ctx, current); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second) // reads are up to half an interval late, by chance
		synctest.Wait()
		if last := got[len(got)-1]; !last.Equal(since) {
			t.Errorf("got a report about %v, want one about the minority since %v", last, since)
		}
		w.SetReport(layer2.Report{Live: 3})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		count := len(got)
		reads()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if n := reads(); n > 0 || len(got) > count {
			t.Errorf("in the majority: got %d reads and %d reports, want none", n, len(got)-count)
		}
	})
}

// BenchmarkRouteChange is what one route that comes or goes costs this program in what it
// reports, the API server aside.
func BenchmarkRouteChange(b *testing.B) {
	for _, count := range []int{100, 1000, 5000} {
		b.Run(fmt.Sprintf("%d routes", count), func(b *testing.B) {
			var all []netip.Prefix
			for i := range count {
				all = append(all, prefixOf(i))
			}
			whole, change := map[bgp.PeerName]speakerbgp.RouteChanges{}, map[bgp.PeerName]speakerbgp.RouteChanges{}
			for _, peer := range []bgp.PeerName{"one", "two", "three", "four"} {
				whole[peer] = speakerbgp.RouteChanges{Whole: true, Announced: all}
			}
			var published reportedRoutes
			published.noteChanges(whole)
			for i := 0; b.Loop(); i++ {
				for peer := range whole {
					if n := (speakerbgp.RouteChanges{Withdrawn: all[:1]}); i%2 == 0 {
						change[peer] = n
					} else {
						change[peer] = speakerbgp.RouteChanges{Announced: n.Withdrawn}
					}
				}
				published.noteChanges(change)
				slice := &v1beta1.SpeakerRouteSlice{Node: "n1", Routes: published.routesOfSlice(published.place[all[1]])}
				state := &v1beta1.SpeakerState{}
				state.Status = desiredStatus(state, layer2.Report{}, RoutingState{}, nil)
				state.Status.RouteCount = int32(published.countPrefixes())
				for _, object := range []any{slice, state} {
					if _, err := json.Marshal(object); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
