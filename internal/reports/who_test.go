package reports

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestForeign_HostAndRemedy(t *testing.T) {
	const remove = `if another load balancer, such as MetalLB, announces the address from there, turn that off; otherwise remove the address from the interfaces of the node "n3", or exclude the address in the pool (if kube-proxy has added the address to an interface, set ipvs.strictARP of kube-proxy)`
	host := ForeignHost{Node: "n1", Interface: "eth0", MAC: "m"}
	kernel, own := host, host
	kernel.HostNode, own.HostNode, own.Node = "n3", "n3", "n3"
	for _, tt := range []struct {
		name        string
		host        ForeignHost
		last        bool
		who, remedy string
	}{
		{"host that is no node", host, false, `a foreign host with the MAC m (reported by the node "n1" on eth0)`, "turn that host off or give it another address"},
		{"host that is not reported any more", host, true, `a foreign host with the MAC m (last reported by the node "n1" on eth0)`, "turn that host off or give it another address"},
		{"kernel of another node", kernel, false, `the kernel of the node "n3" (MAC m, reported by the node "n1" on eth0)`, remove},
		{"kernel of the node itself", own, false, `the kernel of the node "n3" (its interface eth0, MAC m)`, remove},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff([]string{tt.who, tt.remedy}, []string{tt.host.Describe(tt.last), tt.host.Remedy()}); diff != "" {
				t.Errorf("who and remedy (-want +got):\n%s", diff)
			}
		})
	}
}
