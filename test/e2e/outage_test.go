package e2e

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// goesOn is how long after the nodes reach the API server again a program may take to act on a change. The
// promise is 2 s, and the test logs the time: the bound leaves room for a machine that does other things.
const goesOn = 15 * time.Second

// A control plane is away several times in a row during an upgrade. No program ends because of that, and
// all programs go on when the control plane is back: the controller with a new Service, and the operator
// with a pass that was asked for meanwhile. If another instance became the leader it first reads the
// cluster, and the test logs the time alone.
func TestOutagesOfTheAPIServerEndNoProgram(t *testing.T) {
	installed(t)
	before := processes(t)
	restarts, err := restartsOf(background(t))
	must(t, err)
	programs := []string{"lbstack-controller", "lbstack-operator"}
	for i, outage := range []time.Duration{5 * time.Second, 5 * time.Second, time.Minute} {
		led := map[string]string{}
		for _, program := range programs {
			led[program] = holder(t, program)
		}
		must(t, bed.Cluster.StopControlPlaneProgram("kube-apiserver"))
		eventually.Stays(t, outage, fmt.Sprintf("all programs run while the API server is away for %s", outage), func(context.Context) error {
			if now := processes(t); !maps.Equal(now, before) {
				return fmt.Errorf("processes: got %v, want %v", now, before)
			}
			return nil
		})
		must(t, bed.Cluster.StartControlPlaneProgram("kube-apiserver"))
		name := fmt.Sprintf("after-%d", i)
		eventually.Succeed(t, within, "the API server takes a Service", func(ctx context.Context) error { return bed.Client.Create(ctx, ofTypeLoadBalancer(name)) })
		back := time.Now()
		patchStack(t, fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, v1beta1.AnnotationReconcile, name))
		t.Cleanup(func() { withdraw(t, name) })
		nodesReach(t) // pods reach the API server through kube-proxy, which waits for up to a minute (decision 0041)
		reached := time.Now()
		var given, handled time.Time
		var acting sync.WaitGroup
		acting.Go(func() {
			if _, err := bed.Address(background(t), name); err != nil {
				t.Error(err)
			}
			given = time.Now()
		})
		handled = handles(t, name)
		acting.Wait()
		took := map[string]time.Duration{programs[0]: given.Sub(reached), programs[1]: handled.Sub(reached)}
		t.Logf("after %s without the API server the nodes reached it %d ms after it took a Service", outage, reached.Sub(back).Milliseconds())
		for _, program := range programs {
			same := holder(t, program) == led[program]
			t.Logf("the %s acted %d ms after that; the leader is the same: %t", program, took[program].Milliseconds(), same)
			if same && took[program] > goesOn {
				t.Errorf("the %s acted %s after the nodes reached the API server, want %s at most", program, took[program], goesOn)
			}
		}
		controllerWatches(t)
	}
	must(t, bed.StackReady(background(t)))
	now, err := restartsOf(background(t))
	must(t, err)
	if !maps.Equal(now, restarts) {
		t.Errorf("restarts of containers: got %v, want %v as before", now, restarts)
	}
}

// handles waits until the operator has handled a request for a pass, and returns when it had.
func handles(t *testing.T, request string) time.Time {
	t.Helper()
	eventually.Succeed(t, within, "the operator handles the request "+request, func(ctx context.Context) error {
		stack, _, err := theStack(ctx)
		if err == nil && stack.Status.LastHandledReconcile != request {
			err = fmt.Errorf("it has handled %q", stack.Status.LastHandledReconcile)
		}
		return err
	})
	return time.Now()
}

// holder returns the identity of the instance of a program that leads.
func holder(t *testing.T, program string) string {
	t.Helper()
	lease := &coordinationv1.Lease{}
	must(t, bed.Client.Get(background(t), client.ObjectKey{Namespace: componentNamespace, Name: program}, lease))
	return ptr.Deref(lease.Spec.HolderIdentity, "")
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
