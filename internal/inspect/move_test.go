package inspect

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lb"
)

func TestCannotAnnounce(t *testing.T) {
	for _, tt := range []struct {
		name, address string
		node          lb.NodeName
		change        func(*Snapshot)
		want          string // a part of the error; empty: none
	}{
		{"a node that can", "192.0.2.1", "node-3", nil, ""},
		{"the node that does", "192.0.2.1", "node-2", nil, ""},
		{"a node that is none", "192.0.2.1", "node-9", nil, "the cluster has no node node-9"},
		{"an address that nobody has", "192.0.2.3", "node-1", nil, "no Service of type LoadBalancer has this address"},
		{"a drained node", "192.0.2.1", "node-1", func(s *Snapshot) { s.Nodes[0].Annotations = map[string]string{"lbstack.io/drain": ""} }, "it is drained: run kubectl lbstack undrain node-1"},
		{"a node that no advertisement selects", "192.0.2.1", "node-1", func(s *Snapshot) { s.L2Advertisements[0].Spec.NodeSelectors = selects("node-2") }, "is not selected by spec.nodeSelectors"},
		{"an address that routers alone have", "192.0.2.1", "node-1", func(s *Snapshot) { s.L2Advertisements = nil }, "is not announced on the local network: "},
		{"a node without a speaker", "192.0.2.1", "node-1", func(s *Snapshot) { s.States = s.States[1:] }, "has no running speaker"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := announced()
			if tt.change != nil {
				tt.change(s)
			}
			err := CannotAnnounce(s, netip.MustParseAddr(tt.address), tt.node)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestWhoAndWhy_NameTheRequestedNode(t *testing.T) {
	s := announced()
	for node, want := range map[string][2]string{
		"node-2": {"192.0.2.1: the IPAddressClaim asks for node node-2, which announces the address", "; the IPAddressClaim asks for this node (kubectl lbstack move)"},
		"node-3": {"192.0.2.1: the IPAddressClaim asks for node node-3, which does not announce the address: kubectl lbstack why", "node-3 may announce it; the IPAddressClaim asks for this node (kubectl lbstack move)"},
		"node-9": {"the IPAddressClaim asks for node node-9, which does not", "the IPAddressClaim asks for node-9, which is not a node of the cluster: run kubectl lbstack move 192.0.2.1 --reset"},
	} {
		s.Claims[0].Annotations = map[string]string{v1beta1.AnnotationAnnounceFrom: node}
		who, why := Who(s, Subject{}), Why(s)
		var texts [2]strings.Builder
		if err := who.Print(&texts[0]); err != nil {
			t.Fatal(err)
		}
		if err := why.Print(&texts[1]); err != nil {
			t.Fatal(err)
		}
		for i := range texts {
			if !strings.Contains(texts[i].String(), want[i]) {
				t.Errorf("%s is asked for: printed\n%s\nwant %q", node, texts[i].String(), want[i])
			}
		}
	}
}
