package cli

import (
	"cmp"
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lbstack/lbstack/internal/cutover"
)

// responderTimeout is how long a rollback waits until the log of a speaker of MetalLB shows an NDP responder
// or an announcement. MetalLB searches for interfaces three times in this period. After the timeout the
// rollback continues.
const responderTimeout = 30 * time.Second

// maxRestarts is how often a rollback restarts the speaker of MetalLB on a node. If the speaker still
// announces before it has a responder, the node may have no interface with IPv6.
const maxRestarts = 3

// responderChecks has the pods of MetalLB's speakers whose responders this run has checked, by UID.
type responderChecks struct {
	// begun is when this run first read the log of the pod.
	begun map[types.UID]time.Time
	// done are the pods that need no further check.
	done map[types.UID]bool
	// restarts is how many pods were restarted, by node.
	restarts map[string]int
}

// restartLate restarts the speakers of MetalLB that announced before they had an NDP responder (see
// cutover.Responder). It restarts one at a time, and at most maxRestarts times on each node. It does nothing
// if no Service has an IPv6 address in its status.
func (m *migrateRun) restartLate(ctx context.Context, c *cutover.Cluster) error {
	if !c.ShowsIPv6() {
		return nil
	}
	return m.wait(ctx, "MetalLB's speakers receive neighbour solicitations", func(ctx context.Context) (string, error) {
		now, set, words, err := m.readSpeakers(ctx, c)
		if err == nil && words == "" {
			words = now.MissingPodMessage(set)
		}
		if err != nil || words != "" {
			return words, err
		}
		for i := range now.Pods {
			pod := &now.Pods[i]
			late, still, err := m.isLate(ctx, pod)
			if err == nil && late {
				m.responders.restarts[pod.Spec.NodeName]++
				still = fmt.Sprintf("Pod %s of MetalLB on node %s announced addresses before it received neighbour solicitations, and no host would reach its IPv6 addresses: the pod is restarted", pod.Name, pod.Spec.NodeName)
				err = m.deletePods(ctx, now.Pods[i:i+1], cutover.GracePeriod)
			}
			if err != nil || late {
				return still, err
			}
			words = cmp.Or(words, still)
		}
		return words, nil
	})
}

// isLate reports whether a speaker of MetalLB announced before it had an NDP responder. As long as the log of
// the speaker does not show this, the result still is a phrase for the user. After responderTimeout, or after
// maxRestarts restarts on the node, isLate prints a warning and returns false.
func (m *migrateRun) isLate(ctx context.Context, pod *corev1.Pod) (late bool, still string, err error) {
	if m.responders.done[pod.UID] {
		return false, "", nil
	}
	if m.responders.begun == nil {
		m.responders = responderChecks{map[types.UID]time.Time{}, map[types.UID]bool{}, map[string]int{}}
	}
	if m.responders.begun[pod.UID].IsZero() {
		m.responders.begun[pod.UID] = time.Now()
	}
	log, err := m.podLog(ctx, pod.Namespace, pod.Name, speakerLog(pod))
	name := fmt.Sprintf("Pod %s of MetalLB on node %s", pod.Name, pod.Spec.NodeName)
	still = fmt.Sprintf("the log of %s does not show whether the pod receives neighbour solicitations", name)
	over := time.Since(m.responders.begun[pod.UID]) >= responderTimeout
	switch found := cutover.ResponderInLog(log); {
	case apierrors.IsForbidden(err):
		return false, "", missingRight(err)
	case err != nil:
		still = fmt.Sprintf("reading the log of %s: %v", name, err)
	case found == cutover.ResponderLate && m.responders.restarts[pod.Spec.NodeName] < maxRestarts:
		return true, "", nil
	case found == cutover.ResponderLate:
		still, over = fmt.Sprintf("%s announced addresses before it received neighbour solicitations, also after %d restarts", name, maxRestarts), true
	case found == cutover.ResponderInTime:
		m.responders.done[pod.UID] = true
		return false, "", nil
	}
	if !over {
		return false, still, nil
	}
	m.responders.done[pod.UID] = true
	fmt.Fprintf(m.ErrOut, "  %s: if no host reaches its IPv6 addresses, restart the pod: kubectl delete pod -n %s %s\n", still, pod.Namespace, pod.Name)
	return false, "", nil
}

// maxSpeakerLog is the number of bytes that are read from the beginning of the log of a speaker of MetalLB. A
// speaker with the log level info writes some 50 kB before it has announced 50 Services.
const maxSpeakerLog = 1 << 20

// speakerLog selects the log of the container of MetalLB's speaker. The container is called "speaker" in
// MetalLB's manifests and in its chart; with FRR, the pod has further containers. If no container has this
// name, speakerLog selects the first one.
func speakerLog(pod *corev1.Pod) *corev1.PodLogOptions {
	options := &corev1.PodLogOptions{LimitBytes: new(int64(maxSpeakerLog))}
	for i := range pod.Spec.Containers {
		if name := pod.Spec.Containers[i].Name; i == 0 || name == "speaker" {
			options.Container = name
		}
	}
	return options
}
