package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// TestComplete_ReadsTheCluster: arguments are completed with what the cluster has, and the user's own rights.
func TestComplete_ReadsTheCluster(t *testing.T) {
	commands := map[string]commandOf{
		"why": whyCommand, "who": whoCommand, "plan": planCommand, "drain": drainCommand, "undrain": undrainCommand, "move": moveCommand,
		"reserve": reserveCommand, "release": releaseCommand, "status": statusCommand, "doctor": doctorCommand,
	}
	for _, tt := range []struct {
		name, line string // the last word is completed; - stands for nothing
		want       []string
	}{
		{"a Service of the namespace", "why w", []string{"web"}},
		{"a Service that is no load balancer", "why int", nil},
		{"a Service of any namespace", "why shop/", []string{"shop/web"}},
		{"a second argument that does not exist", "why web w", nil},
		{"a node", "drain node", []string{"node-1", "node-2"}},
		{"a node, to take part again", "undrain c", []string{"cordoned"}},
		{"an address, to move", "move 192", []string{"192.0.2.1"}},
		{"a node, to move to", "move 192.0.2.1 node-", []string{"node-1", "node-2"}},
		{"an address, to release", "release -", []string{"192.0.2.3"}},
		{"an address that is new", "reserve 192", nil},
		{"anything that has addresses", "who -", []string{"192.0.2.1", "192.0.2.3", "node/cordoned", "node/node-1", "node/node-2", "pool/first", "web"}},
		{"a pool", "who pool/", []string{"pool/first"}},
		{"a type of items", "plan p", []string{"peer", "pool"}},
		{"an item", "plan pool -", []string{"lan"}},
		{"an item of a type that the stack has none of", "plan peer -", nil},
		{"a command without arguments", "status -", nil},
		{"another one", "doctor -", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := working(t)
			stack := &v1beta1.LoadBalancerStack{}
			if err := c.api.Get(t.Context(), client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack); err != nil {
				t.Fatal(err)
			}
			stack.Spec.IPAddressPools = []v1beta1.StackIPAddressPool{{Name: "lan"}}
			if err := c.api.Update(t.Context(), stack); err != nil {
				t.Fatal(err)
			}
			c.flags.Namespace = new("shop")
			streams, _, _, _ := genericiooptions.NewTestIOStreams()
			words := strings.Fields(tt.line)
			cmd := commands[words[0]](streams, c)
			args, last := words[1:len(words)-1], strings.TrimPrefix(words[len(words)-1], "-")
			got, directive := cmd.ValidArgsFunction(cmd, args, last)
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty()); diff != "" || directive != cobra.ShellCompDirectiveNoFileComp {
				t.Errorf("directive %d, and (-want +got):\n%s", directive, diff)
			}
		})
	}
}

// TestComplete_IsSilentWithoutARight: a shell would take an error for values.
func TestComplete_IsSilentWithoutARight(t *testing.T) {
	c := serving(t, "True", &corev1.NodeList{})
	streams, _, out, errOut := genericiooptions.NewTestIOStreams()
	cmd := drainCommand(streams, c)
	if got, _ := cmd.ValidArgsFunction(cmd, nil, ""); len(got) > 0 || out.Len()+errOut.Len() > 0 {
		t.Errorf("got %v, and printed %q and %q", got, out, errOut)
	}
}

// TestNew_EveryArgumentIsCompleted: a command that takes arguments completes them, or has a list of them.
func TestNew_EveryArgumentIsCompleted(t *testing.T) {
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	for _, cmd := range New(streams).Commands() {
		if takes := cmd.Args != nil && cmd.ValidateArgs([]string{"bash"}) == nil; takes && !cmd.Hidden && cmd.ValidArgsFunction == nil && len(cmd.ValidArgs) == 0 {
			t.Errorf("%s does not complete its arguments", cmd.Name())
		}
	}
}
