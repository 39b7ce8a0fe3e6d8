package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/internal/inspect"
	"github.com/lbstack/lbstack/internal/lanprobe"
	"github.com/lbstack/lbstack/internal/maintenance"
)

// probeWithin is how long a pod may take to start and to ask. It ends by itself at about the same time.
const probeWithin = maintenance.ProbeDeadline * time.Second

// probe asks the local network for an address with a pod, which it deletes, and compares the answers with what the speakers report. A pod that
// stays is an error, beside the answers.
func (c *cluster) probe(ctx context.Context, streams genericiooptions.IOStreams, s *inspect.Snapshot, address netip.Addr, from string) (probed *inspect.Probed, err error) {
	origin, err := inspect.ProbeFrom(s, address, from)
	if err != nil {
		return nil, err
	}
	speakers := &appsv1.DaemonSet{}
	switch err := c.api.Get(ctx, client.ObjectKey{Namespace: c.installedIn(), Name: "lbstack-speaker"}, speakers); {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("the namespace %s has no DaemonSet lbstack-speaker, whose image asks the network: pass the namespace of lbstack with -n", c.installedIn())
	case err != nil:
		return nil, missingRight(err)
	}
	pod, err := maintenance.ProbePod(speakers, origin.Node, lanprobe.Request{Address: address, Interfaces: origin.Interfaces})
	if err != nil {
		return nil, err
	}
	if err := c.api.Create(ctx, pod); err != nil {
		return nil, missingRight(err)
	}
	fmt.Fprintf(streams.ErrOut, "pod/%s on node %s asks for %s on %s\n", pod.Name, origin.Node, address, strings.Join(origin.Interfaces, ", "))
	result, err := c.probeResult(ctx, pod)
	if err == nil {
		probed = inspect.Probe(s, address, origin, result)
	}
	if removed := c.removeProbe(ctx, pod); removed != nil {
		err = errors.Join(err, fmt.Errorf("pod/%s stays: %w: delete it: kubectl delete pod -n %s %s", pod.Name, removed, pod.Namespace, pod.Name))
	}
	return probed, err
}

// probeResult waits for the result of a pod.
func (c *cluster) probeResult(ctx context.Context, pod *corev1.Pod) (lanprobe.Result, error) {
	user := ctx
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	for {
		err := c.api.Get(ctx, client.ObjectKeyFromObject(pod), pod)
		switch {
		case user.Err() != nil:
			return lanprobe.Result{}, errors.New("the probe was interrupted")
		case ctx.Err() != nil:
			return lanprobe.Result{}, fmt.Errorf("pod %s on node %s has not asked within %s: %s: look at the kubelet of the node, or ask from another one with --from", pod.Name, pod.Spec.NodeName, probeWithin, maintenance.ProbeState(pod))
		case apierrors.IsNotFound(err):
			return lanprobe.Result{}, fmt.Errorf("pod %s on node %s was deleted before it had an answer: run the command again", pod.Name, pod.Spec.NodeName)
		case err != nil:
			return lanprobe.Result{}, missingRight(err)
		}
		if result, done, err := maintenance.ProbeResult(pod); done {
			return result, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(pollEvery):
		}
	}
}

// removeProbe deletes the pod, also after an interrupt.
func (c *cluster) removeProbe(ctx context.Context, pod *corev1.Pod) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return missingRight(client.IgnoreNotFound(c.api.Delete(ctx, pod, client.Preconditions{UID: &pod.UID})))
}
