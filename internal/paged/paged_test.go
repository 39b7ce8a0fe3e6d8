package paged

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// server has so many Services, and fails after so many pages.
type server struct {
	client.Reader
	services, fails int
	asked           []string
	condition       string // of the first Service
}

func (s *server) List(_ context.Context, into client.ObjectList, options ...client.ListOption) error {
	var o client.ListOptions
	o.ApplyOptions(options)
	selector := ""
	if o.FieldSelector != nil {
		selector = o.FieldSelector.String()
	}
	s.asked = append(s.asked, selector+" "+strconv.Itoa(int(o.Limit))+" "+o.Continue)
	if s.fails > 0 && len(s.asked) >= s.fails {
		return errors.New("it is away")
	}
	list := into.(*corev1.ServiceList)
	from, _ := strconv.Atoi(o.Continue)
	to := min(from+int(o.Limit), s.services)
	for i := from; i < to; i++ {
		list.Items = append(list.Items, corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: strconv.Itoa(i), Annotations: map[string]string{"large": "one"}}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer},
		})
	}
	if from == 0 && s.condition != "" {
		list.Items[0].Status.Conditions = []metav1.Condition{{Type: s.condition}}
	}
	if to < s.services {
		list.Continue = strconv.Itoa(to)
	}
	return nil
}

func TestServices(t *testing.T) {
	s := &server{services: 2*pageSize + 1}
	got, err := LoadBalancers(t.Context(), s)
	if err != nil || len(got) != s.services {
		t.Fatalf("got %d Services, error %v, want %d", len(got), err, s.services)
	}
	for i, svc := range got {
		if svc.Name != strconv.Itoa(i) || svc.Annotations != nil {
			t.Errorf("Service %d: got %s with annotations %v, want it trimmed", i, svc.Name, svc.Annotations)
		}
	}
	want := []string{"spec.type=LoadBalancer 4 ", "spec.type=LoadBalancer 4 4", "spec.type=LoadBalancer 4 8"}
	if diff := cmp.Diff(want, s.asked); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestServicesWith(t *testing.T) {
	s := &server{services: 2*pageSize + 1, condition: "Wanted"}
	got, err := ServicesWithCondition(t.Context(), s, "Wanted")
	if err != nil || len(got) != 1 || got[0].Name != "0" || got[0].Annotations != nil {
		t.Errorf("got %v, error %v, want the one with the condition, trimmed", got, err)
	}
	if diff := cmp.Diff([]string{" 4 ", " 4 4", " 4 8"}, s.asked); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestServices_ErrorOnALaterPage(t *testing.T) {
	if got, err := LoadBalancers(t.Context(), &server{services: 100, fails: 3}); err == nil || got != nil {
		t.Errorf("got %d Services, error %v, want an error alone", len(got), err)
	}
}
