package migrate

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

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

// TestSwitchFromMetalLB_UnderTraffic has MetalLB serve 50 Services, imports its configuration, and switches to lbstack and
// back while clients connect every 5 ms and a watcher asks the segment who has the addresses. Every Service
// has the same addresses all the time, and no connection to the one with routes fails on the way to lbstack.
func TestSwitchFromMetalLB_UnderTraffic(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	bed, err := scenario.Open(ctx)
	must(t, err)
	addresses := served(ctx, t, bed, services(), metallbConfig)
	stack := imported(ctx, t, bed)
	must(t, dropped(migrated(ctx, t, bed, nil, "-f", stack, "--dry-run")))

	connections := forth(ctx, t, bed, addresses, stack)
	if c := connections[len(connections)-1]; c.Failed > 0 {
		t.Errorf("to lbstack: %d of %d connections to %s failed, whose routes have three next hops; the first ones:\n%s", c.Failed, c.Tried, routed, strings.Join(c.Why[:min(10, len(c.Why))], "\n"))
	}
	must(t, bed.StackReady(ctx))
	must(t, bed.EveryoneSeesEveryone(ctx))
	claimed(ctx, t, bed, addresses)
	must(t, dropped(migrated(ctx, t, bed, nil, "-f", stack))) // it is done

	back(ctx, t, bed, addresses, nil)
}

// TestSwitchFromMetalLB_OnTheLocalNetwork does the same without routes: MetalLB's speakers end on all nodes at once. During the rollback
// speakers of MetalLB announce before they receive neighbour solicitations.
func TestSwitchFromMetalLB_OnTheLocalNetwork(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	bed, err := scenario.Open(ctx)
	must(t, err)
	layer2 := slices.DeleteFunc(services(), func(svc *corev1.Service) bool { return strings.HasPrefix(svc.Name, "routed-") })
	config, rest, _ := bytes.Cut(metallbConfig, []byte(withRoutes))
	forget(ctx, t, bed, rest)
	addresses := served(ctx, t, bed, layer2, config)
	stack := imported(ctx, t, bed)
	forth(ctx, t, bed, addresses, stack)
	must(t, bed.StackReady(ctx))
	claimed(ctx, t, bed, addresses)
	delete(addresses, first) // MetalLB gives a Service that shows no address the first one that is free
	must(t, bed.Client.Delete(ctx, service(first)))
	late := newLateResponders(ctx, t, bed)
	back(ctx, t, bed, addresses, late.printed)
	if must(t, late.err); !late.restarted {
		t.Error("back to MetalLB: no speaker was restarted, although those that started last had no NDP responder")
	}
}

// back switches back to MetalLB, see switched. No connection may fail: the addresses stay in the status of the Services, so that
// kube-proxy accepts their traffic all the time. printed is called with each line of the command.
func back(ctx context.Context, t *testing.T, bed *scenario.Scenario, addresses map[string][]string, printed func(string)) {
	t.Helper()
	connections := switched(ctx, t, bed, addresses, "back to MetalLB", nil, func(ctx context.Context) (*steps, error) { return migrated(ctx, t, bed, printed, "--rollback") })
	for _, c := range connections {
		if c.Failed > 0 {
			t.Errorf("back to MetalLB: %d of %d connections failed", c.Failed, c.Tried)
		}
	}
}

// withRoutes is where the part about routers begins in metallbConfig.
const withRoutes = "# To routers:\n"

// forget deletes the Services with routes, and objects of MetalLB, of a test before.
func forget(ctx context.Context, t *testing.T, bed *scenario.Scenario, config []byte) {
	t.Helper()
	must(t, bed.Client.DeleteAllOf(ctx, &corev1.Service{}, client.InNamespace(metav1.NamespaceDefault), client.MatchingLabels{label: labelRouted}))
	objects, err := metallb.Parse(config)
	must(t, err)
	for _, object := range objects {
		if err := client.IgnoreNotFound(bed.Client.Delete(ctx, object)); !meta.IsNoMatchError(err) {
			must(t, err)
		}
	}
}

// forth switches to lbstack, see switched.
func forth(ctx context.Context, t *testing.T, bed *scenario.Scenario, addresses map[string][]string, stack string) []scenario.Connections {
	t.Helper()
	connections := switched(ctx, t, bed, addresses, "to lbstack", nil, func(ctx context.Context) (*steps, error) {
		log, err := migrated(ctx, t, bed, nil, "-f", stack)
		return log, errors.Join(err, owned(ctx, bed, onLAN))
	})
	byNode, err := bed.Owned(ctx)
	must(t, err)
	t.Logf("addresses of the local network by node: %v", byNode)
	return connections
}

// servedWithin bounds the time until MetalLB serves all Services.
const servedWithin = 5 * time.Minute

// served has MetalLB give Services addresses, and returns them once a client gets a page from each.
func served(ctx context.Context, t *testing.T, bed *scenario.Scenario, services []*corev1.Service, config []byte) map[string][]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, servedWithin)
	defer cancel()
	cleared(ctx, t, bed)
	must(t, bed.Apply(ctx, "web.yaml"))
	must(t, metallb.Install(ctx, bed))
	objects, err := metallb.Parse(config)
	must(t, err)
	must(t, metallb.Apply(ctx, bed, objects))
	for _, svc := range services {
		must(t, client.IgnoreAlreadyExists(bed.Client.Create(ctx, svc)))
		_, err := bed.Address(ctx, svc.Name)
		must(t, err)
	}
	addresses := shown(ctx, t, bed)
	if len(addresses) != len(services) || len(addresses[dualStack]) != 2 {
		t.Fatalf("MetalLB serves %d Services, %s with %v; want %d, and two addresses", len(addresses), dualStack, addresses[dualStack], len(services))
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
	for _, svc := range services() { // one that is not there has no address
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

// plugin is the program that the test builds.
func plugin(bed *scenario.Scenario) string {
	return filepath.Join(bed.Repo, "bin", "test", "kubectl-lbstack")
}

// imported returns the file with the stack that the plugin makes of what is in the cluster. What is not mapped fails the test.
func imported(ctx context.Context, t *testing.T, bed *scenario.Scenario) string {
	t.Helper()
	build := exec.CommandContext(ctx, "go", "build", "-o", plugin(bed), "./cmd/kubectl-lbstack")
	build.Dir = bed.Repo
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the plugin: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(ctx, plugin(bed), "import", "--from-cluster", "--strict")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+bed.Cluster.KubeconfigPath())
	var report bytes.Buffer
	cmd.Stderr = &report
	text, err := cmd.Output()
	t.Logf("the report of the import:\n%s", report.String())
	if err != nil {
		t.Fatalf("importing: %v", err)
	}
	file := filepath.Join(t.TempDir(), "stack.yaml")
	must(t, os.WriteFile(file, text, 0o600))
	return file
}

// migrated runs kubectl lbstack migrate, and returns its steps. The log of the test has them as well. printed is called with each line;
// nil: nothing is.
func migrated(ctx context.Context, t *testing.T, bed *scenario.Scenario, printed func(string), args ...string) (*steps, error) {
	t.Helper()
	cmd := exec.CommandContext(ctx, plugin(bed), append([]string{"migrate"}, args...)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+bed.Cluster.KubeconfigPath())
	out := &steps{since: time.Now(), printed: printed}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	t.Logf("migrate %s:\n%s", strings.Join(args, " "), out)
	return out, err
}

// dropped returns only the error.
func dropped(_ *steps, err error) error { return err }

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

// gap is how long nobody may answer for an address, apart from stalls of the machine.
const gap = time.Second

// together is how long two nodes may answer for an address: MetalLB's speakers end one after the other, and one that has not
// ended yet takes over what another had.
const together = 2 * time.Second

// switched does a switch under traffic, and returns the connections, those to the Service with routes last. No IPv4 address
// is without an answer for longer than gap, and two nodes answer for none for longer than together, unless reported, if it is
// not nil, has the address. Afterwards all Services have the same addresses, all of them reached.
func switched(ctx context.Context, t *testing.T, bed *scenario.Scenario, addresses map[string][]string, what string, reported func(context.Context) (map[string]bool, error), do func(context.Context) (*steps, error)) []scenario.Connections {
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
	kernels := nodeAddresses(ctx, t, bed)
	w, err := bed.Watch(slices.Concat(watched, kernels)...)
	must(t, err)
	defer func() { must(t, w.Close()) }()
	var clients, to []string
	for _, name := range []string{plain, dualStack, routed} {
		for _, address := range addresses[name] { // IPv6 is not watched, so that its gaps are those between connections
			clients, to = append(clients, name), append(to, net.JoinHostPort(address, "80"))
		}
	}
	var log *steps
	connections, err := bed.ConnectingTo(ctx, to, func(ctx context.Context) (err error) {
		log, err = do(ctx)
		return err
	})
	must(t, err)
	t.Logf("the switch %s took %.1f s", what, time.Since(log.since).Seconds())
	for i, c := range connections {
		t.Logf("%s, %s (%s): %d connections, %d failed, %d cut, longest gap %d ms%s", what, clients[i], to[i], c.Tried, c.Failed, c.Cut, c.LongestGap.Milliseconds(), log.lost(c.Lost))
	}
	// A host with an entry reaches an address for which no node answers: the former node forwards.
	if out, err := bed.Cluster.Exec(ctx, "client", "ip", "neighbour", "flush", "all"); err != nil {
		t.Fatalf("%s: deleting the neighbours of the client: %v: %s", what, err, out)
	}
	reached(ctx, t, bed, addresses)
	var silent, both time.Duration
	answers := map[string]scenario.Answers{}
	for _, address := range watched {
		got := w.All(address)
		answers[address], silent, both = got, max(silent, got.Silent), max(both, got.Both)
	}
	t.Logf("%s: of %d addresses no node answered for %d ms, and two nodes for %d ms, at the longest; the longest times of each address:%s", what, len(watched),
		silent.Milliseconds(), both.Milliseconds(), log.silent(answers))
	var stalled time.Duration
	for _, address := range kernels {
		stalled = max(stalled, w.All(address).Silent)
	}
	t.Logf("%s: the kernel of a node did not answer for an address of the node for %d ms at the longest", what, stalled.Milliseconds())
	if silent > gap+stalled {
		t.Errorf("%s: no node answered for an address for %s, want %s and a stall of %s at most", what, silent, gap, stalled)
	}
	var excused map[string]bool
	if reported != nil {
		excused, err = reported(ctx)
		must(t, err)
	}
	for _, address := range watched {
		if both := answers[address].Both; both > together && !excused[address] {
			t.Errorf("%s: two nodes answered for %s for %s, want %s at most", what, address, both, together)
		}
	}
	if diff := cmp.Diff(addresses, shown(ctx, t, bed)); diff != "" {
		t.Errorf("%s: addresses of the Services (-want +got):\n%s", what, diff)
	}
	return connections
}

// nodeAddresses returns the IPv4 addresses of the nodes. Their kernels answer for them, so that a time without these answers is the
// machine's, not that of a load balancer.
func nodeAddresses(ctx context.Context, t *testing.T, bed *scenario.Scenario) (addresses []string) {
	t.Helper()
	var nodes corev1.NodeList
	must(t, bed.Client.List(ctx, &nodes))
	for i := range nodes.Items {
		for _, address := range nodes.Items[i].Status.Addresses {
			if ip, err := netip.ParseAddr(address.Address); err == nil && ip.Is4() && address.Type == corev1.NodeInternalIP {
				addresses = append(addresses, address.Address)
			}
		}
	}
	if len(addresses) == 0 {
		t.Fatal("no node has an IPv4 address")
	}
	return addresses
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
