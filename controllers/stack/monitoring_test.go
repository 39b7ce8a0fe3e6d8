package stack

import (
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestHasServiceMonitors(t *testing.T) {
	made := []v1beta1.ObjectReference{ref("monitoring.coreos.com", "v1", "ServiceMonitor", "lbstack-system", "lbstack")}
	failed := errors.New("the API server is busy")
	list := func(kinds ...string) *metav1.APIResourceList {
		list := &metav1.APIResourceList{}
		for _, kind := range kinds {
			list.APIResources = append(list.APIResources, metav1.APIResource{Kind: kind})
		}
		return list
	}
	tests := []struct {
		name      string
		inventory []v1beta1.ObjectReference
		list      *metav1.APIResourceList
		err       error
		want      bool
		wantErr   error
	}{
		{name: "kind is there", list: list("PodMonitor", "ServiceMonitor"), want: true},
		{name: "other kinds of the group", inventory: made, list: list("PodMonitor")},
		{name: "no such group", inventory: made, err: apierrors.NewNotFound(schema.GroupResource{}, "")},
		{name: "error after one was made: the kind counts as there", inventory: made, err: failed, want: true, wantErr: failed},
		{name: "error before one was made: the kind counts as absent", err: failed, wantErr: failed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &Reconciler{Kinds: func(version string) (*metav1.APIResourceList, error) {
				if version != "monitoring.coreos.com/v1" {
					t.Errorf("got the version %s", version)
				}
				return tt.list, tt.err
			}}
			got, err := r.hasServiceMonitorKind(tt.inventory)
			if got != tt.want || !errors.Is(err, tt.wantErr) {
				t.Errorf("got %v, %v, want %v, %v", got, err, tt.want, tt.wantErr)
			}
		})
	}
}
