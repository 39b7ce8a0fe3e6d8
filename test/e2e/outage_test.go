package e2e

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// A control plane is away several times in a row during an upgrade. No program ends because of that, and
// all programs go on when the control plane is back.
func TestOutagesOfTheAPIServerEndNoProgram(t *testing.T) {
	installed(t)
	before := processes(t)
	restarts, err := restartsOf(background(t))
	must(t, err)
	for i, outage := range []time.Duration{5 * time.Second, 5 * time.Second, time.Minute} {
		must(t, bed.Cluster.StopControlPlane("kube-apiserver"))
		eventually.Stays(t, outage, fmt.Sprintf("all programs run while the API server is away for %s", outage), func(context.Context) error {
			if now := processes(t); !maps.Equal(now, before) {
				return fmt.Errorf("processes: got %v, want %v", now, before)
			}
			return nil
		})
		must(t, bed.Cluster.StartControlPlane("kube-apiserver"))
		name := fmt.Sprintf("after-%d", i)
		eventually.Succeed(t, within, "the API server takes a Service", func(ctx context.Context) error { return bed.Client.Create(ctx, ofTypeLoadBalancer(name)) })
		back := time.Now()
		t.Cleanup(func() { withdraw(t, name) })
		nodesReach(t) // pods reach the API server through kube-proxy, which waits for up to a minute (decision 0041)
		reached := time.Now()
		_, err := bed.Address(background(t), name)
		must(t, err)
		t.Logf("after %s without the API server the nodes reached it %d ms after it took a Service, which had its address %d ms after that",
			outage, reached.Sub(back).Milliseconds(), time.Since(reached).Milliseconds())
		controllerWatches(t)
	}
	must(t, bed.StackReady(background(t)))
	now, err := restartsOf(background(t))
	must(t, err)
	if !maps.Equal(now, restarts) {
		t.Errorf("restarts of containers: got %v, want %v as before", now, restarts)
	}
}

// processes returns the IDs of the processes of lbstack, by node.
func processes(t *testing.T) map[string]string {
	t.Helper()
	ids := map[string]string{}
	for _, node := range bed.Cluster.Nodes() {
		out, err := bed.Cluster.Exec(background(t), node, "pgrep", "-d,", "-x", "speaker|controller|operator")
		must(t, err)
		ids[node] = string(out)
	}
	return ids
}

// restartsOf returns how often each container of lbstack was started again, by pod.
func restartsOf(ctx context.Context) (map[string]int32, error) {
	var pods corev1.PodList
	if err := bed.Client.List(ctx, &pods, client.InNamespace(componentNamespace), client.HasLabels{v1beta1.LabelComponent}); err != nil {
		return nil, err
	}
	counts := map[string]int32{}
	for i := range pods.Items {
		for _, c := range pods.Items[i].Status.ContainerStatuses {
			counts[pods.Items[i].Name] += c.RestartCount
		}
	}
	return counts, nil
}
