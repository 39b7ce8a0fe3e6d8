package routing

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestAnObjectThatMeansNothingIsWhatItWasUntilItIsMendedOrGone(t *testing.T) {
	nodes := func(names ...string) (list []*corev1.Node) {
		for _, name := range names {
			name, zone, _ := strings.Cut(name, "=")
			list = append(list, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"zone": zone}}})
		}
		return list
	}
	zoneOf := func(n *corev1.Node) (string, error) {
		if zone := n.Labels["zone"]; zone != "" {
			return zone, nil
		}
		return "nothing", errors.New("it has no zone")
	}
	var nodesKept kept[*corev1.Node, string]
	for i, look := range []struct {
		nodes []*corev1.Node
		means []string
		wrong []string
	}{
		{nodes("x=a", "y"), []string{"a"}, []string{"the Node \"y\" is ignored: it has no zone"}},
		{nodes("x", "y=b"), []string{"a", "b"}, []string{"the Node \"x\" stays in effect as it was before: it has no zone"}},
		{nodes("x", "y=c"), []string{"a", "c"}, []string{"the Node \"x\" stays in effect as it was before: it has no zone"}},
		{nodes("x=d", "y=c"), []string{"d", "c"}, nil},
		{nodes("y=c"), []string{"c"}, nil},
		{nodes("x", "y=c"), []string{"c"}, []string{"the Node \"x\" is ignored: it has no zone"}},
	} {
		var c config
		means := nodesKept.read(look.nodes, zoneOf, c.wrong("Node"))
		if diff := cmp.Diff(look.means, means) + cmp.Diff(look.wrong, c.problems); diff != "" {
			t.Errorf("look %d (-want +got):\n%s", i, diff)
		}
	}
}
