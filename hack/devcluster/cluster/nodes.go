// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/lbstack/lbstack/hack/devcluster/plan"
)

type jsonObject = map[string]any

// nodeList has the fields of a NodeList that this package reads.
type nodeList struct {
	Items []struct {
		Metadata struct{ Name string }
		Status   struct {
			Conditions []struct {
				Type, Status      string
				LastHeartbeatTime time.Time
			}
		}
	}
}

// ensureObjects makes the objects that must exist before the nodes start. The Nodes
// have podCIDRs and addresses, which kube-proxy waits for. A ClusterRoleBinding
// permits the API server to send requests to kubelets.
func (c *Cluster) ensureObjects(ctx context.Context) error {
	client, err := c.newAPIClient()
	if err != nil {
		return err
	}
	for _, host := range plan.Nodes(c.nodes) {
		if err := client.createIfAbsent(ctx, "/api/v1/nodes", nodeObject(host)); err != nil {
			return fmt.Errorf("making Node %s: %w", host.Name, err)
		}
		if err := client.mergePatch(ctx, "/api/v1/nodes/"+host.Name+"/status", nodeStatus(host)); err != nil {
			return fmt.Errorf("setting the addresses of Node %s: %w", host.Name, err)
		}
	}
	const rbac = "rbac.authorization.k8s.io"
	err = client.createIfAbsent(ctx, "/apis/"+rbac+"/v1/clusterrolebindings", jsonObject{
		"apiVersion": rbac + "/v1", "kind": "ClusterRoleBinding",
		"metadata": jsonObject{"name": "devcluster:kubelet-client"},
		"roleRef":  jsonObject{"apiGroup": rbac, "kind": "ClusterRole", "name": "system:kubelet-api-admin"},
		"subjects": []jsonObject{{"apiGroup": rbac, "kind": "User", "name": kubeletClientName}},
	})
	if err != nil {
		return fmt.Errorf("giving the API server access to kubelets: %w", err)
	}
	return nil
}

func nodeObject(host plan.Host) jsonObject {
	ranges := []string{host.PodsV4().String(), host.PodsV6().String()}
	return jsonObject{
		"apiVersion": "v1", "kind": "Node", "metadata": jsonObject{"name": host.Name},
		"spec": jsonObject{"podCIDR": ranges[0], "podCIDRs": ranges},
	}
}

func nodeStatus(host plan.Host) jsonObject {
	return jsonObject{"status": jsonObject{"addresses": []jsonObject{
		{"type": "InternalIP", "address": host.V4.String()},
		{"type": "InternalIP", "address": host.V6.String()},
		{"type": "Hostname", "address": host.Name},
	}}}
}

// awaitNodes waits until each node in since reports that it is ready. The times in since
// are the starts of the nodes: a report from before the start, by an earlier run of the
// node, does not count.
func (c *Cluster) awaitNodes(ctx context.Context, since map[string]time.Time) error {
	client, err := c.newAPIClient()
	if err != nil {
		return err
	}
	err = pollUntilSuccess(ctx, func(ctx context.Context) error {
		var list nodeList
		if err := client.get(ctx, "/api/v1/nodes", &list); err != nil {
			return err
		}
		ready := list.readyHeartbeats()
		for name, after := range since {
			if at, ok := ready[name]; !ok || at.Before(roundUpToSecond(after)) {
				return fmt.Errorf("node %s is not ready", name)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("waiting for nodes: %w", err)
	}
	return nil
}

// roundUpToSecond returns t rounded up to a whole second, since the API server rounds
// heartbeat times down. It does not change the zero time.
func roundUpToSecond(t time.Time) time.Time {
	if whole := t.Truncate(time.Second); whole.Before(t) {
		return whole.Add(time.Second)
	}
	return t
}

// readyHeartbeats returns the time of the last heartbeat of each node that is ready, by name.
func (l nodeList) readyHeartbeats() map[string]time.Time {
	ready := map[string]time.Time{}
	for _, node := range l.Items {
		for _, condition := range node.Status.Conditions {
			if condition.Type == "Ready" && condition.Status == "True" {
				ready[node.Metadata.Name] = condition.LastHeartbeatTime
			}
		}
	}
	return ready
}

// awaitServiceAccount waits until pods can be created in the default namespace: until
// the namespace has the ServiceAccount "default".
func (c *Cluster) awaitServiceAccount(ctx context.Context) error {
	client, err := c.newAPIClient()
	if err != nil {
		return err
	}
	err = pollUntilSuccess(ctx, func(ctx context.Context) error {
		return client.get(ctx, "/api/v1/namespaces/default/serviceaccounts/default", nil)
	})
	if err != nil {
		return fmt.Errorf("waiting for the default service account: %w", err)
	}
	return nil
}
