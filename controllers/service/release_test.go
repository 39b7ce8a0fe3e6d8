package service

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/request"
	"github.com/lbstack/lbstack/internal/ipam"
	"github.com/lbstack/lbstack/internal/lb"
)

// onePool has the pool auto alone.
type onePool struct {
	client.Client
	reclaim *v1beta1.PoolReclaim
	// namespace is the UID of the only one; empty: there is none.
	namespace types.UID
	err       error
}

func (o onePool) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	if o.err != nil {
		return o.err
	}
	if p, ok := object.(*v1beta1.IPAddressPool); ok && key.Name == "auto" {
		p.Spec.Reclaim = o.reclaim
		return nil
	}
	if n, ok := object.(*metav1.PartialObjectMetadata); ok && o.namespace != "" {
		n.UID = o.namespace
		return nil
	}
	return apierrors.NewNotFound(schema.GroupResource{Resource: "ipaddresspools"}, key.Name)
}

func TestWithout(t *testing.T) {
	const at = "10.0.0.1"
	retain := &v1beta1.PoolReclaim{Policy: v1beta1.ReclaimRetain}
	hour := &v1beta1.PoolReclaim{Policy: v1beta1.ReclaimRetain, RetainSeconds: 3600}
	inHour := metav1.NewTime(start.Add(time.Hour))
	edited := func(c *v1beta1.IPAddressClaim, edit func(*v1beta1.IPAddressClaimSpec)) *v1beta1.IPAddressClaim {
		edit(&c.Spec)
		return c
	}
	share := func(s *v1beta1.IPAddressClaimSpec) { s.SharingKey = "k" }
	ofController := taken(claim(at, at, web))
	ofAdministrator := edited(claim(at, at, web), func(s *v1beta1.IPAddressClaimSpec) {
		s.State, s.SharingKey, s.RetainUntil = v1beta1.ClaimInUse, "k", &inHour
		s.Holders[0].UID, s.Holders[0].Ports, s.Holders[0].TrafficPolicy = "uid", []string{"80/TCP"}, "app=web"
	})
	fromNowhere := edited(taken(claim(at, at, web)), func(s *v1beta1.IPAddressClaimSpec) { s.Pool = "gone" })
	bare := func(state v1beta1.ClaimState, until *metav1.Time) *v1beta1.IPAddressClaimSpec {
		return &v1beta1.IPAddressClaimSpec{Address: at, Pool: "auto", State: state, RetainUntil: until, Holders: []v1beta1.ClaimHolder{{Namespace: "default", Name: "web"}}}
	}
	retained := func(until *metav1.Time) *v1beta1.IPAddressClaimSpec {
		spec := bare(v1beta1.ClaimRetained, until)
		spec.Holders[0].NamespaceUID = "uid-default"
		return spec
	}
	left := func(of *v1beta1.IPAddressClaim, who ...int) *v1beta1.IPAddressClaimSpec {
		spec := of.DeepCopy().Spec
		spec.Holders = nil
		for _, i := range who {
			spec.Holders = append(spec.Holders, of.Spec.Holders[i])
		}
		if n := len(spec.Holders); n == 2 { // what kubectl get shows besides the first
			spec.Others = spec.Holders[1].Namespace + "/" + spec.Holders[1].Name
		}
		return &spec
	}
	three := edited(taken(claim(at, at, web, other, lb.ServiceKey{Namespace: "default", Name: "third"})), share)
	byHand := edited(taken(claim(at, at, web, other)), share)
	byHand.Labels = nil
	tests := []struct {
		name    string
		claim   *v1beta1.IPAddressClaim
		at      int
		gone    bool
		reclaim *v1beta1.PoolReclaim
		without bool                        // a namespace
		want    *v1beta1.IPAddressClaimSpec // nil: deleted
		kept    bool
	}{
		{name: "the controller's claim is deleted", claim: ofController},
		{name: "also when its Service is gone", claim: ofController, gone: true},
		{name: "also when the pool releases", claim: ofController, gone: true, reclaim: &v1beta1.PoolReclaim{Policy: v1beta1.ReclaimRelease, RetainSeconds: 60}},
		{name: "also when the pool retains, but the Service still exists", claim: ofController, reclaim: retain},
		{name: "also when its pool is gone", claim: fromNowhere, gone: true, reclaim: retain},
		{name: "the pool retains it for ever", claim: ofController, gone: true, reclaim: retain, want: retained(nil), kept: true},
		{name: "not for a Service whose namespace is gone", claim: ofController, gone: true, reclaim: retain, without: true},
		{name: "the pool retains it for an hour", claim: ofController, gone: true, reclaim: hour, want: retained(&inHour), kept: true},
		{name: "an administrator's claim is reserved for its Service again", claim: ofAdministrator, want: bare(v1beta1.ClaimReserved, nil), kept: true},
		{name: "also when the Service is gone and the pool retains", claim: ofAdministrator, gone: true, reclaim: hour, want: bare(v1beta1.ClaimReserved, nil), kept: true},
		{name: "a shared claim loses the first", claim: three, at: 0, want: left(three, 1, 2)},
		{name: "a shared claim loses the last, whom no pool retains", claim: three, at: 2, gone: true, reclaim: retain, want: left(three, 0, 1)},
		{name: "an administrator's shared claim loses one", claim: byHand, at: 1, want: left(byHand, 0)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			namespace := onePool{namespace: "uid-default"}
			if tt.without {
				namespace.namespace = ""
			}
			r := &Reconciler{Client: onePool{reclaim: tt.reclaim}, Reader: namespace, Now: func() time.Time { return start.Add(999 * time.Millisecond) }}
			before := tt.claim.DeepCopy()
			next, kept, err := r.withoutHolder(t.Context(), tt.claim, tt.at, tt.gone)
			if err != nil {
				t.Fatal(err)
			}
			if kept != tt.kept {
				t.Errorf("kept: got %v, want %v", kept, tt.kept)
			}
			var want *v1beta1.IPAddressClaim
			if tt.want != nil {
				want = before.DeepCopy()
				want.Spec = *tt.want
			}
			if diff := cmp.Diff(want, next); diff != "" {
				t.Errorf("claim (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, tt.claim); diff != "" {
				t.Errorf("the claim that was passed has changed (-before +after):\n%s", diff)
			}
		})
	}
	t.Run("a pool that cannot be read stops it", func(t *testing.T) {
		away := errors.New("away")
		next, kept, err := (&Reconciler{Client: onePool{err: away}}).withoutHolder(t.Context(), ofController, 0, true)
		if !errors.Is(err, away) || next != nil || kept {
			t.Errorf("got %v, %v, %v, want the error", next, kept, err)
		}
	})
}

func TestRetainedAddressesEndWithTheNamespace(t *testing.T) {
	tests := []struct {
		name             string
		recorded, exists types.UID
		want             bool
	}{
		{name: "the namespace is the same", recorded: "a", exists: "a"},
		{name: "the namespace was created again", recorded: "a", exists: "b", want: true},
		{name: "the namespace is gone", recorded: "a", want: true},
		{name: "a reservation of an administrator is for any namespace of that name", exists: "b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := claim("10.0.0.1", "10.0.0.1", web)
			c.Spec.Holders[0].NamespaceUID = tt.recorded
			got, err := (&Reconciler{Reader: onePool{namespace: tt.exists}}).isOfDeletedNamespace(t.Context(), c)
			if err != nil || got != tt.want {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestRetryAfterDoublesUpToABound(t *testing.T) {
	waiting := func(attempts int) serviceDecision {
		d := refused(&ipam.Refusal{})
		d.Attempts = attempts
		return d
	}
	invalid := waiting(3)
	invalid.invalid = true
	tests := []struct {
		name string
		d    serviceDecision
		want time.Duration
	}{
		{"never, if it has all", kept(), 0},
		{"never, if only its owner can help", invalid, 0},
		{"after 10 s at first", waiting(1), 10 * time.Second},
		{"then 20 s", waiting(2), 20 * time.Second},
		{"then 40 s", waiting(3), 40 * time.Second},
		{"at last 320 s", waiting(6), 320 * time.Second},
		{"and 10 minutes from then on", waiting(7), 10 * time.Minute},
		{"for ever", waiting(1 << 40), 10 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := retryWait(tt.d); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestRetryThatIsNoErrorBacksOff(t *testing.T) {
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "services"}, "web", nil)
	away := errors.New("away")
	fine := reconcile.Result{RequeueAfter: time.Minute}
	tests := []struct {
		name string
		err  error
		fail error
	}{
		{name: "another writer was faster", err: errors.Join(conflict)},
		{name: "the cache is behind", err: errors.Join(errStaleCache)},
		{name: "another Service still shows the address", err: errNotHandedOver},
		{name: "an error is the queue's to try again", err: away, fail: away},
		{name: "another Service has the address, time and again", err: errAddressTaken, fail: errAddressTaken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r Reconciler
			again := r.retryLater(request.Service(web))
			var last time.Duration
			for range 20 {
				got, err := again(fine, tt.err)
				if !errors.Is(err, tt.fail) {
					t.Fatalf("got %v, want %v", err, tt.fail)
				}
				last = got.RequeueAfter
			}
			if tt.fail != nil {
				return
			}
			if last < 7*time.Second || last > 10*time.Second {
				t.Errorf("the twentieth time: got %v, want 7.5s to 10s", last)
			}
			if got, err := again(fine, nil); got != fine || err != nil {
				t.Errorf("success: got %+v, %v, want %+v", got, err, fine)
			}
			if got, _ := again(fine, tt.err); got.RequeueAfter > 50*time.Millisecond {
				t.Errorf("after a success: got %v, want at most 50ms", got.RequeueAfter)
			}
		})
	}
}
