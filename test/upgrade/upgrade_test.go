package upgrade

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/scenario"
)

const (
	within = 8 * time.Minute
	// services is how many have an address: more than nodes, so that each node owns some.
	services = 6
	// clients is how many of the addresses a client connects to; the watcher asks for all.
	clients = 2
	// together is how long two nodes may answer for an address: the detection time of the profile
	// Default, and what the requests of the watcher leave open.
	together = 500 * time.Millisecond
	// silent is how long no node may answer for an address, apart from a stall of the machine: as long as for
	// an address of a lost node, since speakers of the other version count as lost.
	silent = time.Second
	// components is the namespace of the speakers in all versions.
	components = "lbstack-system"
	// formerOperator is the namespace of the operator in versions that had one for it alone.
	formerOperator = "lbstack-operator"
)

// TestUpgradeUnderTraffic replaces the operator and, one after the other, every speaker by those
// of this version, while clients connect every 5 ms and a watcher asks the segment who has the
// addresses. Speakers of versions that do not understand each other are two groups, of
// which each counts the other as failed.
func TestUpgradeUnderTraffic(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	bed, err := scenario.Open(ctx)
	must(t, err)
	must(t, bed.Apply(ctx, "lbstack_v1beta1_loadbalancerstack.yaml", "web.yaml"))
	must(t, bed.StackReady(ctx))
	must(t, bed.EveryoneSeesEveryone(ctx))
	addresses, owners := serve(ctx, t, bed)
	former, err := images(ctx, bed)
	must(t, err)
	t.Logf("%s runs, and the owners are %v", former[0], owners)

	w, err := bed.Watch(append([]string{bed.Undisturbed()}, addresses...)...)
	must(t, err)
	defer func() { must(t, w.Close()) }()
	begun := time.Now()
	var to []string
	for _, address := range addresses[:clients] {
		to = append(to, address+":80")
	}
	connections, err := bed.ConnectingTo(ctx, to, func(ctx context.Context) error {
		if err := upgrade(ctx, bed); err != nil {
			return err
		}
		return upgraded(ctx, t, bed, former[0])
	})
	must(t, err)
	t.Logf("the upgrade took %.1f s", time.Since(begun).Seconds())
	stalled := w.All(bed.Undisturbed()).Silent
	t.Logf("the longest stall of the machine was %d ms", stalled.Milliseconds())
	for _, address := range addresses {
		_, err := bed.Page(ctx, address) // the client forgets where an address is that it does not use
		must(t, err)
		owner, err := bed.Settled(ctx, address)
		must(t, err)
		got := w.All(address)
		t.Logf("%s: from %s to %s; %d MACs answered, two of them for %d ms, none for %d ms",
			address, owners[address], owner.Node, len(got.Owners), got.Both.Milliseconds(), got.Silent.Milliseconds())
		if got.Both > together {
			t.Errorf("%s: two nodes answered for %s, want %s at most", address, got.Both, together)
		}
		if got.Silent > silent+stalled {
			t.Errorf("%s: no node answered for %s, want %s at most, and %s for a stall of the machine: in that time the kernel of a host that the upgrade does not touch did not answer either",
				address, got.Silent, silent, stalled)
		}
	}
	for i, c := range connections {
		address := addresses[i]
		t.Logf("%s: %d connections, %d failed, %d cut, longest gap %d ms", address, c.Tried, c.Failed, c.Cut, c.LongestGap.Milliseconds())
		if c.Failed > 0 || c.Tried == 0 {
			t.Errorf("%s: of %d connections %d failed: %v", address, c.Tried, c.Failed, c.Why[:min(len(c.Why), 5)])
		}
	}
}

// serve makes the Services and returns their addresses, and who owns them.
func serve(ctx context.Context, t *testing.T, bed *scenario.Scenario) (addresses []string, owners map[string]string) {
	t.Helper()
	owners = map[string]string{}
	for i := range services {
		name := fmt.Sprintf("upgraded-%d", i+1)
		must(t, bed.Client.Create(ctx, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
			Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Selector: map[string]string{"app": "web"},
				Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}},
		}))
		address, err := bed.Address(ctx, name)
		must(t, err)
		_, err = bed.Page(ctx, address)
		must(t, err)
		owner, err := bed.Settled(ctx, address)
		must(t, err)
		addresses, owners[address] = append(addresses, address), owner.Node
	}
	return addresses, owners
}

// upgrade applies what this version installs, as an administrator does.
func upgrade(ctx context.Context, bed *scenario.Scenario) error {
	if err := leaveNamespace(ctx, bed); err != nil {
		return err
	}
	return kubectl(ctx, bed, "apply", "--server-side", "--force-conflicts", "-f", filepath.Join(bed.Repo, "dist", "install.yaml"))
}

// leaveNamespace removes the operator of a version that had a namespace of its own. What it made
// and the operator of this version does not make is installed with the latter, which has no right
// to delete it: it leaves the inventory.
func leaveNamespace(ctx context.Context, bed *scenario.Scenario) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: formerOperator}}
	if err := bed.Client.Get(ctx, client.ObjectKeyFromObject(namespace), namespace); err != nil {
		return client.IgnoreNotFound(err)
	}
	if err := kubectl(ctx, bed, "delete", "namespace", formerOperator); err != nil {
		return err
	}
	return kubectl(ctx, bed, "patch", "loadbalancerstack", v1beta1.LoadBalancerStackName, "--subresource=status", "--type=merge", "-p", `{"status":{"inventory":null}}`)
}

func kubectl(ctx context.Context, bed *scenario.Scenario, arguments ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(bed.Repo, "bin", "devcluster"), append([]string{"kubectl"}, arguments...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl %v: %w: %s", arguments, err, out)
	}
	return nil
}

// upgraded waits until no speaker has the former image, and all receive from all.
func upgraded(ctx context.Context, t *testing.T, bed *scenario.Scenario, former string) error {
	t.Helper()
	left := len(bed.Cluster.Nodes()) + 1
	err := eventually.Poll(ctx, func(ctx context.Context) error {
		now, err := images(ctx, bed)
		if err != nil {
			return err
		}
		others := slices.DeleteFunc(slices.Clone(now), func(image string) bool { return image != former })
		if len(others) < left {
			left = len(others)
			t.Logf("%d of %d speakers are those of the former version at %s", left, len(now), time.Now().Format(time.TimeOnly))
		}
		if left > 0 || len(now) != len(bed.Cluster.Nodes()) {
			return fmt.Errorf("the images of the speakers are %v", now)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := bed.StackReady(ctx); err != nil {
		return err
	}
	return bed.EveryoneSeesEveryone(ctx)
}

// images returns the image of each speaker.
func images(ctx context.Context, bed *scenario.Scenario) (list []string, err error) {
	var pods corev1.PodList
	if err := bed.Client.List(ctx, &pods, client.InNamespace(components), client.MatchingLabels{v1beta1.LabelComponent: "speaker"}); err != nil {
		return nil, fmt.Errorf("listing the speakers: %w", err)
	}
	for i := range pods.Items {
		list = append(list, pods.Items[i].Spec.Containers[0].Image)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("there is no speaker")
	}
	return list, nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
