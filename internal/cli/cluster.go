package cli

import (
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/preflight"
)

// pageSize is the maximum number of objects that one list request returns.
const pageSize = 500

// cluster reads from and writes to the API server, with the rights of the user.
type cluster struct {
	flags *genericclioptions.ConfigFlags
	// api is created by the first call of connect. Tests set it.
	api client.Client
	// server returns the version of the API server. Only tests set it.
	server func() (*version.Info, error)
	// schemas reads the schemas of lbstack's kinds. Only tests set it.
	schemas func(ctx context.Context) (map[string]*preflight.Schema, error)
	// logs reads the log of a container. It is created by the first call of podLog. Tests set it.
	logs func(ctx context.Context, namespace, pod string, options *corev1.PodLogOptions) ([]byte, error)
}

// installNamespace returns the namespace of lbstack: the one of -n, or the default. It is only for commands
// in which -n means this namespace.
func (c *cluster) installNamespace() string {
	if n := c.flags.Namespace; n != nil && *n != "" {
		return *n
	}
	return "lbstack-system"
}

// serverVersion returns the version of Kubernetes.
func (c *cluster) serverVersion() (*version.Info, error) {
	if c.server != nil {
		return c.server()
	}
	client, err := c.flags.ToDiscoveryClient()
	if err != nil {
		return nil, err
	}
	return client.ServerVersion()
}

// connect returns the client of the API server.
func (c *cluster) connect() (client.Client, error) {
	if c.api != nil {
		return c.api, nil
	}
	config, err := c.flags.ToRESTConfig()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 50, 100
	scheme := runtime.NewScheme()
	if err := errors.Join(v1beta1.AddToScheme(scheme), corev1.AddToScheme(scheme), discoveryv1.AddToScheme(scheme), networkingv1.AddToScheme(scheme), appsv1.AddToScheme(scheme), rbacv1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	c.api, err = client.New(config, client.Options{Scheme: scheme})
	return c.api, err
}

// version returns the version of lbstack in the cluster, or a phrase that begins with "none" if it has none.
func (c *cluster) version(ctx context.Context) (string, error) {
	reader, err := c.connect()
	if err != nil {
		return "", err
	}
	stack := &v1beta1.LoadBalancerStack{}
	err = reader.Get(ctx, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack)
	switch {
	case apierrors.IsNotFound(err) || meta.IsNoMatchError(err):
		return "none: the cluster has no LoadBalancerStack", nil
	case err != nil:
		return "", missingRight(err)
	case stack.Status.Version == "":
		return "none yet: " + stack.Status.Summary, nil
	case stack.Status.TargetVersion != "":
		return stack.Status.Version + ", with a rollout to " + stack.Status.TargetVersion + " in progress", nil
	}
	return stack.Status.Version, nil
}

// missingRight adds a prefix to the error of a request that the user has no right to make. It returns other
// errors unchanged.
func missingRight(err error) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("you lack a right: %w", err)
	}
	return err
}

// list reads all objects of a kind, in the version that the API server prefers. It returns none if the API server does not
// serve the kind.
func (c *cluster) list(ctx context.Context, kind schema.GroupKind, options ...client.ListOption) (objects []unstructured.Unstructured, err error) {
	reader, err := c.connect()
	if err != nil {
		return nil, err
	}
	mapping, err := reader.RESTMapper().RESTMapping(kind)
	if meta.IsNoMatchError(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("looking up the kind %s in the API server: %w", kind, err)
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(mapping.GroupVersionKind)
	for {
		if err := reader.List(ctx, list, append(options, client.Limit(pageSize), client.Continue(list.GetContinue()))...); apierrors.IsNotFound(err) {
			return objects, nil
		} else if err != nil {
			return nil, missingRight(err)
		}
		objects = append(objects, list.Items...)
		if list.GetContinue() == "" {
			return objects, nil
		}
	}
}

// get reads one object. It returns nil if there is none.
func (c *cluster) get(ctx context.Context, kind schema.GroupVersionKind, key client.ObjectKey) (*unstructured.Unstructured, error) {
	reader, err := c.connect()
	if err != nil {
		return nil, err
	}
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	if err := reader.Get(ctx, key, object); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, missingRight(err)
	}
	return object, nil
}
