package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/test/scenario"
)

// lateResponders has speakers of MetalLB announce before they have an NDP responder. It follows the output of a rollback: the nodes on
// which speakers start last are without link-local addresses until the command restarts such a speaker.
type lateResponders struct {
	ctx   context.Context
	bed   *scenario.Scenario
	nodes []string
	// taken are the link-local addresses that the nodes do not have now, with their prefix lengths, by node.
	taken     map[string][]string
	restarted bool
	err       error
}

// newLateResponders gives the addresses back when the test ends, at the latest.
func newLateResponders(ctx context.Context, t *testing.T, bed *scenario.Scenario) *lateResponders {
	t.Helper()
	l := &lateResponders{ctx: context.WithoutCancel(ctx), bed: bed, taken: map[string][]string{}}
	var nodes corev1.NodeList
	must(t, bed.Client.List(ctx, &nodes))
	for i := range nodes.Items {
		l.nodes = append(l.nodes, nodes.Items[i].Name)
	}
	t.Cleanup(l.giveBack)
	return l
}

// printed is called with each line of the command.
func (l *lateResponders) printed(line string) {
	switch first, isFirst := strings.CutSuffix(line, ": MetalLB's speaker starts"); {
	case isFirst:
		l.nodes = slices.DeleteFunc(l.nodes, func(node string) bool { return "node "+node == first })
	case line == "lbstack ends its announcements":
		l.take()
	case strings.Contains(line, "the pod is restarted"):
		l.restarted = true
		l.giveBack()
	}
}

func (l *lateResponders) take() {
	for _, node := range l.nodes {
		out := l.ip(node, "-oneline", "-6", "address", "show", "dev", "eth0", "scope", "link")
		for line := range strings.Lines(out) {
			if fields := strings.Fields(line); len(fields) > 3 {
				l.taken[node] = append(l.taken[node], fields[3])
				l.ip(node, "-6", "address", "delete", fields[3], "dev", "eth0")
			}
		}
		if len(l.taken[node]) == 0 {
			l.err = errors.Join(l.err, fmt.Errorf("%s has no link-local address: %q", node, out))
		}
	}
}

func (l *lateResponders) giveBack() {
	for node, addresses := range l.taken {
		for _, address := range addresses {
			l.ip(node, "-6", "address", "add", address, "dev", "eth0", "nodad")
		}
	}
	clear(l.taken)
}

func (l *lateResponders) ip(node string, args ...string) string {
	out, err := l.bed.Cluster.Exec(l.ctx, node, append([]string{"ip"}, args...)...)
	if err != nil {
		l.err = errors.Join(l.err, fmt.Errorf("ip %s on %s: %w: %s", strings.Join(args, " "), node, err, out))
	}
	return string(out)
}
