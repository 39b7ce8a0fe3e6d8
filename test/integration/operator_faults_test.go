package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// requestFault is how a request fails.
type requestFault struct {
	name string
	// status is the answer, nil if the request is done and its connection ends without an answer.
	status *apierrors.StatusError
	// person: only a person can end it, so that the operator does not try again at once.
	person bool
	// writes: only requests that write can fail in this way.
	writes bool
}

var requestFaults = []requestFault{
	{name: "refusal", status: apierrors.NewForbidden(schema.GroupResource{}, "x", fmt.Errorf("injected")), person: true},
	{name: "internal error", status: apierrors.NewInternalError(fmt.Errorf("injected"))},
	{name: "conflict", status: apierrors.NewConflict(schema.GroupResource{}, "x", fmt.Errorf("injected")), writes: true},
	{name: "answer that is lost", writes: true},
}

// faultyWay is a way to the API server on which one request of a pass fails.
type faultyWay struct {
	mu    sync.Mutex
	next  http.Handler
	fault requestFault
	left  int // requests until the one that fails; negative: none does
	fired string
}

// fail has the request n from now on fail, 0 is the next.
func (w *faultyWay) fail(n int, f requestFault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left, w.fault, w.fired = n, f, ""
}

// failed returns the request that failed, empty if none has.
func (w *faultyWay) failed() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fired
}

// due reports whether a request is the one that fails.
func (w *faultyWay) due(r *http.Request) bool {
	q := r.URL.Query()
	for _, other := range []string{"/leases", "/tokenreviews"} {
		if strings.Contains(r.URL.Path, other) {
			return false
		}
	}
	if strings.Contains(r.URL.Path, "/events") && r.Method != http.MethodGet { // of the recorder
		return false
	}
	if q.Has("watch") || q.Has("sendInitialEvents") || q.Has("resourceVersion") { // of informers
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fault.writes && r.Method == http.MethodGet {
		return false
	}
	w.left--
	if w.left != -1 {
		return false
	}
	w.fired = r.Method + " " + r.URL.Path
	return true
}

// ServeHTTP answers a request.
func (w *faultyWay) ServeHTTP(answer http.ResponseWriter, r *http.Request) {
	switch {
	case !w.due(r):
		w.next.ServeHTTP(answer, r)
	case w.fault.status == nil:
		w.next.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	default:
		answer.Header().Set("Content-Type", "application/json")
		answer.WriteHeader(int(w.fault.status.ErrStatus.Code))
		_ = json.NewEncoder(answer).Encode(w.fault.status.Status())
	}
}

// faultyWay has the operator of the bed reach the API server in such a way.
func (b *operatorBed) faultyWay() *faultyWay {
	b.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", b.kubeconfig)
	if err != nil {
		b.Fatal(err)
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		b.Fatal(err)
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		b.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport, proxy.FlushInterval = transport, -1
	way := &faultyWay{next: proxy, left: -1}
	listener := httptest.NewServer(way)
	b.Cleanup(func() {
		listener.CloseClientConnections()
		listener.Close()
	})
	file, err := clientcmd.LoadFromFile(b.kubeconfig)
	if err != nil {
		b.Fatal(err)
	}
	for name := range file.Clusters {
		file.Clusters[name].Server, file.Clusters[name].CertificateAuthority, file.Clusters[name].CertificateAuthorityData = listener.URL, "", nil
	}
	for name := range file.AuthInfos {
		file.AuthInfos[name] = &clientcmdapi.AuthInfo{} // the way has the credentials
	}
	b.kubeconfig = b.TempDir() + "/kubeconfig"
	if err := clientcmd.WriteToFile(*file, b.kubeconfig); err != nil {
		b.Fatal(err)
	}
	return way
}

// TestStack_ConvergesAfterAFailureAtEachRequest has each request of a pass fail in each way, one
// at a time, while the stack changes between two specs. The next passes lead to the same objects each time.
func TestStack_ConvergesAfterAFailureAtEachRequest(t *testing.T) {
	b := newOperatorBed(t)
	way := b.faultyWay()
	b.operator()
	one, two := routersSpec(), routersSpec()
	two.IPAddressPools = two.IPAddressPools[:1]
	two.IPAddressPools[0].Addresses = []v1beta1.AddressRange{"192.168.7.0/28"}
	two.BGPPeers, two.BGPAdvertisements = two.BGPPeers[:1], nil
	two.L2Advertisements = append(two.L2Advertisements, v1beta1.StackL2Advertisement{Name: "second"})
	two.Patches = []v1beta1.Patch{{Target: v1beta1.PatchTarget{Kind: "PodDisruptionBudget"}, Patch: "metadata: {annotations: {example.com/two: x}}"}}
	specs := []v1beta1.LoadBalancerStackSpec{one, two}
	b.stack(one)
	b.installed()
	var want [2]map[string]any
	pass := 0
	change := func() (to int) {
		pass++
		to = pass % 2
		b.force(&specs[to], pass)
		return to
	}
	for range 2 {
		to := change()
		b.settles(pass)
		want[to] = b.objects()
	}
	for _, f := range requestFaults {
		began := time.Now()
		idle := 0 // changes in a row in which the request did not come
		n := 0
		for ; idle < 2; n++ {
			way.fail(n, f)
			to := change()
			b.convergesTo(want[to], &pass, way, f)
			if idle++; way.failed() != "" {
				idle = 0
			}
		}
		t.Logf("%s: each of %d requests failed, in %s", f.name, n-idle, time.Since(began))
		if n-idle < 10 {
			t.Errorf("%s: %d requests failed, want each of a pass, which writes ten objects and more", f.name, n-idle)
		}
	}
}

// force replaces the spec and asks for a pass over all objects.
func (b *operatorBed) force(spec *v1beta1.LoadBalancerStackSpec, pass int) {
	b.Helper()
	eventually.Succeed(b.T, within, "the stack is changed", func(ctx context.Context) error {
		stack := &v1beta1.LoadBalancerStack{}
		if err := b.Get(ctx, nameOnly(v1beta1.LoadBalancerStackName), stack); err != nil {
			return err
		}
		if spec != nil {
			spec.DeepCopyInto(&stack.Spec)
		}
		metav1.SetMetaDataAnnotation(&stack.ObjectMeta, v1beta1.AnnotationReconcile, fmt.Sprint(pass))
		return b.Update(ctx, stack)
	})
}

// settles waits until a pass is reported in which nothing failed.
func (b *operatorBed) settles(pass int) {
	b.Helper()
	eventually.Succeed(b.T, within, "a pass without a failure is reported", func(ctx context.Context) error { return b.settled(ctx, pass) })
}

func (b *operatorBed) settled(ctx context.Context, pass int) error {
	stack := &v1beta1.LoadBalancerStack{}
	if err := b.Get(ctx, nameOnly(v1beta1.LoadBalancerStackName), stack); err != nil {
		return err
	}
	degraded := meta.FindStatusCondition(stack.Status.Conditions, v1beta1.ConditionDegraded)
	if stack.Status.ObservedGeneration != stack.Generation || stack.Status.LastHandledReconcile != fmt.Sprint(pass) || degraded == nil || degraded.Status != metav1.ConditionFalse {
		return fmt.Errorf("pass %d, generation %d: handled %s, %s", pass, stack.Generation, stack.Status.LastHandledReconcile, conditions(stack))
	}
	return nil
}

// convergesTo waits until the objects are as wanted, and nothing is degraded. What only a person can
// end is ended by another request for a pass.
func (b *operatorBed) convergesTo(want map[string]any, pass *int, way *faultyWay, f requestFault) {
	b.Helper()
	asked := false
	started := time.Now()
	eventually.Succeed(b.T, within, "the objects are as wanted after the "+f.name, func(ctx context.Context) error {
		if f.person && !asked && way.failed() != "" && time.Since(started) > time.Second/2 {
			asked = true
			*pass += 2 // the same spec
			b.force(nil, *pass)
		}
		b.refusalIsStalled(ctx, f)
		if err := b.settled(ctx, *pass); err != nil {
			return fmt.Errorf("after %q: %w", way.failed(), err)
		}
		if diff := cmp.Diff(want, b.objects()); diff != "" {
			return fmt.Errorf("after %q, objects (-want +got):\n%s", way.failed(), diff)
		}
		return nil
	})
}

// refusalIsStalled fails the test if the stack reports a refusal as something that the operator can end.
func (b *operatorBed) refusalIsStalled(ctx context.Context, f requestFault) {
	b.Helper()
	stack := &v1beta1.LoadBalancerStack{}
	if err := b.Get(ctx, nameOnly(v1beta1.LoadBalancerStackName), stack); err != nil || !f.person {
		return
	}
	ready := meta.FindStatusCondition(stack.Status.Conditions, v1beta1.ConditionReady)
	if ready != nil && strings.Contains(ready.Message, "injected") && !meta.IsStatusConditionTrue(stack.Status.Conditions, v1beta1.ConditionStalled) {
		b.Errorf("a refusal: got the conditions %s, want Stalled; %s", conditions(stack), ready.Message)
	}
}

// objects returns what the operator made, without what the API server sets and without keys.
func (b *operatorBed) objects() map[string]any {
	b.Helper()
	stack := &v1beta1.LoadBalancerStack{}
	if err := b.Get(context.Background(), nameOnly(v1beta1.LoadBalancerStackName), stack); err != nil {
		b.Fatal(err)
	}
	all := map[string]any{}
	for _, ref := range stack.Status.Inventory {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(schema.GroupVersionKind{Group: ref.Group, Version: ref.Version, Kind: ref.Kind})
		key := client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}
		if err := b.Get(context.Background(), key, object); err != nil {
			all[ref.Kind+" "+key.String()] = err.Error()
			continue
		}
		all[ref.Kind+" "+key.String()] = map[string]any{"labels": object.GetLabels(), "spec": object.Object["spec"]}
	}
	return all
}
