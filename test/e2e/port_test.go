package e2e

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

// listen has another program listen on a UDP port of a node, as soon as the port is free.
func listen(t *testing.T, node string, port int) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	eventually.Succeed(t, within, fmt.Sprintf("port %d of %s is free", port, node), func(context.Context) error {
		return bed.Cluster.RunInHost(node, func() (err error) {
			conn, err = net.ListenUDP("udp4", &net.UDPAddr{Port: port})
			return err
		})
	})
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// MetalLB listens on 7946 of each node. A program on the port of the mesh keeps the speaker of
// one node from starting: node and stack name the port.
func TestPortOfTheMeshThatAnotherProgramHasIsNamed(t *testing.T) {
	const metallb, mesh = 7946, 7575
	for _, node := range bed.Cluster.Nodes() {
		listen(t, node, metallb)
	}
	installed(t)
	served(t)
	node := bed.Cluster.Nodes()[1]
	_, err := bed.Cluster.Exec(background(t), node, "pkill", "-KILL", "-x", "speaker")
	must(t, err)
	conn := listen(t, node, mesh)
	names := func(what, message string) error {
		for _, want := range []string{"port 7575", "spec.speaker.ports"} {
			if !strings.Contains(message, want) {
				return fmt.Errorf("%s: %q, want it to contain %q", what, message, want)
			}
		}
		return nil
	}
	eventually.Succeed(t, within, "the SpeakerState of the node and the stack name the port", func(ctx context.Context) error {
		state, err := stateOf(ctx, node)
		if err != nil {
			return err
		}
		if c := meta.FindStatusCondition(state.Status.Conditions, v1beta1.ConditionCurrent); c == nil {
			return fmt.Errorf("the SpeakerState has no condition %s", v1beta1.ConditionCurrent)
		} else if err := names("SpeakerState", c.Message); err != nil {
			return err
		}
		stack := &v1beta1.LoadBalancerStack{}
		if err := bed.Client.Get(ctx, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack); err != nil {
			return err
		}
		c := meta.FindStatusCondition(stack.Status.Conditions, v1beta1.ConditionReady)
		if c == nil || !strings.Contains(c.Message, "on "+node+":") {
			return fmt.Errorf("the condition Ready of the stack is %+v, want it to name %s", c, node)
		}
		return names("LoadBalancerStack", c.Message)
	})
	must(t, conn.Close())
	must(t, bed.StackReady(background(t)))
	must(t, bed.EveryoneSeesEveryone(background(t)))
}
