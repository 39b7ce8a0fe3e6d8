// Package apiserver runs a real kube-apiserver and etcd for the tests of a
// package, with lbstack's CRDs installed, and makes clients for it.
package apiserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"go.uber.org/goleak"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/hack/devcluster/controlplane"
	"github.com/lbstack/lbstack/hack/devcluster/programs"
)

// startTimeout bounds the start, with a build of the Kubernetes programs on a machine that has
// not built them before.
const startTimeout = 40 * time.Minute

// Server is a running API server.
type Server struct {
	*controlplane.ControlPlane
	// Repo is the root of the repository.
	Repo string
	// policies is a directory of files that the API server reads at each start.
	policies string
}

// Stop ends the API server, and removes its files.
func (s *Server) Stop() error { return errors.Join(s.ControlPlane.Stop(), os.RemoveAll(s.policies)) }

// Main runs the tests of a package against one API server, which set receives
// before they start. A goroutine that outlives the tests and the server fails them. Use it as
// the body of TestMain.
func Main(m *testing.M, set func(*Server)) {
	ctrllog.SetLogger(logr.Discard()) // the clients log nothing
	code, err := run(m, set)
	if err != nil {
		fmt.Fprintln(os.Stderr, "API server for the tests:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M, set func(*Server)) (int, error) {
	server, err := Start()
	if err != nil {
		return 1, err
	}
	set(server)
	code := m.Run()
	return code, errors.Join(server.Stop(), goleak.Find(abandonedWatch))
}

// abandonedWatch is the goroutine of a watch whose cache was stopped while an event was on
// its way: watch.Filter, around each watch of controller-runtime, then blocks on sending the event
// for ever. Caches of the programs stop when their process does.
var abandonedWatch = goleak.IgnoreTopFunction("k8s.io/apimachinery/pkg/watch.(*filteredWatch).loop")

// Start starts the API server, and builds it before the first start.
func Start() (*Server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	server, err := StartEmpty(ctx)
	if err != nil {
		return nil, err
	}
	if err := server.installCRDs(ctx); err != nil {
		return nil, errors.Join(err, server.Stop())
	}
	return server, nil
}

// StartEmpty is Start without the CRDs.
func StartEmpty(ctx context.Context) (*Server, error) {
	repo, err := programs.FindRepo(".")
	if err != nil {
		return nil, err
	}
	binaries, err := programs.EnsureBinaries(ctx, repo, os.Stderr)
	if err != nil {
		return nil, err
	}
	policies, err := os.MkdirTemp("", "lbstack-audit-")
	if err != nil {
		return nil, fmt.Errorf("making a directory for the audit policy: %w", err)
	}
	flags, err := auditFlags(policies)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(policies))
	}
	plane, err := controlplane.Start(ctx, controlplane.Options{Binaries: binaries, Log: os.Stderr, APIServerFlags: flags})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(policies))
	}
	return &Server{ControlPlane: plane, Repo: repo, policies: policies}, nil
}

// Config returns the configuration of a client with all rights.
func (s *Server) Config() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", s.KubeconfigPath())
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.QPS = -1
	return config, nil
}

// Scheme returns Kubernetes' kinds and lbstack's.
func Scheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1beta1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err) // a kind registered twice: a mistake in the code
		}
	}
	return scheme
}

// Client returns a client with all rights and without a cache.
func (s *Server) Client() (client.Client, error) {
	config, err := s.Config()
	if err != nil {
		return nil, err
	}
	return client.New(config, client.Options{Scheme: Scheme()})
}

func (s *Server) installCRDs(ctx context.Context) error {
	c, err := s.Client()
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(s.Repo, "config", "crd", "bases", "*.yaml"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("finding the CRDs: %d files, %w", len(files), err)
	}
	var crds []*unstructured.Unstructured
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("reading a CRD: %w", err)
		}
		crd := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(text, &crd.Object); err != nil {
			return fmt.Errorf("parsing %s: %w", file, err)
		}
		if err := c.Create(ctx, crd); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("installing %s: %w", file, err)
		}
		crds = append(crds, crd)
	}
	return s.waitEstablished(ctx, c, crds)
}

func (s *Server) waitEstablished(ctx context.Context, c client.Client, crds []*unstructured.Unstructured) error {
	for _, crd := range crds {
		for {
			if err := c.Get(ctx, client.ObjectKeyFromObject(crd), crd); err != nil {
				return fmt.Errorf("reading the CRD %s: %w", crd.GetName(), err)
			}
			if established(crd) {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("waiting for the CRD %s: %w", crd.GetName(), ctx.Err())
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return nil
}

func established(crd *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions")
	for _, item := range conditions {
		condition, ok := item.(map[string]any)
		if ok && condition["type"] == "Established" && condition["status"] == "True" {
			return true
		}
	}
	return false
}
