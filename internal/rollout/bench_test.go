package rollout

import (
	"fmt"
	"testing"

	"github.com/lbstack/lbstack/internal/lb"
)

// BenchmarkDecide is a decision in a large cluster, each node of which covers for another one.
func BenchmarkDecide(b *testing.B) {
	for _, nodes := range []int{500, 5000} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			s := at(PhaseSpeakers, nodes)
			for i := range nodes {
				name, next := lb.NodeName(fmt.Sprintf("n%d", i+1)), lb.NodeName(fmt.Sprintf("n%d", (i+1)%nodes+1))
				if i%2 == 0 {
					s.runs(two, name)
				}
				s.Nodes[name].Report.Unannounced = []lb.NodeName{next}
			}
			for b.Loop() {
				Decide(s)
			}
		})
	}
}
