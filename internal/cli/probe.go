package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/inspect"
	"github.com/lbstack/lbstack/internal/lanprobe"
	"github.com/lbstack/lbstack/internal/maintenance"
)

// probeTimeout is how long the command waits for the pod of a probe. The pod itself has the same deadline.
const probeTimeout = maintenance.ProbeDeadline * time.Second

// probeAddress creates a pod that asks the local network for an address, deletes it, and compares the answers with the reports
// of the speakers. It returns both the answers and an error if the pod could not be deleted.
func (c *cluster) probeAddress(ctx context.Context, streams genericiooptions.IOStreams, s *inspect.Snapshot, address netip.Addr, from string) (probed *inspect.ProbeReport, err error) {
	origin, err := inspect.ChooseProbeOrigin(s, address, from)
	if err != nil {
		return nil, err
	}
	speakers := &appsv1.DaemonSet{}
	switch err := c.api.Get(ctx, client.ObjectKey{Namespace: c.installNamespace(), Name: "lbstack-speaker"}, speakers); {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("the namespace %s has no DaemonSet lbstack-speaker, whose image the probe needs: pass the namespace of lbstack with -n", c.installNamespace())
	case err != nil:
		return nil, missingRight(err)
	}
	if !madeByOperator(s.Stack, speakers) {
		return nil, fmt.Errorf("the operator has not made the DaemonSet %s/%s (it is not in status.inventory of LoadBalancerStack %s), and the probe would run the image of this DaemonSet in the network of a node: pass the namespace of lbstack with -n", speakers.Namespace, speakers.Name, v1beta1.LoadBalancerStackName)
	}
	pod, err := maintenance.ProbePod(speakers, origin.Node, lanprobe.Request{Address: address, Interfaces: origin.Interfaces})
	if err != nil {
		return nil, err
	}
	pod.Name = pod.GenerateName + rand.String(5) // a known name, so that the pod can be deleted even if the answer to the request is lost
	switch err = missingRight(c.api.Create(ctx, pod)); {
	case err == nil:
		fmt.Fprintf(streams.ErrOut, "pod/%s on node %s probes the network for %s on %s\n", pod.Name, origin.Node, address, strings.Join(origin.Interfaces, ", "))
		var result lanprobe.Result
		if result, err = c.probeResult(ctx, pod); err == nil {
			probed = inspect.CompareProbe(s, address, origin, result)
		}
	case isLasting(err) || apierrors.IsAlreadyExists(err):
		return nil, err
	}
	return probed, errors.Join(err, c.removeProbe(ctx, pod, probed != nil))
}

// madeByOperator reports whether a DaemonSet is in the inventory of the stack. A DaemonSet that somebody else has made may have the
// name of the speakers as well.
func madeByOperator(stack *v1beta1.LoadBalancerStack, set *appsv1.DaemonSet) bool {
	return stack != nil && slices.ContainsFunc(stack.Status.Inventory, func(ref v1beta1.ObjectReference) bool {
		return ref.Group == appsv1.GroupName && ref.Kind == "DaemonSet" && ref.Namespace == set.Namespace && ref.Name == set.Name
	})
}

// probeResult waits for the result of a pod.
func (c *cluster) probeResult(ctx context.Context, pod *corev1.Pod) (lanprobe.Result, error) {
	user := ctx
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	for {
		err := c.api.Get(ctx, client.ObjectKeyFromObject(pod), pod)
		switch {
		case user.Err() != nil:
			return lanprobe.Result{}, errors.New("the probe was interrupted")
		case ctx.Err() != nil:
			return lanprobe.Result{}, fmt.Errorf("pod %s on node %s has not probed the network within %s: %s: look at the kubelet of the node, or probe from another node with --from", pod.Name, pod.Spec.NodeName, probeTimeout, maintenance.ProbeState(pod))
		case apierrors.IsNotFound(err):
			return lanprobe.Result{}, fmt.Errorf("pod %s on node %s was deleted before it reported a result: run the command again", pod.Name, pod.Spec.NodeName)
		case err != nil:
			return lanprobe.Result{}, missingRight(err)
		}
		if result, done, err := maintenance.ProbeResult(pod); done {
			return result, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(pollInterval):
		}
	}
}

// removeProbe deletes the pod, even after an interrupt, and even if it is not certain that the pod was
// created. If the pod has not reported a result, its kubelet may have stopped reporting. removeProbe then
// waits up to 10 s until the pod is removed, and returns an error if it is not.
func (c *cluster) removeProbe(ctx context.Context, pod *corev1.Pod, asked bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := missingRight(client.IgnoreNotFound(c.api.Delete(ctx, pod))); err != nil {
		return fmt.Errorf("pod/%s was not deleted: %w: delete the pod: kubectl delete pod -n %s %s", pod.Name, err, pod.Namespace, pod.Name)
	}
	for ; !asked; time.Sleep(pollInterval) {
		switch err := c.api.Get(ctx, client.ObjectKeyFromObject(pod), pod); {
		case apierrors.IsNotFound(err):
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("pod/%s is being deleted, and exists until the kubelet of node %s reports or the Node is deleted", pod.Name, pod.Spec.NodeName)
		case err != nil:
			return missingRight(err)
		}
	}
	return nil
}
