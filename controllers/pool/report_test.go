package pool

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/validity"
)

// writer can write a status, and nothing else.
type writer struct {
	client.Client
	status statusWriter
}

func (w *writer) Status() client.SubResourceWriter { return &w.status }

// statusWriter counts.
type statusWriter struct {
	client.SubResourceWriter
	n int
}

func (w *statusWriter) Patch(context.Context, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
	w.n++
	return nil
}

// recorder remembers events as: type reason: note.
type recorder struct{ list []string }

func (r *recorder) Eventf(_, _ runtime.Object, kind, reason, _, format string, args ...any) {
	r.list = append(r.list, fmt.Sprintf("%s %s: %s", kind, reason, fmt.Sprintf(format, args...)))
}

// reported reconciles a pool once, and returns the number of writes and the events.
func reported(t *testing.T, p *v1beta1.IPAddressPool, v validity.PoolResult) (written int, eventTexts []string) {
	t.Helper()
	w, e := &writer{}, &recorder{}
	next := desiredStatus(p, v, ipam.PoolState{})
	if _, err := (&Reconciler{Client: w, Events: e}).writeStatus(t.Context(), p, v, ipam.PoolState{}); err != nil {
		t.Fatal(err)
	}
	p.Status = next
	return w.status.n, e.list
}

func TestPoolEvents(t *testing.T) {
	p := object("p", 1)
	stories := []struct {
		name    string
		result  validity.PoolResult
		written int
		want    []string
	}{
		{name: "a new pool", result: ready, written: 1, want: []string{"Normal PoolReady: fine"}},
		{name: "nothing new", result: ready},
		{name: "it is wrong", result: validity.PoolResult{Reason: v1beta1.ReasonInvalidAddresses, Message: "100% wrong"}, written: 1, want: []string{"Warning InvalidAddresses: 100% wrong"}},
		{name: "and still is"},
	}
	stories[3].result = stories[2].result
	for _, story := range stories {
		written, eventTexts := reported(t, &p, story.result)
		if written != story.written {
			t.Errorf("%s: got %d writes, want %d", story.name, written, story.written)
		}
		if diff := cmp.Diff(story.want, eventTexts); diff != "" {
			t.Errorf("%s (-want +got):\n%s", story.name, diff)
		}
	}
}

// The API server refuses an event whose note is longer, and the event is lost.
func TestNotesOfEventsAreBounded(t *testing.T) {
	p := object("p", 1)
	_, eventTexts := reported(t, &p, validity.PoolResult{Reason: v1beta1.ReasonPoolReady, Conflicts: conflicts(9)})
	for _, e := range eventTexts {
		if _, note, _ := strings.Cut(e, ": "); len(note) > 1024 {
			t.Errorf("got a note of %d bytes, want 1024 at most", len(note))
		}
	}
	if len(eventTexts) != 2 {
		t.Errorf("got %d events, want one that the pool is ready and one of the conflict", len(eventTexts))
	}
}

// overwriters are the repeated changes of another writer to the status of a pool.
var overwriters = map[string]func(s *v1beta1.IPAddressPoolStatus, round int){
	"it clears the status": func(s *v1beta1.IPAddressPoolStatus, _ int) { *s = v1beta1.IPAddressPoolStatus{} },
	"it removes one condition": func(s *v1beta1.IPAddressPoolStatus, round int) {
		s.Conditions = append(s.Conditions[:round%5:round%5], s.Conditions[round%5+1:]...)
	},
	"it changes a condition": func(s *v1beta1.IPAddressPoolStatus, _ int) { s.Conditions[0].Status = "Unknown" },
	"it counts, in a condition of its own": func(s *v1beta1.IPAddressPoolStatus, round int) {
		s.Claims = 7
		s.Conditions = append(s.Conditions[:5:5], metav1.Condition{Type: "Own", Message: strconv.Itoa(round)})
	},
}

func TestAStatusIsRestoredUnderABackOff(t *testing.T) {
	for name, overwrite := range overwriters {
		t.Run(name, func(t *testing.T) {
			start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			now, w := start, &writer{}
			r := &Reconciler{Client: w, Events: &recorder{}, Now: func() time.Time { return now }}
			p := object("p", 1)
			for round := 0; now.Sub(start) < time.Minute; round++ {
				before := w.status.n
				wait, err := r.writeStatus(t.Context(), &p, ready, ipam.PoolState{})
				if err != nil {
					t.Fatal(err)
				}
				now = now.Add(max(wait, 10*time.Millisecond))
				if w.status.n == before {
					continue
				}
				if round == 1 && wait > 0 {
					t.Errorf("the first time: got a wait of %v, want it restored at once", wait)
				}
				p.Status = desiredStatus(&p, ready, ipam.PoolState{})
				overwrite(&p.Status, round)
			}
			if w.status.n < 5 || w.status.n > 20 {
				t.Errorf("in a minute: got %d writes, want 5 to 20", w.status.n)
			}
		})
	}
}
