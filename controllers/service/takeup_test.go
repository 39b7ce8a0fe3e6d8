package service

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/controllers/request"
	"github.com/lbstack/lbstack/internal/apiconv"
)

// failing is a cluster in which the writes of a Service's status fail with these
// errors, one after the other, and then succeed.
type failing struct {
	*cluster
	errs []error
}

func (f *failing) Status() client.SubResourceWriter {
	return failingStatus{SubResourceWriter: f.cluster.Status(), f: f}
}

type failingStatus struct {
	client.SubResourceWriter
	f *failing
}

func (s failingStatus) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
	if len(s.f.errs) > 0 {
		err := s.f.errs[0]
		s.f.errs = s.f.errs[1:]
		s.f.wrote = append(s.f.wrote, "status fails")
		return err
	}
	return s.SubResourceWriter.Patch(ctx, object, patch, options...)
}

var (
	errConflict = apierrors.NewConflict(schema.GroupResource{Resource: "services"}, "web", errors.New("it has changed"))
	errDied     = errors.New("the controller died")
)

// An administrator hands 10.0.0.1 to web, which has 10.0.0.3. Whatever becomes of the
// writes of its status, a controller that starts goes on because of the claim of 10.0.0.1. The claim
// must not have web as an ordinary holder before web shows the address.
func TestHandOverIsCompletedByTheNextControllerAfterACrash(t *testing.T) {
	const at, old = "10.0.0.1", "10.0.0.3"
	tests := []struct {
		name string
		errs []error
		want []string
	}{
		{name: "before its first write", errs: []error{errDied},
			want: []string{"status fails", "status", "update " + at, "delete " + old}},
		{name: "when it tries again, since the Service had changed", errs: []error{errConflict, errDied},
			want: []string{"status fails", "status fails", "status", "update " + at, "delete " + old}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			had := taken(claim(old, old, web))
			had.Spec.Holders[0].UID = "uid-web"
			c := clusterOf(had, claim(at, at, web))
			c.svc = showing(service(), given(old))
			first := on(t, c)
			first.Client = &failing{cluster: c, errs: tt.errs}
			for range tt.errs {
				if _, err := first.Reconcile(t.Context(), request.Service(web)); err != nil && !errors.Is(err, errDied) {
					t.Fatal(err)
				}
			}
			if _, err := on(t, c).Reconcile(t.Context(), request.Service(web)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(addrs(at), apiconv.StatusAddresses(c.svc), byAddr); diff != "" {
				t.Errorf("shown (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.want, c.wrote); diff != "" {
				t.Errorf("written (-want +got):\n%s", diff)
			}
		})
	}
}

// The controller died after it had written the status, and before the claim; then the
// Service became one that is not served.
func TestReservedAddressIsNotShownByAServiceThatIsNotServed(t *testing.T) {
	const at = "10.0.0.1"
	c := clusterOf(claim(at, at, web))
	r := on(t, c)
	svc := service()
	svc = desiredService(svc, decideService(r.Allocations, svc, nil))
	svc.Spec.Type = corev1.ServiceTypeClusterIP
	c.svc = svc
	r = on(t, c)
	if _, err := r.Reconcile(t.Context(), request.Service(web)); err != nil {
		t.Fatal(err)
	}
	if got := apiconv.StatusAddresses(c.svc); len(got) > 0 {
		t.Errorf("shown: got %v, want nothing", got)
	}
	if _, kept := r.Allocations.HeldBy(web); len(kept) != 1 {
		t.Errorf("kept for it: got %v, want what the administrator wrote", kept)
	}
}
