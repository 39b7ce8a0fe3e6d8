package layer2_test

import (
	"testing"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/mesh"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/speaker/layer2"
)

func TestKernelOf(t *testing.T) {
	lost, late := peer("n4", nil), peer("n5", nil)
	lost.Lost, late.Late = true, true
	view := mesh.View{
		Peers:   []mesh.Peer{peer("n2", ownership.Claims{a1: 7}), peer("n3", ownership.Claims{a2: 7}), lost, late},
		Missing: missing("n6"), Checked: true,
	}
	for _, tt := range []struct {
		name     string
		hardware byte
		node     lb.NodeName
		kernel   bool
	}{
		{"this node", '1', "n1", true},
		{"peer that claims the address: its speaker may have answered", '2', "n2", false},
		{"peer that claims another address", '3', "n3", true},
		{"peer whose messages do not arrive: it may claim the address by now", '4', "n4", false},
		{"peer that is late: so may that one", '5', "n5", false},
		{"node whose speaker is missing", '6', "", false},
		{"host that is no node", '9', "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := layer2.New(layer2.Config{Self: "n1"})
			if node, is := e.AnswerSource(a1, mac(tt.hardware)); node != "" || is {
				t.Errorf("before anything is received: got %q, %v, want none", node, is)
			}
			e.SetLinks([]layer2.Link{eth("eth0", '1')})
			e.SetView(view)
			if node, is := e.AnswerSource(a1, mac(tt.hardware)); node != tt.node || is != tt.kernel {
				t.Errorf("got %q, %v, want %q, %v", node, is, tt.node, tt.kernel)
			}
		})
	}
}
