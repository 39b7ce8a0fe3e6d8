package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/inspect"
	"github.com/lbstack/lbstack/internal/migrate"
)

func planCommand(streams genericiooptions.IOStreams, cluster *cluster) *cobra.Command {
	var output, file string
	var exitCode bool
	cmd := &cobra.Command{
		Use:   "plan -f FILENAME",
		Short: "Show what a change of the LoadBalancerStack does, before it is applied",
		Long: "Show what a change of the LoadBalancerStack does before it is applied: objects that would be invalid, Services that get, lose or change addresses, announcements that end or move, sessions with routers that begin, end or begin anew, and what is rolled out.\n\n" +
			"The spec of the file takes the place of the one in the cluster. The API server checks it as if it were applied, and nothing is written. Addresses are given by the code of the controller; if several Services lose theirs at once, or wait, which of the free ones each gets can differ.\n\n" +
			"The exit code is 0 if the change is possible. With --exit-code it is 1 if it changes anything.",
		Example: "  # What a changed file does\n  kubectl lbstack plan -f stack.yaml\n\n  # An edit without a file\n  kubectl get lbs default -o yaml | sed s/192.168.1.250/192.168.1.245/ | kubectl lbstack plan -f -\n\n" +
			"  # In CI: fail if the file and the cluster differ in effect\n  kubectl lbstack plan -f stack.yaml --exit-code",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return errors.New("pass the changed stack with -f: see kubectl lbstack plan --help")
			}
			wanted, err := readStack(streams, file)
			if err != nil {
				return err
			}
			s, err := cluster.snapshot(cmd.Context())
			if err == nil {
				err = cluster.everything(cmd.Context(), s)
			}
			if err != nil {
				return err
			}
			to, err := cluster.accepted(cmd.Context(), wanted)
			if err != nil {
				return err
			}
			changes, err := inspect.Plan(s, to)
			if err != nil {
				return err
			}
			return answer(streams.Out, output, &changes, !exitCode || changes.None())
		},
	}
	cmd.Flags().StringVarP(&file, "filename", "f", "", "file with the changed LoadBalancerStack; - is the standard input")
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "exit with 1 if anything changes")
	cmd.Flags().StringVarP(&output, "output", "o", "", "json or yaml in place of text")
	return cmd
}

// readStack reads the LoadBalancerStack of a file; other objects are left out.
func readStack(streams genericiooptions.IOStreams, file string) (*unstructured.Unstructured, error) {
	var objects []migrate.Object
	var err error
	if file == "-" {
		objects, err = migrate.Read("the standard input", streams.In)
	} else {
		objects, err = readFile(file)
	}
	if err != nil {
		return nil, err
	}
	var found *unstructured.Unstructured
	for _, o := range objects {
		u := &unstructured.Unstructured{Object: o.Content}
		if u.GroupVersionKind().GroupKind() != v1beta1.GroupVersion.WithKind("LoadBalancerStack").GroupKind() {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("%s has several LoadBalancerStacks, and a cluster can have one", file)
		}
		found = u
	}
	if found == nil {
		return nil, fmt.Errorf("%s has no LoadBalancerStack", file)
	}
	return found, nil
}

// accepted is a stack as the API server has it when it is written: checked, and with defaults. Nothing is written.
func (c *cluster) accepted(ctx context.Context, wanted *unstructured.Unstructured) (*v1beta1.LoadBalancerStack, error) {
	current := &unstructured.Unstructured{}
	current.SetGroupVersionKind(v1beta1.GroupVersion.WithKind("LoadBalancerStack"))
	err := c.api.Get(ctx, client.ObjectKey{Name: wanted.GetName()}, current)
	if pause, has := wanted.GetAnnotations()[v1beta1.AnnotationPause]; has {
		annotations := current.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[v1beta1.AnnotationPause] = pause
		current.SetAnnotations(annotations)
	}
	switch {
	case client.IgnoreNotFound(err) != nil:
		return nil, missingRight(err)
	case err != nil:
		current.SetName(wanted.GetName())
		current.Object["spec"] = wanted.Object["spec"]
		err = c.api.Create(ctx, current, client.DryRunAll, client.FieldValidation("Strict"))
	default:
		current.Object["spec"] = wanted.Object["spec"]
		err = c.api.Update(ctx, current, client.DryRunAll, client.FieldValidation("Strict"))
	}
	if err != nil {
		return nil, missingRight(err)
	}
	stack := &v1beta1.LoadBalancerStack{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(current.Object, stack); err != nil {
		return nil, fmt.Errorf("reading what the API server made of the stack: %w", err)
	}
	return stack, nil
}

// everything adds all that decides about addresses and announcements.
func (c *cluster) everything(ctx context.Context, s *inspect.Snapshot) error {
	s.NamespaceLabels = map[string]map[string]string{}
	return errors.Join(
		c.services(ctx, s), c.advertisements(ctx, s), c.routes(ctx, s),
		all(ctx, c, &v1beta1.BFDProfileList{}, func(l *v1beta1.BFDProfileList) { s.BFDProfiles = append(s.BFDProfiles, l.Items...) }),
		all(ctx, c, &corev1.NamespaceList{}, func(l *corev1.NamespaceList) {
			for i := range l.Items {
				s.NamespaceLabels[l.Items[i].Name] = l.Items[i].Labels
			}
		}),
		all(ctx, c, &discoveryv1.EndpointSliceList{}, func(l *discoveryv1.EndpointSliceList) { s.EndpointSlices = append(s.EndpointSlices, l.Items...) }),
	)
}
