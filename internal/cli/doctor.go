package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/internal/inspect"
	"github.com/lbstack/lbstack/internal/version"
)

func doctorCommand(streams genericiooptions.IOStreams, cluster *cluster) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check what lbstack needs, and what its programs report",
		Long: "Check what lbstack needs of the cluster, and what its programs report: the version of Kubernetes, the installation, versions, nodes and kernels, speakers and the mesh between them, kube-proxy, other load balancers, " +
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
	return cmd
}

// doctorFacts reads the facts for all checks. It notes in Unread the checks whose own facts the user has no right to read:
// Kubernetes, nodes, kube-proxy and other load balancers. A right that the snapshot needs and the user lacks is an error.
func (c *cluster) doctorFacts(ctx context.Context) (*inspect.DoctorInput, error) {
	s, err := c.readSnapshot(ctx)
	if err != nil {
		return nil, err
	}
	f := &inspect.DoctorInput{Snapshot: s, Plugin: version.Version, Unread: map[string]string{}}
	unread := func(check string, err error) error {
		if apierrors.IsForbidden(err) {
			f.Unread[check] = err.Error()
			return nil
		}
		return err
	}
	server, err := c.serverVersion()
	if err := unread(inspect.CheckKubernetes, err); err != nil {
		return nil, err
	}
	if server != nil {
		f.KubernetesVersion = server.GitVersion
		f.Kubernetes, _ = strconv.Atoi(strings.TrimRight(server.Minor, "+"))
	}
	err = listPages(ctx, c, &corev1.NodeList{}, func(l *corev1.NodeList) { s.Nodes = append(s.Nodes, l.Items...) })
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
	f.LoadBalancers, err = c.otherLoadBalancers(ctx)
	if err := unread(inspect.CheckLoadBalancers, err); err != nil {
		return nil, err
	}
	return f, nil
}
