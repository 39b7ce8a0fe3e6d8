package migrate

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/metallb"
	"github.com/lbstack/lbstack/test/scenario"
	"github.com/lbstack/lbstack/test/traffic"
)

// within bounds the whole test.
const within = 15 * time.Minute

// metallbConfig is what is imported.
//
//go:embed metallb.yaml
var metallbConfig []byte

// announcing are the parts of a stack without which nothing is announced, and no session with a router begun.
var announcing = []string{"l2Advertisements", "bgpAdvertisements", "bgpPeers"}

// TestSwitchFromMetalLB_UnderTraffic has MetalLB serve 50 Services, imports its configuration, and switches to lbstack
// while clients connect every 5 ms and a watcher asks the segment who has the addresses. Every Service
// has the same addresses all the time.
func TestSwitchFromMetalLB_UnderTraffic(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	bed, err := scenario.Open(ctx)
	must(t, err)
	addresses := served(ctx, t, bed)
	stack := imported(ctx, t, bed)

	switched(ctx, t, bed, addresses, "to lbstack", func(ctx context.Context) error { return forward(ctx, bed, stack) })
	must(t, bed.StackReady(ctx))
	must(t, bed.EveryoneSeesEveryone(ctx))
	claimed(ctx, t, bed, addresses)
}

// served has MetalLB give all Services addresses, and returns them once a client gets a page from each.
func served(ctx context.Context, t *testing.T, bed *scenario.Scenario) map[string][]string {
	t.Helper()
	must(t, bed.Apply(ctx, "web.yaml"))
	must(t, metallb.Install(ctx, bed))
	config, err := metallb.Parse(metallbConfig)
	must(t, err)
	must(t, metallb.Apply(ctx, bed, config))
	for _, svc := range services() {
		must(t, client.IgnoreAlreadyExists(bed.Client.Create(ctx, svc)))
		_, err := bed.Address(ctx, svc.Name)
		must(t, err)
	}
	addresses := shown(ctx, t, bed)
	if len(addresses) != 50 || len(addresses[dualStack]) != 2 {
		t.Fatalf("MetalLB serves %d Services, %s with %v; want 50, and two addresses", len(addresses), dualStack, addresses[dualStack])
	}
	reached(ctx, t, bed, addresses)
	return addresses
}

// shown returns the addresses that Services show.
func shown(ctx context.Context, t *testing.T, bed *scenario.Scenario) map[string][]string {
	t.Helper()
	var list corev1.ServiceList
	must(t, bed.Client.List(ctx, &list, client.InNamespace(metav1.NamespaceDefault), client.HasLabels{label}))
	addresses := map[string][]string{}
	for i := range list.Items {
		for _, in := range list.Items[i].Status.LoadBalancer.Ingress {
			addresses[list.Items[i].Name] = append(addresses[list.Items[i].Name], in.IP)
		}
		slices.Sort(addresses[list.Items[i].Name])
	}
	return addresses
}

// reached waits until a client gets a page from every address.
func reached(ctx context.Context, t *testing.T, bed *scenario.Scenario, addresses map[string][]string) {
	t.Helper()
	for _, svc := range services() {
		for _, address := range addresses[svc.Name] {
			url := fmt.Sprintf("http://%s/", net.JoinHostPort(address, fmt.Sprint(svc.Spec.Ports[0].Port)))
			err := eventually.Poll(ctx, func(ctx context.Context) error {
				_, err := traffic.Fetch(ctx, bed.Cluster, bed.Connect, url)
				return err
			})
			must(t, err)
		}
	}
}

// imported returns the stack that the plugin makes of what is in the cluster. What is not mapped fails the test.
func imported(ctx context.Context, t *testing.T, bed *scenario.Scenario) *unstructured.Unstructured {
	t.Helper()
	plugin := filepath.Join(bed.Repo, "bin", "test", "kubectl-lbstack")
	build := exec.CommandContext(ctx, "go", "build", "-o", plugin, "./cmd/kubectl-lbstack")
	build.Dir = bed.Repo
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the plugin: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(ctx, plugin, "import", "--from-cluster", "--strict")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+bed.Cluster.KubeconfigPath())
	var report bytes.Buffer
	cmd.Stderr = &report
	text, err := cmd.Output()
	t.Logf("the report of the import:\n%s", report.String())
	if err != nil {
		t.Fatalf("importing: %v", err)
	}
	objects, err := metallb.Parse(text)
	must(t, err)
	if len(objects) != 1 {
		t.Fatalf("the import printed %d objects, want one:\n%s", len(objects), text)
	}
	return objects[0]
}

// forward switches to lbstack as docs/migrate.md says.
func forward(ctx context.Context, bed *scenario.Scenario, stack *unstructured.Unstructured) error {
	if err := scale(ctx, bed, 0); err != nil {
		return err
	}
	if err := metallb.Apply(ctx, bed, []*unstructured.Unstructured{silent(stack)}); err != nil {
		return err
	}
	if err := prepared(ctx, bed); err != nil {
		return err
	}
	if err := bed.EveryoneSeesEveryone(ctx); err != nil {
		return err
	}
	if err := speakers(ctx, bed, `{"lbstack.io/none":"true"}`, 0); err != nil {
		return err
	}
	if err := metallb.Apply(ctx, bed, []*unstructured.Unstructured{stack}); err != nil {
		return err
	}
	return owned(ctx, bed, onLAN)
}

// silent is a stack without what announces.
func silent(stack *unstructured.Unstructured) *unstructured.Unstructured {
	silent := stack.DeepCopy()
	for _, field := range announcing {
		unstructured.RemoveNestedField(silent.Object, "spec", field)
	}
	return silent
}

// prepared waits until nothing but announcing is missing: a stack without advertisements is never Ready.
func prepared(ctx context.Context, bed *scenario.Scenario) error {
	return eventually.Poll(ctx, func(ctx context.Context) error {
		stack := &v1beta1.LoadBalancerStack{}
		if err := bed.Client.Get(ctx, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack); err != nil {
			return err
		}
		ready := meta.FindStatusCondition(stack.Status.Conditions, v1beta1.ConditionReady)
		if ready == nil || ready.Reason != v1beta1.ReasonServicesNotAnnounced {
			return fmt.Errorf("the stack is not prepared: %+v", ready)
		}
		return nil
	})
}

// scale sets how many controllers of MetalLB run.
func scale(ctx context.Context, bed *scenario.Scenario, replicas int) error {
	controller := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: metallb.Namespace, Name: metallb.Controller}}
	patch := fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas)
	if err := bed.Client.Patch(ctx, controller, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		return fmt.Errorf("scaling MetalLB's controller: %w", err)
	}
	return nil
}

// speakers changes which nodes MetalLB's speakers want, and waits until so many pods are left, all of them ready.
func speakers(ctx context.Context, bed *scenario.Scenario, selector string, want int) error {
	set := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: metallb.Namespace, Name: metallb.Speaker}}
	patch := `{"spec":{"template":{"spec":{"nodeSelector":` + selector + `}}}}`
	if err := bed.Client.Patch(ctx, set, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		return fmt.Errorf("changing the nodes of MetalLB's speakers: %w", err)
	}
	return eventually.Poll(ctx, func(ctx context.Context) error {
		var pods corev1.PodList
		if err := bed.Client.List(ctx, &pods, client.InNamespace(metallb.Namespace), client.MatchingLabels{"component": metallb.Speaker}); err != nil {
			return err
		}
		if err := bed.Client.Get(ctx, client.ObjectKeyFromObject(set), set); err != nil {
			return err
		}
		if len(pods.Items) != want || int(set.Status.NumberReady) != want {
			return fmt.Errorf("MetalLB has %d speakers, %d of them ready, want %d", len(pods.Items), set.Status.NumberReady, want)
		}
		return nil
	})
}

// onLAN is how many addresses of layer 2 the Services have, see services.
const onLAN = 6 + 2 + 3 + 15 + 8 + 4 + 2*5

// owned waits until lbstack announces so many addresses in layer 2.
func owned(ctx context.Context, bed *scenario.Scenario, want int) error {
	return eventually.Poll(ctx, func(ctx context.Context) error {
		byNode, err := bed.Owned(ctx)
		if err != nil {
			return err
		}
		sum := 0
		for _, n := range byNode {
			sum += n
		}
		if sum != want {
			return fmt.Errorf("%d addresses are announced, want %d: %v", sum, want, byNode)
		}
		return nil
	})
}

// claimed wants a claim for each address that a Service shows.
func claimed(ctx context.Context, t *testing.T, bed *scenario.Scenario, addresses map[string][]string) {
	t.Helper()
	var claims v1beta1.IPAddressClaimList
	must(t, bed.Client.List(ctx, &claims))
	got := map[string][]string{}
	for _, claim := range claims.Items {
		for _, holder := range claim.Spec.Holders {
			got[holder.Name] = append(got[holder.Name], claim.Spec.Address)
			slices.Sort(got[holder.Name])
		}
	}
	if diff := cmp.Diff(addresses, got); diff != "" {
		t.Errorf("claims of the addresses that Services show (-want +got):\n%s", diff)
	}
}

// together is how long two nodes may answer for an address: the watcher asks for all of them in turn, and takes
// a host for one that answers until it has missed some requests.
const together = 500 * time.Millisecond

// switched does a switch under traffic. Afterwards all Services have the same addresses, all of them reached, and no
// two nodes answered for one at a time.
func switched(ctx context.Context, t *testing.T, bed *scenario.Scenario, addresses map[string][]string, what string, do func(context.Context) error) {
	t.Helper()
	var watched []string
	for _, list := range addresses {
		for _, address := range list {
			if ip := netip.MustParseAddr(address); ip.Is4() && !netip.MustParsePrefix("198.51.100.0/24").Contains(ip) && !slices.Contains(watched, address) {
				watched = append(watched, address)
			}
		}
	}
	slices.Sort(watched)
	w, err := bed.Watch(watched...)
	must(t, err)
	defer func() { must(t, w.Close()) }()
	clients := []string{plain, dualStack, routed}
	var to []string
	for _, name := range clients {
		to = append(to, net.JoinHostPort(addresses[name][0], "80"))
	}
	begun := time.Now()
	connections, err := bed.ConnectingTo(ctx, to, do)
	must(t, err)
	t.Logf("the switch %s took %.1f s", what, time.Since(begun).Seconds())
	for i, c := range connections {
		t.Logf("%s, %s (%s): %d connections, %d failed, %d cut, longest gap %d ms", what, clients[i], to[i], c.Tried, c.Failed, c.Cut, c.LongestGap.Milliseconds())
	}
	reached(ctx, t, bed, addresses)
	var silent, both time.Duration
	for _, address := range watched {
		got := w.All(address)
		silent, both = max(silent, got.Silent), max(both, got.Both)
	}
	t.Logf("%s: of %d addresses no node answered for %d ms, and two nodes for %d ms, at the longest", what, len(watched), silent.Milliseconds(), both.Milliseconds())
	if both > together {
		t.Errorf("%s: two nodes answered for an address for %s, want %s at most", what, both, together)
	}
	if diff := cmp.Diff(addresses, shown(ctx, t, bed)); diff != "" {
		t.Errorf("%s: addresses of the Services (-want +got):\n%s", what, diff)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
