package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/inspect"
	"github.com/lbstack/lbstack/internal/migrate"
)

// planFlags are the flags that describe the change to plan.
type planFlags struct {
	file, patch string
	addresses   []string
	remove      bool
}

// planName is the name of the command plan.
const planName = "plan"

func planCommand(streams genericiooptions.IOStreams, cluster *cluster) *cobra.Command {
	var output string
	var exitCode bool
	var flags planFlags
	cmd := &cobra.Command{
		Use:   planName + " (-f FILENAME | TYPE NAME (--addresses RANGES | --patch PATCH | --remove))",
		Short: "Show what a change of the LoadBalancerStack does, before it is applied",
		Long: "Show what a change of the LoadBalancerStack does before it is applied: objects that would be invalid, Services that get, lose or change addresses, announcements that end or move, sessions with routers that begin, end or begin anew, and what is rolled out.\n\n" +
			"With -f, the spec of the file takes the place of the one in the cluster. With TYPE and NAME, one item of the stack in the cluster changes: a pool, a peer, or an advertisement (also l2advertisement or bgpadvertisement). An item that the stack does not have is added. " +
			"The API server checks the result as if it were applied, and nothing is written. The plan assigns addresses with the code of the controller. If several Services lose their addresses at once, or wait for one, the controller may give them the free addresses in another order.\n\n" +
			"The exit code is 0 if the change is possible. With --exit-code, it is 1 if the change has any effect. After an error it is 2.",
		Example: "  # What a changed file does\n  kubectl lbstack plan -f stack.yaml\n\n" +
			"  # What happens to the addresses of a pool if the pool shrinks or is removed\n  kubectl lbstack plan pool production --addresses 192.168.1.240-192.168.1.245\n  kubectl lbstack plan pool production --remove\n\n" +
			"  # Other fields, with a patch as for kubectl patch --type merge\n  kubectl lbstack plan peer tor-1 --patch '{\"holdTimeSeconds\": 9}'\n  kubectl lbstack plan advertisement all --patch 'interfaces: [bond0]'\n\n" +
			"  # An edit without a file\n  kubectl get lbs default -o yaml | sed s/192.168.1.250/192.168.1.245/ | kubectl lbstack plan -f -\n\n" +
			"  # In CI: fail if the file and the cluster differ in effect\n  kubectl lbstack plan -f stack.yaml --exit-code",
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			edit, err := flags.editFromFlags(args)
			if err != nil {
				return err
			}
			var wanted *unstructured.Unstructured
			if edit == nil {
				if wanted, err = readStackFile(streams, flags.file); err != nil {
					return err
				}
			}
			s, err := cluster.readSnapshot(cmd.Context())
			if err == nil {
				err = cluster.readAllObjects(cmd.Context(), s)
			}
			if err != nil {
				return err
			}
			to, err := cluster.dryRunStack(cmd.Context(), wanted, edit)
			if err != nil {
				return err
			}
			changes, err := inspect.Plan(s, to)
			if err != nil {
				return err
			}
			return printAnswer(streams.Out, output, &changes, !exitCode || changes.None())
		},
	}
	cmd.Flags().StringVarP(&flags.file, "filename", "f", "", "file with the changed LoadBalancerStack; - is the standard input")
	cmd.Flags().StringSliceVar(&flags.addresses, "addresses", nil, "the new addresses of the pool, as ranges or CIDRs")
	cmd.Flags().StringVarP(&flags.patch, "patch", "p", "", "merge patch of the item, as JSON or YAML")
	cmd.Flags().BoolVar(&flags.remove, "remove", false, "remove the item")
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "exit with 1 if anything changes")
	cmd.Flags().StringVarP(&output, "output", "o", "", "json or yaml in place of text")
	cmd.ValidArgsFunction = cluster.completePlan
	cluster.completeFlag(cmd, "output", listWords("json", "yaml"))
	return cmd
}

// editFromFlags returns the change of one item that arguments and flags describe. It returns nil if a file has the change.
func (f *planFlags) editFromFlags(args []string) (*inspect.Edit, error) {
	changes := 0
	for _, is := range []bool{f.patch != "", len(f.addresses) > 0, f.remove} {
		if is {
			changes++
		}
	}
	if len(args) == 1 {
		args = strings.SplitN(args[0], "/", 2)
	}
	switch {
	case len(args) == 0 && f.file != "" && changes == 0:
		return nil, nil
	case len(args) == 0:
		return nil, errors.New("pass the changed stack with -f, or an item, such as pool production --remove: see kubectl lbstack plan --help")
	case f.file != "":
		return nil, errors.New("pass either -f or an item")
	case len(args) == 1 || args[1] == "":
		return nil, errors.New("pass type and name of the item, such as pool production")
	case changes != 1:
		return nil, errors.New("pass exactly one of --addresses, --patch and --remove")
	}
	edit := &inspect.Edit{Kind: args[0], Name: args[1], Remove: f.remove}
	var err error
	switch {
	case f.patch != "":
		if edit.Patch, err = yaml.YAMLToJSONStrict([]byte(f.patch)); err != nil {
			return nil, fmt.Errorf("--patch: %w", err)
		}
	case len(f.addresses) > 0:
		if !strings.Contains(strings.ToLower(edit.Kind), "pool") {
			return nil, errors.New("--addresses is only for a pool")
		}
		edit.Patch, err = json.Marshal(map[string]any{"addresses": f.addresses})
	}
	return edit, err
}

// readStackFile reads the LoadBalancerStack of a file, and ignores other objects in it.
func readStackFile(streams genericiooptions.IOStreams, file string) (*unstructured.Unstructured, error) {
	var objects []migrate.Object
	var err error
	if file == "-" {
		file = "the standard input"
		objects, err = migrate.Read(file, streams.In)
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
			return nil, fmt.Errorf("%s has several LoadBalancerStacks, but a cluster can have only one", file)
		}
		found = u
	}
	if found == nil {
		return nil, fmt.Errorf("%s has no LoadBalancerStack", file)
	}
	return found, nil
}

// dryRunStack sends a stack to the API server in a dry run, and returns it validated and with defaults. The
// stack is wanted or, if edit is not nil, the stack in the cluster with the edit applied.
func (c *cluster) dryRunStack(ctx context.Context, wanted *unstructured.Unstructured, edit *inspect.Edit) (*v1beta1.LoadBalancerStack, error) {
	name := v1beta1.LoadBalancerStackName
	if edit == nil {
		name = wanted.GetName()
	}
	current := &unstructured.Unstructured{}
	current.SetGroupVersionKind(v1beta1.GroupVersion.WithKind("LoadBalancerStack"))
	err := c.api.Get(ctx, client.ObjectKey{Name: name}, current)
	if client.IgnoreNotFound(err) != nil {
		return nil, missingRight(err)
	}
	exists := err == nil
	if edit != nil {
		spec, _ := current.Object["spec"].(map[string]any)
		if spec, err = edit.Apply(spec); err != nil {
			return nil, err
		}
		wanted = &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	}
	if pause, has := wanted.GetAnnotations()[v1beta1.AnnotationPause]; has {
		annotations := current.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[v1beta1.AnnotationPause] = pause
		current.SetAnnotations(annotations)
	}
	current.Object["spec"] = wanted.Object["spec"]
	if !exists {
		current.SetName(name)
		err = c.api.Create(ctx, current, client.DryRunAll, client.FieldValidation("Strict"))
	} else {
		err = c.api.Update(ctx, current, client.DryRunAll, client.FieldValidation("Strict"))
	}
	if err != nil {
		return nil, missingRight(err)
	}
	stack := &v1beta1.LoadBalancerStack{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(current.Object, stack); err != nil {
		return nil, fmt.Errorf("reading the stack that the API server returned: %w", err)
	}
	return stack, nil
}

// readAllObjects adds all objects on which addresses and announcements depend.
func (c *cluster) readAllObjects(ctx context.Context, s *inspect.Snapshot) error {
	s.NamespaceLabels = map[string]map[string]string{}
	return errors.Join(
		c.readServices(ctx, s), c.readAdvertisements(ctx, s), c.readRoutes(ctx, s), c.readServiceNetworks(ctx, s),
		listPages(ctx, c, &v1beta1.BFDProfileList{}, func(l *v1beta1.BFDProfileList) { s.BFDProfiles = append(s.BFDProfiles, l.Items...) }),
		listPages(ctx, c, &corev1.NamespaceList{}, func(l *corev1.NamespaceList) {
			for i := range l.Items {
				s.NamespaceLabels[l.Items[i].Name] = l.Items[i].Labels
			}
		}),
		listPages(ctx, c, &discoveryv1.EndpointSliceList{}, func(l *discoveryv1.EndpointSliceList) { s.EndpointSlices = append(s.EndpointSlices, l.Items...) }),
	)
}
