package notify_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lbstack/lbstack/controllers/notify"
)

// sent counts what gets through.
type sent map[string]int

func (s sent) Eventf(regarding, _ runtime.Object, _, reason, _, note string, args ...any) {
	s[fmt.Sprintf("%s %s: %s", regarding.(*corev1.Service).Name, reason, fmt.Sprintf(note, args...))]++
}

func service(name string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name)}}
}

func TestRepetitionsAreLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := sent{}
		r := notify.New(got)
		for i := range 300 { // a minute, five times a second
			changed := service("web")
			changed.ResourceVersion = fmt.Sprint(i)
			r.Eventf(changed, nil, "Warning", "Overwritten", "Write", "by %s", "kubectl-patch")
			time.Sleep(200 * time.Millisecond)
		}
		r.Eventf(service("web"), nil, "Normal", "Announced", "Write", "by kubectl-patch")
		r.Eventf(service("dns"), nil, "Warning", "Overwritten", "Write", "by kubectl-patch")
		if got["web Overwritten: by kubectl-patch"] != 1 || got["web Announced: by kubectl-patch"] != 1 || got["dns Overwritten: by kubectl-patch"] != 1 {
			t.Errorf("got %v, want each once", got)
		}
		r.Eventf(service("web"), nil, "Warning", "Overwritten", "Write", "by kubectl-patch")
		if got["web Overwritten: by kubectl-patch"] != 2 {
			t.Errorf("after a minute: got %v, want it again", got)
		}
	})
}

func TestEachObjectHasABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := sent{}
		r := notify.New(got)
		for i := range 1000 {
			r.Eventf(service("web"), nil, "Normal", "Moved", "Write", "to node %d", i)
		}
		if len(got) != 25 {
			t.Errorf("at once: got %d events, want 25", len(got))
		}
		r.Eventf(service("dns"), nil, "Normal", "Moved", "Write", "to another node")
		if len(got) != 26 {
			t.Errorf("another object: got %d events, want one more", len(got))
		}
		time.Sleep(10 * time.Minute)
		for i := range 10 {
			r.Eventf(service("web"), nil, "Normal", "Moved", "Write", "back to node %d", i)
		}
		if len(got) != 28 {
			t.Errorf("after ten minutes: got %d events, want two more", len(got))
		}
	})
}
