package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	k8sversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// commands by name, as they are on the command line.
var commands = map[string]commandOf{"drain": drainCommand, "undrain": undrainCommand, "reserve": reserveCommand, "release": releaseCommand, "move": moveCommand, "who": whoCommand, "plan": planCommand, "doctor": doctorCommand, "status": statusCommand, "migrate": migrateCommand}

// execute runs a command line with a cluster.
func execute(ctx context.Context, c *cluster, line string) (out, errOut string, err error) {
	streams, _, stdout, stderr := genericiooptions.NewTestIOStreams()
	args := strings.Fields(line)
	cmd := commands[args[0]](streams, c)
	cmd.SetArgs(args[1:])
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err = cmd.ExecuteContext(ctx)
	return stdout.String(), stderr.String(), err
}

// changes are what the cluster does to objects after a while.
type changes struct {
	after time.Duration
	make  func(context.Context, client.Client) error
}

func TestWriting_CommandsWithACluster(t *testing.T) {
	draining := func(left ...string) func(context.Context, client.Client) error {
		return func(ctx context.Context, c client.Client) error {
			state := &v1beta1.SpeakerState{}
			if err := c.Get(ctx, client.ObjectKey{Name: "node-1"}, state); err != nil {
				return err
			}
			state.Status.Phase, state.Status.AddressCount, state.Status.Addresses = v1beta1.SpeakerDraining, int32(len(left)), nil
			for _, a := range left {
				state.Status.Addresses = append(state.Status.Addresses, v1beta1.SpeakerAddress{Address: a})
			}
			return c.Update(ctx, state)
		}
	}
	found := func(status metav1.ConditionStatus, reason, message string) func(context.Context, client.Client) error {
		return func(ctx context.Context, c client.Client) error {
			claim := &v1beta1.IPAddressClaim{}
			if err := c.Get(ctx, client.ObjectKey{Name: "192.0.2.9"}, claim); err != nil {
				return err
			}
			claim.Status.Conditions = []metav1.Condition{{Type: v1beta1.ConditionReady, Status: status, Reason: reason, Message: message}}
			return c.Update(ctx, claim)
		}
	}
	tests := []struct {
		name, line       string
		changes          []changes
		out, errOut, err string // parts; empty: none
	}{
		{"drain", "drain node-1", nil, "node/node-1 drains\n", "", ""},
		{"drain by kubectl's name", "drain node/node-1", nil, "node/node-1 drains\n", "", ""},
		{"drain an absent node", "drain none", nil, "", "", `nodes "none" not found`},
		{
			"drain and wait", "drain node-1 --wait", []changes{{2 * time.Second, draining("192.0.2.1")}, {5 * time.Second, draining()}},
			"node/node-1 drains\nnode/node-1: it announces nothing any more\n", "node/node-1: 1 addresses and 0 routes are left: 192.0.2.1\n", "",
		},
		{"drain and wait in vain", "drain node-1 --wait --timeout 10s", []changes{{2 * time.Second, draining("192.0.2.1")}}, "node/node-1 drains\n", "192.0.2.1", "node/node-1 still drains after 10s: 1 addresses"},
		{"drain and wait without a limit", "drain node-1 --wait --timeout 0", []changes{{3 * time.Minute, draining()}}, "node/node-1: it announces nothing any more\n", "has not reported yet", ""},
		{"drain and wait less than nothing", "drain node-1 --wait --timeout -1s", nil, "", "", "use 0 to wait without a limit"},
		{"drain a node without a speaker and wait", "drain node-2 --wait", nil, "node/node-2: no speaker runs on the node", "", ""},
		{"undrain a node that takes part", "undrain node-1", nil, "node/node-1 is no longer drained\n", "", ""},
		{"undrain a drained one", "undrain node-2", nil, "node/node-2 is no longer drained\n", "", ""},
		{"undrain what drains still", "undrain cordoned", nil, "", "", "node/cordoned is still drained by the taint node.kubernetes.io/unschedulable: run kubectl uncordon cordoned"},
		{"move to a node", "move 192.0.2.1 node-1", nil, "ipaddressclaim.lbstack.io/192.0.2.1 asks for node node-1\n", "", ""},
		{"move by kubectl's name and wait", "move 192.0.2.1 node/node-1 --wait", nil, "node/node-1 announces 192.0.2.1\n", "", ""},
		{"move to an absent node", "move 192.0.2.1 none", nil, "", "", "the cluster has no node none"},
		{"move to a drained node", "move 192.0.2.1 node-2", nil, "", "", "node node-2 cannot announce 192.0.2.1: it is drained: run kubectl lbstack undrain node-2 first"},
		{"move a reserved address", "move 192.0.2.3 node-1", nil, "", "", "192.0.2.3: no Service has this address"},
		{"move a free address", "move 192.0.2.4 node-1", nil, "", "", "192.0.2.4: no Service has this address"},
		{"move nowhere", "move 192.0.2.1", nil, "", "", "pass either a node or --reset"},
		{"move to a node and reset", "move 192.0.2.1 node-1 --reset", nil, "", "", "pass either a node or --reset"},
		{"reset a move that was not made", "move 192.0.2.1 --reset", nil, "ipaddressclaim.lbstack.io/192.0.2.1 already asks for no node\n", "", ""},
		{"move what is no address", "move web node-1", nil, "", "", `"web"`},
		{"reserve", "reserve 192.0.2.9", []changes{{2 * time.Second, found("True", "Reserves", "it is kept")}}, "ipaddressclaim.lbstack.io/192.0.2.9 reserves the address: it is kept\n", "", ""},
		{"reserve what the controller finds useless", "reserve 192.0.2.9 --for shop/next", []changes{{2 * time.Second, found("False", "OutsidePools", "no pool has it")}}, "", "", "does not reserve the address: no pool has it (OutsidePools)"},
		{"reserve without a controller", "reserve 192.0.2.9", nil, "", "", "the controller has not reported within 10s"},
		{"reserve an address of no pool", "reserve 198.51.100.1", nil, "", "", "no pool gives this address"},
		{"reserve what is no address", "reserve web", nil, "", "", `"web"`},
		{"release", "release 192.0.2.3", nil, "ipaddressclaim.lbstack.io/192.0.2.3 released\n", "", ""},
		{"release an address in use", "release 192.0.2.1", nil, "", "", "192.0.2.1 is in use by the Service shop/web"},
		{"release a free address", "release 192.0.2.4", nil, "", "", "neither reserved nor retained"},
		{"who has an address", "who 192.0.2.1", nil, "192.0.2.1   first   InUse   shop/web   node-1", "", ""},
		{"who has what, in all namespaces", "who -A", nil, "shop/web", "", ""},
		{"who has one address, in all namespaces", "who -A web", nil, "", "", "-A is for all addresses"},
		{"who has a free one", "who 192.0.2.4", nil, "Free", "", errCheckFailed.Error()},
		{"who, by name", "who first -o name", nil, "ipaddressclaim.lbstack.io/192.0.2.1\nipaddressclaim.lbstack.io/192.0.2.3\n", "", ""},
		{"who, for a program", "who shop/web -o json", nil, `"address": "192.0.2.1"`, "", ""},
		{"who, in an unknown format", "who -o xml", nil, "", "", "-o xml: there is no such format: use one of json, yaml, wide, name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := working(t)
				for _, change := range tt.changes {
					time.AfterFunc(change.after, func() {
						if err := change.make(t.Context(), c.api); err != nil {
							t.Error(err)
						}
					})
				}
				out, errOut, err := execute(t.Context(), c, tt.line)
				if (tt.err == "") != (err == nil) || !strings.Contains(errorText(err), tt.err) {
					t.Fatalf("got the error %v, want %q", err, tt.err)
				}
				if !strings.Contains(out, tt.out) || tt.out == "" && out != "" {
					t.Errorf("standard output: got %q, want %q", out, tt.out)
				}
				if !strings.Contains(errOut, tt.errOut) || tt.errOut == "" && errOut != "" {
					t.Errorf("standard error: got %q, want %q", errOut, tt.errOut)
				}
			})
		})
	}
}

// working is a cluster with the nodes node-1, node-2, which is drained, and cordoned; node-1 announces 192.0.2.1 of the
// Service shop/web, and 192.0.2.3 is reserved.
func working(t *testing.T) *cluster {
	t.Helper()
	c := serving(t, metav1.ConditionTrue, nil)
	claim := func(address string, state v1beta1.ClaimState, holders ...v1beta1.ClaimHolder) *v1beta1.IPAddressClaim {
		return &v1beta1.IPAddressClaim{ObjectMeta: metav1.ObjectMeta{Name: address}, Spec: v1beta1.IPAddressClaimSpec{Address: address, Pool: "first", State: state, Holders: holders}}
	}
	state := &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}}
	state.Status.Phase, state.Status.AddressCount = v1beta1.SpeakerActive, 1
	state.Status.Addresses = []v1beta1.SpeakerAddress{{Address: "192.0.2.1", Interfaces: []v1beta1.InterfaceName{"eth0"}}}
	state.Status.Interfaces = []v1beta1.SpeakerInterface{{Name: "eth0", HardwareAddress: "02:00:00:00:00:01", Families: []string{"IPv4"}, Subnets: []string{"192.0.2.0/24"}}}
	stack := &v1beta1.LoadBalancerStack{}
	if err := c.api.Get(t.Context(), client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack); err != nil {
		t.Fatal(err)
	}
	stack.Spec.Drain.Taints = []v1beta1.DrainKey{corev1.TaintNodeUnschedulable}
	if err := c.api.Update(t.Context(), stack); err != nil {
		t.Fatal(err)
	}
	for _, object := range []client.Object{
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-2", Annotations: map[string]string{"lbstack.io/drain": ""}}},
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "cordoned"}, Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}}}},
		&v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: "first"}, Spec: v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"192.0.2.1-192.0.2.9"}}},
		&v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "all"}},
		claim("192.0.2.1", v1beta1.ClaimInUse, v1beta1.ClaimHolder{Namespace: "shop", Name: "web", UID: "1"}), claim("192.0.2.3", v1beta1.ClaimReserved), state,
	} {
		if err := c.api.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func TestDrain_TheNodeIsMarkedAndFreed(t *testing.T) {
	c := working(t)
	annotations := func() map[string]string {
		node := &corev1.Node{}
		if err := c.api.Get(t.Context(), client.ObjectKey{Name: "node-1"}, node); err != nil {
			t.Fatal(err)
		}
		return node.Annotations
	}
	if _, _, err := execute(t.Context(), c, "drain node-1"); err != nil {
		t.Fatal(err)
	}
	if _, ok := annotations()["lbstack.io/drain"]; !ok {
		t.Errorf("drained: the node has the annotations %v", annotations())
	}
	if _, _, err := execute(t.Context(), c, "undrain node-1"); err != nil {
		t.Fatal(err)
	}
	if _, ok := annotations()["lbstack.io/drain"]; ok {
		t.Errorf("undrained: the node has the annotations %v", annotations())
	}
}

// TestDrain_AnInterruptedWaitIsNoTimeout: Ctrl-C ends the context.
func TestDrain_AnInterruptedWaitIsNoTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := working(t)
		ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
		defer stop()
		_, _, err := execute(ctx, c, "drain node-1 --wait")
		if err == nil || !strings.Contains(err.Error(), "interrupted") || strings.Contains(err.Error(), "2m0s") {
			t.Errorf("got the error %v", err)
		}
	})
}

func TestPlan_ComparesAFileWithTheCluster(t *testing.T) {
	const changed = "apiVersion: lbstack.io/v1beta1\nkind: LoadBalancerStack\nmetadata: {name: default}\nspec:\n  drain: {taints: [node.kubernetes.io/unschedulable]}\n  layer2: {failback: Gradual}\n"
	write := func(name, text string) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	file := write("stack.yaml", changed)
	for _, tt := range []struct{ name, line, out, err string }{
		{"a change", "plan -f " + file, "Other fields:\n  spec.layer2 changes", ""},
		{"a change, for a program", "plan -o json -f " + file, `"rollouts": [`, ""},
		{"a change, in CI", "plan --exit-code -f " + file, "spec.layer2 changes", errCheckFailed.Error()},
		{"no change, in CI", "plan --exit-code -f " + write("same.yaml", strings.ReplaceAll(changed, "  layer2: {failback: Gradual}\n", "")), "Nothing changes", ""},
		{"a pause", "plan -f " + write("pause.yaml", strings.ReplaceAll(changed, "{name: default}", "{name: default, annotations: {lbstack.io/pause: work}}")), "The operator changes nothing now: the annotation lbstack.io/pause is set: the changes are made when it is removed.\n\nOther fields:", ""},
		{"a foreign pool", "plan -f " + write("pool.yaml", changed+"  ipAddressPools: [{name: first, addresses: [192.0.2.0/28]}]\n"), "", "IPAddressPool first exists and does not belong to the stack"},
		{"no stack", "plan -f " + write("none.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: x}\n"), "", "has no LoadBalancerStack"},
		{"two stacks", "plan -f " + write("two.yaml", changed+"---\n"+changed), "", "has several LoadBalancerStacks"},
		{"no file", "plan", "", "pass the changed stack with -f"},
		{"one item that is added", "plan peer tor-9 --patch {\"myASN\":64512,\"peerASN\":64513,\"peerAddress\":\"192.0.2.254\",\"nodeSelectors\":[]}", "spec.bgpPeers[tor-9] is added", ""},
		{"one item by kubectl's name", "plan pool/next --addresses 203.0.113.9-203.0.113.1", "IPAddressPool next becomes InvalidAddresses, and the stack PoolNotReady: spec.ipAddressPools[0].addresses[0]", ""},
		{"several ranges of one pool, in CI", "plan pool next --addresses 203.0.113.1,203.0.113.5-203.0.113.7 --exit-code", "spec.ipAddressPools[next] is added", errCheckFailed.Error()},
		{"removal of an item that is not there", "plan pool none --remove", "", "the stack has no item none in spec.ipAddressPools"},
		{"one item and a file", "plan pool next --remove -f " + file, "", "pass either -f or an item"},
		{"one item and no change", "plan pool next", "", "pass exactly one of --addresses, --patch and --remove"},
		{"one item and two changes", "plan pool next --remove --patch {}", "", "pass exactly one of --addresses, --patch and --remove"},
		{"a kind and no name", "plan pool --remove", "", "pass type and name of the item"},
		{"addresses of a peer", "plan peer tor --addresses 203.0.113.1", "", "--addresses is only for a pool"},
		{"a patch with a key twice", "plan pool next --patch {\"autoAssign\":true,\"autoAssign\":false}", "", "--patch: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := working(t)
			out, _, err := execute(t.Context(), c, tt.line)
			if (tt.err == "") != (err == nil) || !strings.Contains(errorText(err), tt.err) {
				t.Errorf("got the error %v, want %q", err, tt.err)
			}
			if !strings.Contains(out, tt.out) || tt.out == "" && out != "" {
				t.Errorf("got %q, want %q", out, tt.out)
			}
			stack := &v1beta1.LoadBalancerStack{}
			if err := c.api.Get(t.Context(), client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack); err != nil || stack.Spec.Layer2.Failback != "" {
				t.Errorf("the stack was written: %+v, %v", stack.Spec.Layer2, err)
			}
		})
	}
}

// TestStatus_WatchPrintsChanges: the state is printed at first, and whenever it has changed.
func TestStatus_WatchPrintsChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := working(t)
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
		defer stop()
		time.AfterFunc(5*time.Second, func() {
			state := &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: "node-9"}}
			if err := c.api.Create(t.Context(), state); err != nil {
				t.Error(err)
			}
		})
		out, _, err := execute(ctx, c, "status --watch")
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out, "--- "); n != 2 {
			t.Errorf("printed %d times, want 2: at first, and after the change:\n%s", n, out)
		}
		first, second, _ := strings.Cut(out, "\n--- ")
		if strings.Contains(first, "node-9") || !strings.Contains(second, "node-9") {
			t.Errorf("got\n%s", out)
		}
	})
	if _, _, err := execute(t.Context(), working(t), "status --watch --interval 10ms"); err == nil || !strings.Contains(err.Error(), "use at least 1s") {
		t.Errorf("an interval of 10ms: got the error %v", err)
	}
}

// TestDoctor_ReadsTheCluster: kube-proxy, workloads of others, and a right that is missing.
func TestDoctor_ReadsTheCluster(t *testing.T) {
	healthy := func(t *testing.T) *cluster {
		c := working(t)
		c.server = func() (*k8sversion.Info, error) { return &k8sversion.Info{Minor: "34+", GitVersion: "v1.34.2"}, nil }
		return c
	}
	metalLB := func(scheduled int64) *unstructured.Unstructured {
		return object("apps/v1", "DaemonSet", "metallb-system", "speaker", map[string]any{
			"spec":   map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "speaker", "image": "quay.io/metallb/speaker"}}}}},
			"status": map[string]any{"desiredNumberScheduled": scheduled},
		})
	}
	kubeVIP := func(owner string, env ...corev1.EnvVar) client.Object {
		isController := true
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-vip-cp-1", OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: owner, Name: "x", Controller: &isController}}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "kube-vip", Image: "ghcr.io/kube-vip/kube-vip:v1.0.1", Args: []string{"manager"}, Env: env}}},
		}
	}
	served := corev1.EnvVar{Name: "svc_enable", Value: "true"}
	vipDaemonSet := func(args ...any) client.Object {
		return object("apps/v1", "DaemonSet", "kube-system", "kube-vip-ds", map[string]any{
			"spec":   map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "kube-vip", "image": "ghcr.io/kube-vip/kube-vip", "args": args}}}}},
			"status": map[string]any{"desiredNumberScheduled": int64(3)},
		})
	}
	cloud := func(args ...any) client.Object {
		return object("apps/v1", "DaemonSet", "kube-system", "cloud-controller-manager", map[string]any{
			"spec":   map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "ccm", "image": "registry.k8s.io/provider-aws/cloud-controller-manager", "args": args}}}}},
			"status": map[string]any{"desiredNumberScheduled": int64(1)},
		})
	}
	for _, tt := range []struct {
		name  string
		adds  client.Object // nil: nothing
		parts []string
	}{
		{"nothing is wrong but the version of the plugin", nil, []string{"ok Kubernetes\n", "-  Service proxy: not checked: the cluster has no ConfigMap", "ok Other load balancers\n", "!  Versions:"}},
		{"IPVS without strictARP", &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-proxy"}, Data: map[string]string{"config.conf": "mode: ipvs\n"}}, []string{"!  Service proxy:"}},
		{"MetalLB runs", metalLB(3), []string{"!  Other load balancers:\n   - MetalLB (DaemonSet metallb-system/speaker) runs"}},
		{"kube-vip serves Services, by a flag", vipDaemonSet("manager", "--services"), []string{"   - kube-vip (DaemonSet kube-system/kube-vip-ds) runs"}},
		{"kube-vip holds the address of the API server", vipDaemonSet("manager", "--controlplane"), []string{"ok Other load balancers\n"}},
		{"kube-vip serves Services in a static pod", kubeVIP("Node", served), []string{"   - kube-vip (Pods of kube-system: kube-vip-cp-1) runs"}},
		{"kube-vip holds the address of the API server in a static pod", kubeVIP("Node", corev1.EnvVar{Name: "svc_enable", Value: "false"}, corev1.EnvVar{Name: "cp_enable", Value: "true"}), []string{"ok Other load balancers\n"}},
		{"a pod of a workload, which counts itself", kubeVIP("DaemonSet", served), []string{"ok Other load balancers\n"}},
		{"FRR-K8s runs without MetalLB", object("apps/v1", "DaemonSet", "frr-k8s-system", "frr-k8s", map[string]any{
			"spec":   map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "controller", "image": "quay.io/metallb/frr-k8s:v0.0.20"}}}}},
			"status": map[string]any{"desiredNumberScheduled": int64(3)},
		}), []string{"ok Other load balancers\n"}},
		{"a cloud controller runs", cloud("--cloud-provider=aws"), []string{"   - a cloud controller with load balancers (DaemonSet kube-system/cloud-controller-manager) runs"}},
		{"a cloud controller runs its other parts", cloud("--controllers=*,-service"), []string{"ok Other load balancers\n"}},
		{"a cloud controller runs its other parts, by the new name", cloud("--controllers", "*,-service-lb-controller"), []string{"ok Other load balancers\n"}},
		{"a cloud controller runs its other parts, by their names", cloud("--controllers=cloud-node"), []string{"ok Other load balancers\n"}},
		{"Cilium has a pool", object("cilium.io/v2", "CiliumLoadBalancerIPPool", "", "lan", map[string]any{"spec": map[string]any{}}), []string{"   - the LB IPAM of Cilium (CiliumLoadBalancerIPPool lan) runs"}},
		{"Cilium has a pool that is disabled", object("cilium.io/v2", "CiliumLoadBalancerIPPool", "", "lan", map[string]any{"spec": map[string]any{"disabled": true}}), []string{"ok Other load balancers\n"}},
		{"MetalLB is installed and does not run", metalLB(0), []string{"ok Other load balancers\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := healthy(t)
			if tt.adds != nil {
				if err := c.api.Create(t.Context(), tt.adds); err != nil {
					t.Fatal(err)
				}
			}
			out, _, err := execute(t.Context(), c, "doctor")
			if !errors.Is(err, errCheckFailed) {
				t.Fatal(err)
			}
			for _, part := range tt.parts {
				if !strings.Contains(out, part) {
					t.Errorf("%q is missing in\n%s", part, out)
				}
			}
		})
	}
	c := healthy(t)
	c.api = interceptor.NewClient(c.api.(client.WithWatch), interceptor.Funcs{List: func(ctx context.Context, api client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
		if strings.HasPrefix(list.GetObjectKind().GroupVersionKind().Kind, "Deployment") {
			return apierrors.NewForbidden(schema.GroupResource{Group: "apps", Resource: "deployments"}, "", nil)
		}
		return api.List(ctx, list, options...)
	}})
	out, _, err := execute(t.Context(), c, "doctor")
	if !errors.Is(err, errCheckFailed) || !strings.Contains(out, "?  Other load balancers: not checked: you lack a right: deployments.apps") {
		t.Errorf("without a right: got the error %v and\n%s", err, out)
	}
}

// TestDoctor_MissingKindHidesNoOtherError: a list that fails is an error also if the API server lacks the kind of another list.
func TestDoctor_MissingKindHidesNoOtherError(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error // of the list of pools
		want string
	}{
		{"another list succeeds", nil, errCheckFailed.Error()},
		{"another list times out", apierrors.NewTimeoutError("the list of pools", 1), "the list of pools"},
		{"another list is forbidden", apierrors.NewForbidden(schema.GroupResource{Group: "lbstack.io", Resource: "ipaddresspools"}, "", nil), "you lack a right: ipaddresspools.lbstack.io"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := working(t)
			c.server = func() (*k8sversion.Info, error) { return &k8sversion.Info{Minor: "34", GitVersion: "v1.34.2"}, nil }
			c.api = interceptor.NewClient(c.api.(client.WithWatch), interceptor.Funcs{List: func(ctx context.Context, api client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
				switch list.(type) {
				case *v1beta1.BGPPeerList:
					return &meta.NoKindMatchError{}
				case *v1beta1.IPAddressPoolList:
					if tt.err != nil {
						return tt.err
					}
				}
				return api.List(ctx, list, options...)
			}})
			out, _, err := execute(t.Context(), c, "doctor")
			if !strings.Contains(errorText(err), tt.want) || (out == "") != (tt.err != nil) {
				t.Errorf("got the error %v, want %q, and\n%s", err, tt.want, out)
			}
		})
	}
}
