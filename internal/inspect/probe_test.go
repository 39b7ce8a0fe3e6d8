package inspect

import (
	"net/netip"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lanprobe"
)

func TestProbeFrom(t *testing.T) {
	const owned, free, six = "192.0.2.1", "192.0.2.2", "2001:db8::1"
	subnets := func(s *Snapshot, node int, list ...string) { s.States[node].Status.Interfaces[0].Subnets = list }
	tests := []struct {
		name, address, node string
		change              func(*Snapshot)
		want                string // the node and its interfaces, or the error
	}{
		{"the first node", free, "", func(*Snapshot) {}, "node-1 eth0"},
		{"not the one that announces it", owned, "", func(s *Snapshot) { s.States = s.States[1:] }, "node-3 eth0"},
		{"the one that announces it, if there is no other", owned, "", func(s *Snapshot) { s.States = s.States[1:2] }, "node-2 eth0"},
		{"a node with a subnet of the address", free, "", func(s *Snapshot) { subnets(s, 0, "198.51.100.0/24") }, "node-2 eth0"},
		{"the one that announces it before one of another network", owned, "", func(s *Snapshot) { subnets(s, 0); subnets(s, 2) }, "node-2 eth0"},
		{"any interface of the family, if none has a subnet", "203.0.113.1", "", func(*Snapshot) {}, "node-1 eth0"},
		{"a node that is named", owned, "node-2", func(*Snapshot) {}, "node-2 eth0"},
		{"a node that is named and whose speaker has stopped", free, "node-1", func(s *Snapshot) { s.States[0].Status.Phase = v1beta1.SpeakerStopped }, "node-1 eth0"},
		{"not one whose speaker has stopped", free, "", func(s *Snapshot) { s.States[0].Status.Phase = v1beta1.SpeakerStopped }, "node-2 eth0"},
		{"not one that the controller finds dead", free, "", func(s *Snapshot) {
			s.States[0].Status.Conditions = []metav1.Condition{status(v1beta1.ConditionCurrent, "False", "NodeNotReady", "")}
		}, "node-2 eth0"},
		{"all interfaces with the subnet, and no other", free, "", func(s *Snapshot) {
			link := s.States[0].Status.Interfaces[0]
			second, other := link, link
			second.Name, other.Name, other.Subnets = "eth1", "eth2", []string{"198.51.100.0/24"}
			s.States[0].Status.Interfaces = append(s.States[0].Status.Interfaces, second, other)
		}, "node-1 eth0,eth1"},
		{"no more interfaces than can be asked on", free, "", func(s *Snapshot) {
			link := s.States[0].Status.Interfaces[0]
			for range 20 {
				s.States[0].Status.Interfaces = append(s.States[0].Status.Interfaces, link)
			}
		}, "node-1 " + strings.Repeat("eth0,", lanprobe.MaxInterfaces-1) + "eth0"},
		{"no node has the family", six, "", func(*Snapshot) {}, "no running speaker reports an interface with IPv6, so that no node can ask for 2001:db8::1"},
		{"a node that is not there", free, "node-9", func(*Snapshot) {}, "no speaker on node node-9 reports an interface with IPv4"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := announced()
			tt.change(s)
			origin, err := ChooseProbeOrigin(s, netip.MustParseAddr(tt.address), tt.node)
			got := origin.Node + " " + strings.Join(origin.Interfaces, ",")
			if err != nil {
				got = err.Error()
			}
			if !strings.HasPrefix(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestProbe_Golden asks for 192.0.2.1, which node-2 announces, and for 192.0.2.2, which nobody does.
func TestProbe_Golden(t *testing.T) {
	const owned, free, other = "192.0.2.1", "192.0.2.2", "192.0.2.77"
	node := func(n string) lanprobe.Answer {
		return lanprobe.Answer{Interface: "eth0", HardwareAddress: "02:00:00:00:00:0" + n}
	}
	foreign := lanprobe.Answer{Interface: "eth0", HardwareAddress: "02:00:00:00:00:99"}
	covered := node("2")
	covered.Via = node("3").HardwareAddress
	var all strings.Builder
	for _, tt := range []struct {
		name, address, from string
		result              lanprobe.Result
		want                bool
	}{
		{"the node that announces it answers", owned, "node-1", lanprobe.Result{Answers: []lanprobe.Answer{node("2")}}, true},
		{"another node answers for it while its speaker restarts", owned, "node-1", lanprobe.Result{Answers: []lanprobe.Answer{covered}}, true},
		{"nobody answers for an announced address", owned, "node-1", lanprobe.Result{}, false},
		{"asked from the node that announces it", owned, "node-2", lanprobe.Result{}, true},
		{"a foreign host answers as well", owned, "node-1", lanprobe.Result{Answers: []lanprobe.Answer{node("2"), foreign}}, false},
		{"a foreign host answers alone", owned, "node-1", lanprobe.Result{Answers: []lanprobe.Answer{foreign}}, false},
		{"a foreign host answers the node that announces it", owned, "node-2", lanprobe.Result{Answers: []lanprobe.Answer{foreign}}, false},
		{"another node answers", owned, "node-1", lanprobe.Result{Answers: []lanprobe.Answer{node("3")}}, false},
		{"nobody has a free address", free, "node-1", lanprobe.Result{}, true},
		{"the node that asks has it on an interface", free, "node-1", lanprobe.Result{Own: true}, true},
		{"a foreign host has a free address", free, "node-1", lanprobe.Result{Answers: []lanprobe.Answer{foreign}}, false},
		{"a foreign host has an address of no pool", other, "node-1", lanprobe.Result{Answers: []lanprobe.Answer{foreign}}, true},
		{"two nodes have a free address", free, "node-1", lanprobe.Result{Answers: []lanprobe.Answer{node("2"), node("3")}}, false},
		{"the network could not be asked", free, "node-1", lanprobe.Result{Problems: []string{"eth0: network is down"}}, false},
	} {
		s := announced()
		address := netip.MustParseAddr(tt.address)
		origin, err := ChooseProbeOrigin(s, address, tt.from)
		if err != nil {
			t.Fatal(err)
		}
		a := Who(s, Subject{Kind: OneAddress, Address: address})
		a.Probe = CompareProbe(s, address, origin, tt.result)
		if a.Probe.AsReported != tt.want {
			t.Errorf("%s: as reported %v, want %v", tt.name, a.Probe.AsReported, tt.want)
		}
		all.WriteString("=== " + tt.name + "\n")
		if err := a.Print(&all); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "probe.txt", all.String())
}
