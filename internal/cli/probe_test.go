package cli

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// probing is a cluster with the speakers' DaemonSet, whose kubelets end each new pod with a status after a while; none: they never do.
// The user may not use the verb that is forbidden for pods.
func probing(t *testing.T, ended *corev1.PodStatus, forbidden string) *cluster {
	t.Helper()
	c := working(t)
	for _, namespace := range []string{"lbstack-system", "tenant"} {
		speakers := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "lbstack-speaker"}}
		speakers.Spec.Template.Spec.Containers = []corev1.Container{{Name: "speaker", Image: "example.com/lbstack:v0.1.0"}}
		if err := c.api.Create(t.Context(), speakers); err != nil {
			t.Fatal(err)
		}
	}
	stack := &v1beta1.LoadBalancerStack{}
	if err := c.api.Get(t.Context(), client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack); err != nil {
		t.Fatal(err)
	}
	stack.Status.Inventory = []v1beta1.ObjectReference{{Group: "apps", Version: "v1", Kind: "DaemonSet", Namespace: "lbstack-system", Name: "lbstack-speaker"}}
	if err := c.api.Update(t.Context(), stack); err != nil {
		t.Fatal(err)
	}
	refused := func(verb string, object client.Object) error {
		if _, is := object.(*corev1.Pod); is && verb == forbidden {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", nil)
		}
		return nil
	}
	c.api = interceptor.NewClient(c.api.(client.WithWatch), interceptor.Funcs{
		Create: func(ctx context.Context, api client.WithWatch, object client.Object, options ...client.CreateOption) error {
			if err := refused("create", object); err != nil {
				return err
			}
			err := api.Create(ctx, object, options...)
			if pod, is := object.(*corev1.Pod); is && err == nil && ended != nil {
				running := pod.DeepCopy()
				time.AfterFunc(3500*time.Millisecond, func() {
					running.Status = *ended
					if err := api.Status().Update(context.Background(), running); client.IgnoreNotFound(err) != nil {
						t.Error(err)
					}
				})
			}
			return err
		},
		Delete: func(ctx context.Context, api client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			if err := refused("delete", object); err != nil {
				return err
			}
			return api.Delete(ctx, object, options...)
		},
	})
	return c
}

// ended is the status of a pod whose container has ended.
func ended(code int32, message string) *corev1.PodStatus {
	return &corev1.PodStatus{Phase: corev1.PodSucceeded, ContainerStatuses: []corev1.ContainerStatus{{
		Name: "probe", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Message: message}},
	}}}
}

func TestProbe_CommandsWithACluster(t *testing.T) {
	const own = `{"answers":[{"interface":"eth0","hardwareAddress":"02:00:00:00:00:01"}]}`
	tests := []struct {
		name, line  string
		ended       *corev1.PodStatus
		forbidden   string
		out, errOut string // parts; an empty out: none
		err         string // a part; empty: none
		pods        int    // that are left
	}{
		{"a node has it that does not announce it", "who 192.0.2.9 --probe", ended(0, own), "", "02:00:00:00:00:01   eth0        node node-1\nNode node-1 answers, although no node announces the address", " on node node-1 probes the network for 192.0.2.9 on eth0\n", errCheckFailed.Error(), 0},
		{"no host has a free address", "who 192.0.2.9 --probe", ended(0, `{"answers":[]}`), "", "Nobody answers.", "probes the network for", "", 0},
		{"for a program", "who 192.0.2.9 --probe -o json", ended(0, `{"answers":[]}`), "", `"asReported": true`, "probes the network for", "", 0},
		{"an installation that is older", "who 192.0.2.9 --probe", ended(1, `unexpected argument "probe": the speaker takes flags only`), "", "", "probes the network for", "the speaker takes flags only: if the installation is older than the plugin", 0},
		{"a result that is none", "who 192.0.2.9 --probe", ended(0, "hello"), "", "", "probes the network for", "which is no result of a probe", 0},
		{"a pod that the kubelet refuses", "who 192.0.2.9 --probe", &corev1.PodStatus{Phase: corev1.PodFailed, Reason: "OutOfcpu", Message: "Node didn't have enough resource"}, "", "", "probes the network for", "failed: Failed, OutOfcpu, Node didn't have enough resource", 0},
		{"a kubelet that starts nothing", "who 192.0.2.9 --probe", nil, "", "", "probes the network for", "has not probed the network within 1m0s: the kubelet has reported nothing: look at the kubelet of the node, or probe from another node with --from", 0},
		{"without the right to create pods", "who 192.0.2.9 --probe", nil, "create", "", "", "you lack a right: pods is forbidden", 0},
		{"without the right to delete them", "who 192.0.2.9 --probe", ended(0, `{"answers":[]}`), "delete", "Nobody answers.", "probes the network for", "was not deleted: you lack a right: pods is forbidden", 1},
		{"in another namespace", "who 192.0.2.9 --probe -n other", nil, "", "", "", "the namespace other has no DaemonSet lbstack-speaker", 0},
		{"in the namespace of somebody else", "who 192.0.2.9 --probe -n tenant", nil, "", "", "", "the operator has not made the DaemonSet tenant/lbstack-speaker", 0},
		{"from a node without a speaker", "who 192.0.2.9 --probe --from node-2", nil, "", "", "", "no speaker on node node-2", 0},
		{"a node alone", "who 192.0.2.9 --from node-2", nil, "", "", "", "--from names the node from which --probe asks", 0},
		{"all addresses", "who --probe", nil, "", "", "", "--probe asks for one address", 0},
		{"a Service", "who shop/web --probe", nil, "", "", "", "--probe asks for one address", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := probing(t, tt.ended, tt.forbidden)
				line, namespace, _ := strings.Cut(tt.line, " -n ")
				c.flags.Namespace = &namespace
				out, errOut, err := execute(t.Context(), c, line)
				if (tt.err == "") != (err == nil) || !strings.Contains(errorText(err), tt.err) {
					t.Errorf("got the error %v, want %q", err, tt.err)
				}
				if !strings.Contains(out, tt.out) || tt.out == "" && out != "" {
					t.Errorf("standard output: got %q, want %q", out, tt.out)
				}
				if !strings.Contains(errOut, tt.errOut) {
					t.Errorf("standard error: got %q, want %q", errOut, tt.errOut)
				}
				left(t, c, tt.pods)
			})
		})
	}
}

// left compares the number of pods in the cluster.
func left(t *testing.T, c *cluster, want int) {
	t.Helper()
	pods := &corev1.PodList{}
	if err := c.api.List(t.Context(), pods); err != nil || len(pods.Items) != want {
		t.Errorf("%d pods are left, want %d (%v)", len(pods.Items), want, err)
	}
}

// TestProbe_AnInterruptDeletesThePod: Ctrl-C ends the context.
func TestProbe_AnInterruptDeletesThePod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := probing(t, nil, "")
		ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
		defer stop()
		if _, _, err := execute(ctx, c, "who 192.0.2.9 --probe"); err == nil || !strings.Contains(err.Error(), "interrupted") {
			t.Errorf("got the error %v", err)
		}
		left(t, c, 0)
	})
}

// TestProbe_LeavesNoPodWithoutAWord: where the answer to its creation does not arrive, and where its node does not report.
func TestProbe_LeavesNoPodWithoutAWord(t *testing.T) {
	for _, tt := range []struct {
		name   string
		create func(ctx context.Context, api client.WithWatch, pod client.Object, options []client.CreateOption) error
		want   []string
		pods   int
	}{
		{"the answer is lost", func(ctx context.Context, api client.WithWatch, pod client.Object, options []client.CreateOption) error {
			return errors.Join(api.Create(ctx, pod.DeepCopyObject().(client.Object), options...), context.Canceled)
		}, []string{"context canceled"}, 0},
		{"the node does not report", func(ctx context.Context, api client.WithWatch, pod client.Object, options []client.CreateOption) error {
			pod.SetFinalizers([]string{"example.com/kubelet"}) // as a pod whose kubelet has not ended it
			return api.Create(ctx, pod, options...)
		}, []string{"has not probed the network within 1m0s", "is being deleted, and exists until the kubelet of node node-1 reports or the Node is deleted"}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := probing(t, nil, "")
				c.api = interceptor.NewClient(c.api.(client.WithWatch), interceptor.Funcs{
					Create: func(ctx context.Context, api client.WithWatch, object client.Object, options ...client.CreateOption) error {
						return tt.create(ctx, api, object, options)
					},
				})
				_, _, err := execute(t.Context(), c, "who 192.0.2.9 --probe")
				for _, want := range tt.want {
					if !strings.Contains(errorText(err), want) {
						t.Errorf("got the error %v, want %q", err, want)
					}
				}
				left(t, c, tt.pods)
			})
		})
	}
}
