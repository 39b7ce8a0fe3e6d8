package cli

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/inspect"
	"github.com/lbstack/lbstack/internal/preflight"
	"github.com/lbstack/lbstack/internal/version"
)

func doctorCommand(streams genericiooptions.IOStreams, cluster *cluster) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check what lbstack needs, and what its programs report",
		Long: "Check what lbstack needs of the cluster, and what its programs report: the version of Kubernetes, CustomResourceDefinitions, the rights of the programs, the installation, versions, nodes and kernels, speakers and the mesh between them, the MTU of interfaces, kube-proxy, other load balancers, " +
			"pools, routers, and foreign hosts. Each problem comes with what to do.\n\n" +
			"The exit code is 1 if there is a problem, or if a check could not be made.",
		Example: "  # All checks\n  kubectl lbstack doctor\n\n  # For a program\n  kubectl lbstack doctor -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			facts, err := cluster.doctorFacts(cmd.Context())
			if err != nil {
				return err
			}
			c := inspect.Doctor(facts)
			return printAnswer(streams.Out, output, &c, c.Healthy)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json or yaml in place of text")
	cmd.ValidArgsFunction = cluster.completeArgs()
	cluster.completeFlag(cmd, "output", listWords("json", "yaml"))
	return cmd
}

// doctorFacts reads the facts for all checks. If the user has no right to read the facts of a single check,
// it records the check and the error in Unread. This is possible for Kubernetes, CustomResourceDefinitions,
// rights, nodes, kube-proxy and other load balancers. If the user lacks a right that the snapshot needs,
// doctorFacts returns an error.
func (c *cluster) doctorFacts(ctx context.Context) (*inspect.DoctorInput, error) {
	f := &inspect.DoctorInput{Plugin: version.Version, Unread: map[string]string{}}
	unread := func(check string, err error) error {
		if apierrors.IsForbidden(err) {
			f.Unread[check] = err.Error()
			return nil
		}
		return err
	}
	var err error
	f.Schemas, err = c.readSchemas(ctx)
	if err := unread(inspect.CheckCRDs, err); err != nil {
		return nil, err
	}
	stack, err := c.readStack(ctx)
	if err != nil {
		return nil, err
	}
	f.Snapshot = &inspect.Snapshot{Stack: stack}
	failed := slices.DeleteFunc(c.readLists(ctx, f.Snapshot), meta.IsNoMatchError) // the check of the CustomResourceDefinitions reports a kind that is missing
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	server, err := c.serverVersion()
	if err := unread(inspect.CheckKubernetes, err); err != nil {
		return nil, err
	}
	if server != nil {
		f.KubernetesVersion = server.GitVersion
		f.Kubernetes, _ = strconv.Atoi(strings.TrimRight(server.Minor, "+"))
	}
	f.Namespace = c.workloadNamespace(f.Stack)
	f.RBAC, err = c.readRBAC(ctx, f.Namespace)
	if err := unread(inspect.CheckRights, err); err != nil {
		return nil, err
	}
	err = listPages(ctx, c, &corev1.NodeList{}, func(l *corev1.NodeList) { f.Nodes = append(f.Nodes, l.Items...) })
	if err := unread(inspect.CheckNodes, err); err != nil {
		return nil, err
	}
	proxy, err := c.get(ctx, schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, client.ObjectKey{Namespace: "kube-system", Name: "kube-proxy"})
	if err := unread(inspect.CheckServiceProxy, err); err != nil {
		return nil, err
	}
	if proxy != nil {
		f.ServiceProxy, _, _ = unstructured.NestedString(proxy.Object, "data", "config.conf")
	}
	balancers, err := c.otherLoadBalancers(ctx)
	if err := unread(inspect.CheckLoadBalancers, err); err != nil {
		return nil, err
	}
	if balancers != nil {
		f.LoadBalancers = slices.Concat(balancers.serving, balancers.clouds)
	}
	return f, nil
}

// readSchemas reads the schemas of lbstack's kinds.
func (c *cluster) readSchemas(ctx context.Context) (map[string]*preflight.Schema, error) {
	if c.schemas != nil {
		return c.schemas(ctx)
	}
	server, err := c.flags.ToDiscoveryClient()
	if err != nil {
		return nil, err
	}
	text, err := server.RESTClient().Get().AbsPath(apiconv.SchemasPath()).Do(ctx).Raw()
	if apierrors.IsNotFound(err) {
		return map[string]*preflight.Schema{}, nil
	}
	if err != nil {
		return nil, missingRight(err)
	}
	return apiconv.ParseSchemas(text)
}

// workloadNamespace returns the namespace that -n names. Without -n it returns the namespace of the stack's
// workloads.
func (c *cluster) workloadNamespace(stack *v1beta1.LoadBalancerStack) string {
	if n := c.flags.Namespace; stack != nil && (n == nil || *n == "") {
		for _, ref := range stack.Status.Inventory {
			if ref.Kind == "DaemonSet" {
				return ref.Namespace
			}
		}
	}
	return c.installNamespace()
}

// readRBAC reads the roles and bindings of the cluster and of a namespace.
func (c *cluster) readRBAC(ctx context.Context, namespace string) (*inspect.RBAC, error) {
	r := &inspect.RBAC{}
	err := errors.Join(
		listPages(ctx, c, &rbacv1.ClusterRoleList{}, func(l *rbacv1.ClusterRoleList) { r.ClusterRoles = append(r.ClusterRoles, l.Items...) }),
		listPages(ctx, c, &rbacv1.ClusterRoleBindingList{}, func(l *rbacv1.ClusterRoleBindingList) {
			r.ClusterRoleBindings = append(r.ClusterRoleBindings, l.Items...)
		}),
		listPages(ctx, c, &rbacv1.RoleList{}, func(l *rbacv1.RoleList) { r.Roles = append(r.Roles, l.Items...) }, client.InNamespace(namespace)),
		listPages(ctx, c, &rbacv1.RoleBindingList{}, func(l *rbacv1.RoleBindingList) { r.RoleBindings = append(r.RoleBindings, l.Items...) }, client.InNamespace(namespace)),
	)
	if err != nil {
		return nil, err
	}
	return r, nil
}
