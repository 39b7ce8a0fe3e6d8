package kube

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bgp"
	"github.com/lbstack/lbstack/internal/lb"
	speakerbgp "github.com/lbstack/lbstack/speaker/bgp"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// server is an API server that counts what is asked of it, and may fail.
type server struct {
	client.WithWatch
	mu    sync.Mutex
	asked []string
	fails error
}

// questions returns what was asked, and forgets it.
func (s *server) questions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

func newServer(t *testing.T, objects ...client.Object) *server {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(v1beta1.AddToScheme(scheme), corev1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	s := &server{}
	note := func(verb string, object any) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = append(s.asked, verb+" "+strings.TrimPrefix(fmt.Sprintf("%T", object), "*v1beta1."))
		return s.fails
	}
	s.WithWatch = fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1beta1.SpeakerState{}).WithObjects(objects...).
		WithIndex(&v1beta1.SpeakerRouteSlice{}, "node", func(o client.Object) []string { return []string{string(o.(*v1beta1.SpeakerRouteSlice).Node)} }).
		WithInterceptorFuncs(interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				return errors.Join(note("get", o), c.Get(ctx, key, o, opts...))
			},
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
				return errors.Join(note("list", list), c.List(ctx, list, opts...))
			},
			Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				if err := note("create", o); err != nil {
					return err
				}
				return c.Create(ctx, o, opts...)
			},
			Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
				if err := note("update", o); err != nil {
					return err
				}
				return c.Update(ctx, o, opts...)
			},
			Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
				if err := note("delete", o); err != nil {
					return err
				}
				return c.Delete(ctx, o, opts...)
			},
			SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
				if err := note("update", o); err != nil {
					return err
				}
				return c.SubResource(sub).Update(ctx, o, opts...)
			},
		}).Build()
	return s
}

// has returns the routes of all slices, by the slices' names.
func (s *server) has(t *testing.T) map[string][]string {
	t.Helper()
	var list v1beta1.SpeakerRouteSliceList
	if err := s.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	lines := map[string][]string{}
	for _, slice := range list.Items {
		for _, r := range slice.Routes {
			lines[slice.Name] = append(lines[slice.Name], fmt.Sprint(r.Prefix, " ", r.Peers))
		}
	}
	return lines
}

func TestRouteSlices(t *testing.T) {
	one, two := prefixOf(1), prefixOf(2)
	stale := &v1beta1.SpeakerRouteSlice{ObjectMeta: metav1.ObjectMeta{Name: "n1-7"}, Node: "n1", Routes: []v1beta1.SpeakerBGPRoute{{Prefix: "198.51.0.9/32"}}}
	other := &v1beta1.SpeakerRouteSlice{ObjectMeta: metav1.ObjectMeta{Name: "n2-0"}, Node: "n2", Routes: []v1beta1.SpeakerBGPRoute{{Prefix: "198.51.0.9/32"}}}
	s := newServer(t, stale, other)
	w := &routeSliceWriter{client: s, self: "n1"}
	owner := []metav1.OwnerReference{{Kind: "Node", Name: "n1", UID: "u"}}
	for _, step := range []struct {
		name    string
		changes speakerbgp.RouteChanges
		do      func()
		fails   bool
		asked   []string
		want    map[string][]string // of n1
	}{
		{name: "what a speaker left that is no more goes", changes: speakerbgp.RouteChanges{Whole: true}, asked: []string{"list SpeakerRouteSliceList", "delete SpeakerRouteSlice"}},
		{name: "nothing new costs nothing", asked: nil},
		{name: "a route", changes: speakerbgp.RouteChanges{Announced: []netip.Prefix{one}}, asked: []string{"create SpeakerRouteSlice"}, want: map[string][]string{"n1-0": {"198.51.0.1/32 [tor]"}}},
		{name: "another one", changes: speakerbgp.RouteChanges{Announced: []netip.Prefix{two}}, asked: []string{"update SpeakerRouteSlice"},
			want: map[string][]string{"n1-0": {"198.51.0.1/32 [tor]", "198.51.0.2/32 [tor]"}}},
		{name: "it goes", changes: speakerbgp.RouteChanges{Withdrawn: []netip.Prefix{one}}, asked: []string{"update SpeakerRouteSlice"}, want: map[string][]string{"n1-0": {"198.51.0.2/32 [tor]"}}},
		{name: "the API server is away", changes: speakerbgp.RouteChanges{Announced: []netip.Prefix{one}}, do: func() { s.fails = errors.New("away") }, fails: true, asked: []string{"update SpeakerRouteSlice"},
			want: map[string][]string{"n1-0": {"198.51.0.2/32 [tor]"}}},
		{name: "it is back", do: func() { s.fails = nil }, asked: []string{"list SpeakerRouteSliceList", "update SpeakerRouteSlice"},
			want: map[string][]string{"n1-0": {"198.51.0.1/32 [tor]", "198.51.0.2/32 [tor]"}}},
		{name: "somebody deletes one, and it is looked", do: func() {
			_ = s.WithWatch.Delete(context.Background(), &v1beta1.SpeakerRouteSlice{ObjectMeta: metav1.ObjectMeta{Name: "n1-0"}})
			w.invalidate()
		}, asked: []string{"delete SpeakerRouteSlice", "list SpeakerRouteSliceList", "create SpeakerRouteSlice"}, want: map[string][]string{"n1-0": {"198.51.0.1/32 [tor]", "198.51.0.2/32 [tor]"}}},
		{name: "all go", changes: speakerbgp.RouteChanges{Whole: true}, asked: []string{"delete SpeakerRouteSlice"}},
	} {
		t.Run(step.name, func(t *testing.T) {
			s.asked = nil
			if step.do != nil {
				step.do()
			}
			w.reported.noteChanges(map[bgp.PeerName]speakerbgp.RouteChanges{"tor": step.changes})
			if err := w.writeSlices(t.Context(), owner); (err != nil) != step.fails {
				t.Fatalf("got error %v, want one: %t", err, step.fails)
			}
			if diff := cmp.Diff(step.asked, s.asked); diff != "" {
				t.Errorf("what the API server was asked (-want +got):\n%s", diff)
			}
			fails := s.fails
			s.fails = nil
			got := s.has(t)
			s.fails = fails
			if got["n2-0"] == nil {
				t.Error("the slice of another node is gone")
			}
			delete(got, "n2-0")
			if len(got)+len(step.want) > 0 {
				if diff := cmp.Diff(step.want, got); diff != "" {
					t.Errorf("slices (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestSliceName(t *testing.T) {
	a, b := strings.Repeat("a", 124), strings.Repeat("b", 124)
	for _, tt := range []struct{ name, node, want string }{
		{"short name", "n1", "n1-511"},
		{"longest name that fits", a + "." + b, a + "." + b + "-511"},
		{"longer name", a + "cc" + b, a + "x" + b + "-511"},
		{"longer name with dots at the cut", a[1:] + ".cc." + b[1:], a[1:] + ".x." + b[1:] + "-511"},
		{"longest name of a node", a + "ccccc" + b, a + "x" + b + "-511"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := sliceName(lb.NodeName(tt.node), maxSlices-1)
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if wrong := validation.IsDNS1123Subdomain(got); len(wrong) > 0 {
				t.Errorf("%q: %v", got, wrong)
			}
		})
	}
}

// TestRouteSlices_Bounds: what the admission policy and the schema refuse is not written.
func TestRouteSlices_Bounds(t *testing.T) {
	s := newServer(t)
	w := &routeSliceWriter{client: s, self: "n1"}
	w.reported.noteChanges(nil)
	for i := range maxSlices + 1 { // as if each had been full
		w.reported.slices = append(w.reported.slices, map[netip.Prefix][]bgp.PeerName{prefixOf(i): {"tor"}})
		w.reported.place[prefixOf(i)] = i
	}
	for i := range maxPeersPerRoute + 1 {
		w.reported.noteChanges(map[bgp.PeerName]speakerbgp.RouteChanges{"tor": {}, bgp.PeerName(fmt.Sprintf("tor-%02d", i)): {Announced: []netip.Prefix{prefixOf(0)}}})
	}
	for range 2 {
		if err := w.writeSlices(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		w.invalidate()
	}
	var list v1beta1.SpeakerRouteSliceList
	if err := s.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != maxSlices || len(w.reported.dirty) > 0 {
		t.Errorf("got %d slices and %d to be written, want %d and 0", len(list.Items), len(w.reported.dirty), maxSlices)
	}
	for _, slice := range list.Items {
		for _, r := range slice.Routes {
			if len(r.Peers) > maxPeersPerRoute {
				t.Errorf("%s in %s: got %d peers, want at most %d", r.Prefix, slice.Name, len(r.Peers), maxPeersPerRoute)
			}
		}
	}
	if got, want := w.reported.countPrefixes(), maxSlices+1; got != want {
		t.Errorf("got %d routes counted, want %d", got, want)
	}
}

// TestStateWriter_OwnerOfSlices: the state was restored without an owner, and a slice with
// what the admission policy refuses.
func TestStateWriter_OwnerOfSlices(t *testing.T) {
	own := []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "n1", UID: "u"}}
	meta := metav1.ObjectMeta{Name: "n1-0", Labels: map[string]string{"restored": "yes"}, Annotations: map[string]string{"by": "hand"}, Finalizers: []string{"example.com/a"}}
	s := newServer(t, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "u"}}, &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: "n1"}},
		&v1beta1.SpeakerRouteSlice{ObjectMeta: meta, Node: "n1"})
	w := NewStateWriter(s, s, "n1", logr.Discard())
	w.latest = &layer2.Report{}
	w.Routing = func() RoutingState {
		return RoutingState{Changes: map[bgp.PeerName]speakerbgp.RouteChanges{"tor": {Announced: []netip.Prefix{prefixOf(1)}}}}
	}
	if err := w.writeAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := &v1beta1.SpeakerRouteSlice{}
	if err := s.Get(t.Context(), client.ObjectKey{Name: "n1-0"}, got); err != nil {
		t.Fatal(err)
	}
	want := metav1.ObjectMeta{Name: "n1-0", ResourceVersion: got.ResourceVersion, OwnerReferences: own}
	if diff := cmp.Diff(want, got.ObjectMeta); diff != "" || len(got.Routes) != 1 {
		t.Errorf("%d routes, want 1; metadata (-want +got):\n%s", len(got.Routes), diff)
	}
}

// One change costs one small write and one of the state, however many routes there are.
func TestChangesWithinTheIntervalAreWrittenTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		after := func(d time.Duration) { // of the bubble's time
			time.Sleep(d)
			synctest.Wait()
		}
		s := newServer(t, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "u"}})
		var all []netip.Prefix
		for i := range 2000 {
			all = append(all, prefixOf(i))
		}
		changes := make(chan speakerbgp.RouteChanges, 1)
		changes <- speakerbgp.RouteChanges{Whole: true, Announced: all}
		w := NewStateWriter(s, s, "n1", logr.Discard())
		w.Routing = func() RoutingState {
			select {
			case n := <-changes:
				return RoutingState{Changes: map[bgp.PeerName]speakerbgp.RouteChanges{"tor": n}}
			default:
				return RoutingState{Changes: map[bgp.PeerName]speakerbgp.RouteChanges{"tor": {}}}
			}
		}
		send := func(n speakerbgp.RouteChanges) {
			s.questions()
			changes <- n
			w.Nudge()
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Start(ctx) }()
		w.SetReport(layer2.Report{Live: 1})
		after(gatherDelay + time.Millisecond)
		if n := len(s.has(t)); n != (2000+maxRoutesPerSlice-1)/maxRoutesPerSlice {
			t.Errorf("%d slices list 2000 routes, want %d in each", n, maxRoutesPerSlice)
		}
		after(10 * time.Second)
		send(speakerbgp.RouteChanges{Withdrawn: all[:1]})
		after(gatherDelay - time.Millisecond)
		w.SetReport(layer2.Report{Live: 2})
		synctest.Wait()
		if asked := s.questions(); len(asked) > 0 {
			t.Errorf("before all is gathered: got %v, want nothing", asked)
		}
		after(time.Second)
		if diff := cmp.Diff([]string{"update SpeakerState", "update SpeakerRouteSlice"}, s.questions()); diff != "" {
			t.Errorf("what the API server was asked (-want +got):\n%s", diff)
		}
		send(speakerbgp.RouteChanges{Announced: all[:1]})
		after(time.Second)
		if diff := cmp.Diff([]string{"update SpeakerRouteSlice"}, s.questions()); diff != "" {
			t.Errorf("what the API server was asked when only counts change (-want +got):\n%s", diff)
		}
		send(speakerbgp.RouteChanges{Withdrawn: all[:2]})
		after(10 * time.Second)
		if diff := cmp.Diff([]string{"update SpeakerRouteSlice", "update SpeakerState"}, s.questions()); diff != "" {
			t.Errorf("requests to the API server until the counts were reported (-want +got):\n%s", diff)
		}
		state := &v1beta1.SpeakerState{}
		if err := s.Get(t.Context(), client.ObjectKey{Name: "n1"}, state); err != nil || state.Status.LiveSpeakers != 2 || state.Status.RouteCount != 1998 {
			t.Errorf("state: got %+v, %v, want 2 speakers and 1998 routes", state.Status, err)
		}
		// Somebody takes it away: that is seen, and put right.
		if err := s.Delete(t.Context(), state); err != nil {
			t.Fatal(err)
		}
		after(checkInterval + time.Second)
		if err := s.Get(t.Context(), client.ObjectKey{Name: "n1"}, state); err != nil {
			t.Errorf("the state was not made again: %v", err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("got %v, want a quiet end", err)
		}
	})
}

// The controller sets its condition between two writes of the speaker.
func TestStateWriter_ConditionOfTheControllerStays(t *testing.T) {
	s := newServer(t, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}})
	w := NewStateWriter(s, s, "n1", logr.Discard())
	report := func(live int) {
		t.Helper()
		w.latest = &layer2.Report{Phase: "Active", Live: live}
		if err := w.writeAll(t.Context()); err != nil {
			t.Fatalf("writing the state: %v", err)
		}
	}
	read := func() *v1beta1.SpeakerState {
		t.Helper()
		state := &v1beta1.SpeakerState{}
		if err := s.Get(t.Context(), client.ObjectKey{Name: "n1"}, state); err != nil {
			t.Fatal(err)
		}
		return state
	}
	report(1)
	state := read()
	meta.SetStatusCondition(&state.Status.Conditions, metav1.Condition{Type: v1beta1.ConditionCurrent, Status: metav1.ConditionFalse, Reason: v1beta1.ReasonSpeakerMissing})
	if err := s.Status().Update(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	report(2)
	state = read()
	current, ready := meta.FindStatusCondition(state.Status.Conditions, v1beta1.ConditionCurrent), meta.FindStatusCondition(state.Status.Conditions, v1beta1.ConditionReady)
	if state.Status.LiveSpeakers != 2 || ready == nil || current == nil || current.Reason != v1beta1.ReasonSpeakerMissing {
		t.Errorf("got %+v, want the report of the speaker and the condition of the controller", state.Status)
	}
}
