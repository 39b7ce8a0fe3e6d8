package scenario

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// Namespace is the namespace of the components in the samples.
const Namespace = "lbstack-system"

// drainKey is the mark of a node that hands over its addresses.
const drainKey = "lbstack.io/drain"

// Drain marks a node as to be drained, or takes the mark away.
func (s *Scenario) Drain(ctx context.Context, node string, drained bool) error {
	value := "null"
	if drained {
		value = `"true"`
	}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%s}}}`, drainKey, value)
	object := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}
	if err := s.Client.Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		return fmt.Errorf("annotating the node %s: %w", node, err)
	}
	return nil
}

// Owned returns how many addresses each node reports it owns.
func (s *Scenario) Owned(ctx context.Context) (map[string]int, error) {
	var states v1beta1.SpeakerStateList
	if err := s.Client.List(ctx, &states); err != nil {
		return nil, fmt.Errorf("listing the SpeakerStates: %w", err)
	}
	owned := map[string]int{}
	for i := range states.Items {
		owned[states.Items[i].Name] = int(states.Items[i].Status.AddressCount)
	}
	return owned, nil
}

// RestartSpeakers restarts all speakers, one after the other, as an upgrade does,
// and waits until that is done.
func (s *Scenario) RestartSpeakers(ctx context.Context, mark string) error {
	return s.RestartDaemonSet(ctx, client.ObjectKey{Namespace: Namespace, Name: "lbstack-speaker"}, mark)
}

// RestartDaemonSet restarts the pods of a DaemonSet, as kubectl rollout restart does.
func (s *Scenario) RestartDaemonSet(ctx context.Context, key client.ObjectKey, mark string) error {
	set := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	patch := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`, mark)
	if err := s.Client.Patch(ctx, set, client.RawPatch(types.StrategicMergePatchType, []byte(patch))); err != nil {
		return fmt.Errorf("restarting the pods of %s: %w", key, err)
	}
	generation := set.Generation
	return eventually.Poll(ctx, func(ctx context.Context) error {
		if err := s.Client.Get(ctx, client.ObjectKeyFromObject(set), set); err != nil {
			return err
		}
		if st := set.Status; st.ObservedGeneration < generation || st.UpdatedNumberScheduled < st.DesiredNumberScheduled || st.NumberReady < st.DesiredNumberScheduled {
			return fmt.Errorf("%d of %d speakers are new, %d are ready", st.UpdatedNumberScheduled, st.DesiredNumberScheduled, st.NumberReady)
		}
		return nil
	})
}

// ReplaceSpeaker deletes the speaker's pod of a node, and waits until the new pod is
// ready. The old pod has its grace period, since it uses ports of the node.
func (s *Scenario) ReplaceSpeaker(ctx context.Context, node string) error {
	old, err := s.speakerOf(ctx, node)
	if err != nil {
		return err
	}
	if err := client.IgnoreNotFound(s.Client.Delete(ctx, old)); err != nil {
		return fmt.Errorf("deleting the speaker of %s: %w", node, err)
	}
	return eventually.Poll(ctx, func(ctx context.Context) error {
		pod, err := s.speakerOf(ctx, node)
		if err != nil {
			return err
		}
		ready := slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
		if pod.UID == old.UID || !ready {
			return fmt.Errorf("the new speaker of %s is not ready", node)
		}
		return nil
	})
}

// speakerOf returns the newest pod of a node's speaker.
func (s *Scenario) speakerOf(ctx context.Context, node string) (*corev1.Pod, error) {
	var pods corev1.PodList
	if err := s.Client.List(ctx, &pods, client.InNamespace(Namespace), client.MatchingLabels{v1beta1.LabelComponent: "speaker"}); err != nil {
		return nil, fmt.Errorf("listing the speakers: %w", err)
	}
	var newest *corev1.Pod
	for i := range pods.Items {
		if p := &pods.Items[i]; p.Spec.NodeName == node && (newest == nil || newest.CreationTimestamp.Before(&p.CreationTimestamp)) {
			newest = p
		}
	}
	if newest == nil {
		return nil, fmt.Errorf("there is no speaker on %s", node)
	}
	return newest, nil
}

// Partition cuts groups of nodes off from each other: packets from a node of
// another group are dropped on arrival. All other hosts still reach all nodes.
func (s *Scenario) Partition(ctx context.Context, groups ...[]string) error {
	macs := map[string]string{}
	for _, node := range s.Cluster.Nodes() {
		mac, err := s.Cluster.Exec(ctx, node, "cat", "/sys/class/net/eth0/address")
		if err != nil {
			return err
		}
		macs[node] = strings.TrimSpace(string(mac))
	}
	for i, group := range groups {
		var foreign []string
		for j, other := range groups {
			for _, node := range other {
				if i != j {
					foreign = append(foreign, macs[node])
				}
			}
		}
		rules := fmt.Sprintf("table netdev partition { chain in { type filter hook ingress device eth0 priority 0; ether saddr { %s } drop; }; }", strings.Join(foreign, ", "))
		for _, node := range group {
			if out, err := s.Cluster.Exec(ctx, node, "nft", rules); err != nil {
				return fmt.Errorf("cutting %s off: %w: %s", node, err, out)
			}
		}
	}
	return nil
}

// Heal undoes Partition.
func (s *Scenario) Heal(ctx context.Context) error {
	for _, node := range s.Cluster.Nodes() {
		if out, err := s.Cluster.Exec(ctx, node, "nft", "delete table netdev partition"); err != nil && !strings.Contains(err.Error()+string(out), "No such file") {
			return fmt.Errorf("joining %s again: %w: %s", node, err, out)
		}
	}
	return nil
}

// DropDatagrams has a node drop the datagrams of the mesh, in both directions: those of other nodes or,
// without names, those of all nodes. LetDatagramsThrough undoes it.
func (s *Scenario) DropDatagrams(ctx context.Context, node string, others ...string) error {
	from, to := "", ""
	if len(others) > 0 {
		var addresses []string
		for _, other := range others {
			var n corev1.Node
			if err := s.Client.Get(ctx, client.ObjectKey{Name: other}, &n); err != nil {
				return fmt.Errorf("reading the node %s: %w", other, err)
			}
			for _, a := range n.Status.Addresses {
				if ip, err := netip.ParseAddr(a.Address); err == nil && ip.Is4() {
					addresses = append(addresses, a.Address)
				}
			}
		}
		set := "{ " + strings.Join(addresses, ", ") + " } "
		from, to = "ip saddr "+set, "ip daddr "+set
	}
	rules := "table inet firewall { chain in { type filter hook input priority 0; " + from + "udp dport 7575 drop; }; chain out { type filter hook output priority 0; " + to + "udp dport 7575 drop; }; }"
	if out, err := s.Cluster.Exec(ctx, node, "nft", rules); err != nil {
		return fmt.Errorf("having %s drop datagrams: %w: %s", node, err, out)
	}
	return nil
}

// DropSent has a node drop the datagrams of the mesh that it sends; it receives those of others.
// LetDatagramsThrough undoes it.
func (s *Scenario) DropSent(ctx context.Context, node string) error {
	const rules = "table inet firewall { chain out { type filter hook output priority 0; udp dport 7575 drop; }; }"
	if out, err := s.Cluster.Exec(ctx, node, "nft", rules); err != nil {
		return fmt.Errorf("having %s drop what it sends: %w: %s", node, err, out)
	}
	return nil
}

// DropReceived has a node receive nothing at all on an interface, ARP included, while all that it sends
// goes out: a broken receiver of its network card. Receive undoes it.
func (s *Scenario) DropReceived(ctx context.Context, node, device string) error {
	rules := "table netdev receiver { chain in { type filter hook ingress device " + device + " priority 0; policy drop; }; }"
	if out, err := s.Cluster.Exec(ctx, node, "nft", rules); err != nil {
		return fmt.Errorf("having %s receive nothing: %w: %s", node, err, out)
	}
	return nil
}

// Receive undoes DropReceived, if it was done.
func (s *Scenario) Receive(ctx context.Context, node string) error {
	if out, err := s.Cluster.Exec(ctx, node, "nft", "delete table netdev receiver"); err != nil && !strings.Contains(err.Error()+string(out), "No such file") {
		return fmt.Errorf("having %s receive again: %w: %s", node, err, out)
	}
	return nil
}

// LetDatagramsThrough undoes DropDatagrams or DropSent, if it was done.
func (s *Scenario) LetDatagramsThrough(ctx context.Context, node string) error {
	if out, err := s.Cluster.Exec(ctx, node, "nft", "delete table inet firewall"); err != nil && !strings.Contains(err.Error()+string(out), "No such file") {
		return fmt.Errorf("having %s let datagrams through: %w: %s", node, err, out)
	}
	return nil
}
