package mesh

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lbstack/lbstack/internal/mesh/wire"
	"github.com/lbstack/lbstack/internal/ownership"
)

func TestRunner_IsSilent(t *testing.T) {
	state := func(phase ownership.Phase, prefixes ...string) wire.State {
		s := wire.State{Phase: phase}
		for _, p := range prefixes {
			s.Links = append(s.Links, wire.Link{Prefixes: []netip.Prefix{netip.MustParsePrefix(p)}})
		}
		return s
	}
	const nodes, storage = "192.168.0.0/16", "10.0.0.0/8"
	for _, tt := range []struct {
		name   string
		states []wire.State
		want   []bool
	}{
		{"it announces on the link of the mesh", []wire.State{state(ownership.Active, storage, nodes)}, []bool{false}},
		{"no more, and then again", []wire.State{state(ownership.Starting, nodes), state(ownership.Active, storage), state(ownership.Active, nodes)}, []bool{false, true, false}},
		{"it never did", []wire.State{state(ownership.Active, storage), state(ownership.Active)}, []bool{false, false}},
		{"it is isolated", []wire.State{state(ownership.Isolated, nodes)}, []bool{true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &runner{address: netip.MustParseAddr("192.168.0.10")}
			var got []bool
			for _, s := range tt.states {
				got = append(got, r.isSilent(s))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("whether it is silent with each state (-want +got):\n%s", diff)
			}
		})
	}
}
