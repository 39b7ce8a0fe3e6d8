package integration

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// fleet takes the part of the controllers of Deployments and DaemonSets, and of the kubelets and speakers
// of some nodes. None of these runs in the tests.
type fleet struct {
	*operatorBed
	nodes []*corev1.Node
	// stop ends the fleet and all its pods. The end of the test calls stop as well.
	stop func()

	mu sync.Mutex
	// fails returns why the container of a pod does not run; empty: it runs.
	fails func(*corev1.Pod) string
	down  map[string]bool
	// made counts the pods that were made. most is the highest number of running nodes without a ready
	// speaker at one time, since all nodes had one.
	made, most int
	began      bool
}

// newFleet creates nodes, on which the components run.
func newFleet(b *operatorBed, names ...string) *fleet {
	b.Helper()
	f := &fleet{operatorBed: b, fails: func(*corev1.Pod) string { return "" }, down: map[string]bool{}}
	for _, name := range names {
		f.nodes = append(f.nodes, b.node(name))
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			if err := f.pass(ctx); err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) && !apierrors.IsAlreadyExists(err) {
				b.Errorf("playing the nodes: %v", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	f.stop = sync.OnceFunc(func() {
		cancel()
		done.Wait()
		if err := f.end(context.Background()); err != nil {
			b.Fatal(err)
		}
		for _, name := range names {
			state := &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: name}}
			if err := client.IgnoreNotFound(b.Delete(context.Background(), state)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Cleanup(f.stop)
	return f
}

// end ends all pods.
func (f *fleet) end(ctx context.Context) error {
	var pods corev1.PodList
	if err := f.List(ctx, &pods, client.InNamespace(systemNamespace)); err != nil {
		return err
	}
	for i := range pods.Items {
		if err := f.Delete(ctx, &pods.Items[i], client.GracePeriodSeconds(0)); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}

// failing sets which pods do not run.
func (f *fleet) failing(fails func(*corev1.Pod) string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails = fails
}

// isDown has a node lose power, or come back.
func (f *fleet) isDown(t *testing.T, i int, down bool) {
	t.Helper()
	f.mu.Lock()
	f.down[f.nodes[i].Name] = down
	f.mu.Unlock()
	if status := corev1.ConditionUnknown; down {
		f.nodeIs(f.nodes[i], status)
		return
	}
	f.nodeIs(f.nodes[i], corev1.ConditionTrue)
}

// counted returns the fields made and most.
func (f *fleet) counted() (made, most int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.made, f.most
}

func (f *fleet) pass(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	daemonSet := speakerDaemonSet()
	if err := f.Get(ctx, client.ObjectKeyFromObject(daemonSet), daemonSet); apierrors.IsNotFound(err) {
		return f.end(ctx)
	} else if err != nil {
		return err
	}
	if err := f.deployment(ctx); err != nil {
		return err
	}
	var pods corev1.PodList
	if err := f.List(ctx, &pods, client.InNamespace(systemNamespace), client.MatchingLabels(daemonSet.Spec.Selector.MatchLabels)); err != nil {
		return err
	}
	status := appsv1.DaemonSetStatus{ObservedGeneration: daemonSet.Generation}
	dark := 0
	for _, node := range f.nodes {
		i := slices.IndexFunc(pods.Items, func(p corev1.Pod) bool { return p.Spec.NodeName == node.Name })
		if f.down[node.Name] { // a dead node has a taint that no speaker tolerates, and does not count
			continue
		}
		status.DesiredNumberScheduled++
		switch {
		case i < 0:
			f.made++
			if err := f.Create(ctx, podOf(daemonSet, node.Name, f.made)); err != nil {
				return err
			}
			fallthrough
		case pods.Items[i].DeletionTimestamp != nil:
			if i >= 0 {
				if err := f.Delete(ctx, &pods.Items[i], client.GracePeriodSeconds(0)); err != nil {
					return err
				}
			}
			dark++
			continue
		default:
			if err := f.kubelet(ctx, &pods.Items[i]); err != nil {
				return err
			}
		}
		if i < 0 {
			continue
		}
		pod := &pods.Items[i]
		status.CurrentNumberScheduled++
		if pod.Labels[v1beta1.LabelRevision] == daemonSet.Spec.Template.Labels[v1beta1.LabelRevision] {
			status.UpdatedNumberScheduled++
		}
		if f.fails(pod) != "" || len(pod.Status.Conditions) == 0 {
			dark++
		} else {
			status.NumberReady++
			status.NumberAvailable++
		}
	}
	if f.began {
		f.most = max(f.most, dark)
	}
	f.began = f.began || dark == 0
	if equality.Semantic.DeepEqual(daemonSet.Status, status) {
		return nil
	}
	daemonSet.Status = status
	return f.Status().Update(ctx, daemonSet)
}

// deployment creates the pods of the Deployment of the controller.
func (f *fleet) deployment(ctx context.Context) error {
	d := controllerDeployment()
	if err := f.Get(ctx, client.ObjectKeyFromObject(d), d); err != nil || d.Status.ObservedGeneration == d.Generation {
		return err
	}
	n := *d.Spec.Replicas
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: n, UpdatedReplicas: n, ReadyReplicas: n, AvailableReplicas: n}
	return f.Status().Update(ctx, d)
}

// podOf returns the pod that a DaemonSet has on a node.
func podOf(d *appsv1.DaemonSet, node string, number int) *corev1.Pod {
	template := d.Spec.Template.Spec.Containers[0]
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: fmt.Sprintf("lbstack-speaker-%s-%d", node, number), Labels: d.Spec.Template.Labels},
		Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{
			Name: template.Name, Image: template.Image, Args: template.Args, Ports: []corev1.ContainerPort{{Name: "mesh", ContainerPort: 7575}},
		}}},
	}
}

// kubelet sets the status of a pod to running, and writes the report of its speaker, or lets the pod fail.
func (f *fleet) kubelet(ctx context.Context, pod *corev1.Pod) error {
	why := f.fails(pod)
	c := corev1.ContainerStatus{Name: pod.Spec.Containers[0].Name, Image: "x", ImageID: "x", Ready: why == ""}
	ready := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue}
	started := pod.CreationTimestamp
	if why == "" {
		c.State.Running = &corev1.ContainerStateRunning{StartedAt: started}
	} else {
		c.State.Waiting = &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: why}
		ready.Status = corev1.ConditionFalse
	}
	want := corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{ready}, ContainerStatuses: []corev1.ContainerStatus{c}, QOSClass: pod.Status.QOSClass}
	if !equality.Semantic.DeepEqual(pod.Status.ContainerStatuses, want.ContainerStatuses) {
		pod.Status = want
		if err := f.Status().Update(ctx, pod); err != nil {
			return err
		}
	}
	if why != "" {
		return nil
	}
	state := &v1beta1.SpeakerState{ObjectMeta: metav1.ObjectMeta{Name: pod.Spec.NodeName}}
	err := f.Get(ctx, client.ObjectKeyFromObject(state), state)
	if apierrors.IsNotFound(err) {
		return f.Create(ctx, state)
	}
	if err != nil || state.Status.StartedAt != nil && state.Status.StartedAt.Equal(&started) {
		return err
	}
	state.Status.Phase, state.Status.StartedAt, state.Status.AddressCount = v1beta1.SpeakerActive, &started, 1
	return f.Status().Update(ctx, state)
}
