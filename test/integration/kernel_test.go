package integration

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// A virtual IP of the control plane is on an interface of node3, and in a pool.
func TestAddressOfAKernel(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.machine("node1", nil)
	b.machine("node3", nil)
	b.advertise("conflicts")
	node1, node3 := b.speaker("node1"), b.speaker("node3")
	b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")
	b.service("exact", asking("10.9.0.2"))
	b.has("exact", "10.9.0.2")

	// What an interface has is given to nobody, and taken from nobody.
	node3.status.Interfaces[0].Addresses = []string{"10.9.0.1", "10.9.0.2", "10.9.0.3"}
	node3.write()
	b.poolCondition("pool", v1beta1.ConditionConflict, v1beta1.ReasonOverlap)
	b.service("next")
	b.has("next", "10.9.0.4")
	b.service("eager", asking("10.9.0.3"))
	b.refused("eager", v1beta1.ReasonAddressNotInPool)
	b.keeps("web", "10.9.0.1")

	// Before it announces the two, node1 gets answers from the kernel of node3.
	for _, address := range []string{"10.9.0.1", "10.9.0.2"} {
		node1.status.Conflicts = append(node1.status.Conflicts, v1beta1.SpeakerConflict{
			Address: address, Interface: "eth0", HardwareAddress: foreignMAC, HostNode: "node3", Since: metav1.NewTime(time.Now().Truncate(time.Second)),
		})
	}
	node1.write()
	b.has("web", "10.9.0.5")
	b.warned("web", v1beta1.ReasonAddressConflict, "10.9.0.1", `the kernel of the node "node3"`, foreignMAC)
	b.poolConflict("pool", `the kernel of the node "node3"`)
	b.announced("exact", v1beta1.ReasonAddressConflict, `the kernel of the node "node3"`, "10.9.0.2", "strictARP")
	b.claimConflict("10.9.0.2", true)
	b.keeps("exact", "10.9.0.2")
}
