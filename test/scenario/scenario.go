// Package scenario has the steps of the demo and the end-to-end tests on a test bed
// with lbstack's operator: apply the samples, find the node that announces an address, and
// fetch pages as a client outside the cluster does.
package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/hack/devcluster/cluster"
	"github.com/lbstack/lbstack/hack/devcluster/programs"
	"github.com/lbstack/lbstack/test/apiserver"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/traffic"
)

// SampleService is the name of the Service in config/samples/service.yaml, in the
// namespace default.
const SampleService = "web"

// Scenario is a test bed that is up, with the operator installed.
type Scenario struct {
	// Cluster is the test bed.
	Cluster *cluster.Cluster
	// Client has all rights in the cluster.
	Client client.WithWatch
	// Repo is the root of the repository.
	Repo string
	// Connect is the path of the client program, see package traffic.
	Connect string
}

// Open returns the scenario of the test bed that $LBSTACK_CLUSTER names, or of
// the default one.
func Open(ctx context.Context) (*Scenario, error) {
	ctrllog.SetLogger(logr.Discard()) // the client logs nothing
	repo, err := programs.FindRepo(".")
	if err != nil {
		return nil, err
	}
	bed, err := cluster.Open(os.Getenv(cluster.NameEnv))
	if err != nil {
		return nil, fmt.Errorf("finding the test bed (make cluster brings it up): %w", err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", bed.KubeconfigPath())
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.QPS = -1
	c, err := client.NewWithWatch(config, client.Options{Scheme: apiserver.Scheme()})
	if err != nil {
		return nil, fmt.Errorf("preparing a client: %w", err)
	}
	connect, err := traffic.Build(ctx, repo)
	if err != nil {
		return nil, err
	}
	return &Scenario{Cluster: bed, Client: c, Repo: repo, Connect: connect}, nil
}

// Sample reads the objects of a file in config/samples.
func (s *Scenario) Sample(name string) ([]*unstructured.Unstructured, error) {
	text, err := os.ReadFile(filepath.Join(s.Repo, "config", "samples", name))
	if err != nil {
		return nil, fmt.Errorf("reading a sample: %w", err)
	}
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("parsing the sample %s: %w", name, err)
		}
		if len(object.Object) == 0 {
			continue
		}
		if object.GetNamespace() == "" && object.GetAPIVersion() != v1beta1.GroupVersion.String() {
			object.SetNamespace("default")
		}
		objects = append(objects, object)
	}
}

// Apply applies the samples, in the order of the files.
func (s *Scenario) Apply(ctx context.Context, files ...string) error {
	for _, file := range files {
		objects, err := s.Sample(file)
		if err != nil {
			return err
		}
		for _, object := range objects {
			if err := s.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("lbstack-scenario"), client.ForceOwnership); err != nil {
				return fmt.Errorf("applying %s %s: %w", object.GetKind(), object.GetName(), err)
			}
		}
	}
	return nil
}

// StackReady waits until the LoadBalancerStack is Ready.
func (s *Scenario) StackReady(ctx context.Context) error {
	return eventually.Poll(ctx, func(ctx context.Context) error {
		stack := &v1beta1.LoadBalancerStack{}
		if err := s.Client.Get(ctx, client.ObjectKey{Name: v1beta1.LoadBalancerStackName}, stack); err != nil {
			return err
		}
		ready := meta.FindStatusCondition(stack.Status.Conditions, v1beta1.ConditionReady)
		if ready == nil || ready.Status != "True" || stack.Status.ObservedGeneration != stack.Generation {
			return fmt.Errorf("the LoadBalancerStack is not Ready: %s: %+v", stack.Status.Summary, ready)
		}
		return nil
	})
}

// EveryoneSeesEveryone waits until the speaker of every node reports the speakers of all
// others as alive.
func (s *Scenario) EveryoneSeesEveryone(ctx context.Context) error {
	return s.Sees(ctx, len(s.Cluster.Nodes()))
}

// Sees waits until the speaker of every node reports this number of speakers alive. The speakers of some
// nodes do not count.
func (s *Scenario) Sees(ctx context.Context, alive int, except ...string) error {
	return eventually.Poll(ctx, func(ctx context.Context) error {
		var states v1beta1.SpeakerStateList
		if err := s.Client.List(ctx, &states); err != nil {
			return fmt.Errorf("listing the SpeakerStates: %w", err)
		}
		if nodes := len(s.Cluster.Nodes()); len(states.Items) != nodes {
			return fmt.Errorf("%d SpeakerStates, want %d", len(states.Items), nodes)
		}
		for _, state := range states.Items {
			if int(state.Status.LiveSpeakers) != alive && !slices.Contains(except, state.Name) {
				return fmt.Errorf("the speaker of %s sees %d alive, want %d", state.Name, state.Status.LiveSpeakers, alive)
			}
		}
		return nil
	})
}

// Address waits until a Service in the namespace default has an address.
func (s *Scenario) Address(ctx context.Context, service string) (string, error) {
	var address string
	err := eventually.Poll(ctx, func(ctx context.Context) error {
		svc := &corev1.Service{}
		if err := s.Client.Get(ctx, client.ObjectKey{Namespace: "default", Name: service}, svc); err != nil {
			return err
		}
		if len(svc.Status.LoadBalancer.Ingress) == 0 {
			return fmt.Errorf("the Service %s has no address: %+v", service, svc.Status.Conditions)
		}
		address = svc.Status.LoadBalancer.Ingress[0].IP
		return nil
	})
	return address, err
}

// proxiedWithin bounds the time until kube-proxies have rules for an address.
const proxiedWithin = 5 * time.Second

// proxied waits until kube-proxy of every node has rules for an address. A packet that arrives
// earlier is forwarded unchanged, and for two minutes the node forwards packets from
// this port of the client in the same way: a later connection from the port hangs, whatever is announced.
func (s *Scenario) proxied(ctx context.Context, address string) {
	ctx, cancel := context.WithTimeout(ctx, proxiedWithin)
	defer cancel()
	family := "ip"
	address = strings.Trim(address, "[]")
	if strings.Contains(address, ":") {
		family = "ip6"
	}
	for _, node := range s.Cluster.Nodes() {
		// A node that is down never gets the rules.
		_ = eventually.Poll(ctx, func(ctx context.Context) error {
			rules, err := s.Cluster.Exec(ctx, node, "nft", "list", "table", family, "kube-proxy")
			if err == nil && !strings.Contains(string(rules), address+" . ") {
				err = fmt.Errorf("kube-proxy of %s does not know %s", node, address)
			}
			return err
		})
	}
}

// Page waits until the client gets a page from an address, and returns it.
func (s *Scenario) Page(ctx context.Context, address string) (page string, err error) {
	s.proxied(ctx, address)
	err = eventually.Poll(ctx, func(ctx context.Context) (failed error) {
		page, failed = traffic.Fetch(ctx, s.Cluster, s.Connect, "http://"+address+"/")
		return failed
	})
	return page, err
}

// Owner is the node that a client finds at an address.
type Owner struct {
	// Node is its name.
	Node string
	// Interface and MAC are those that the node announces the address on.
	Interface, MAC string
}

// Owner returns which node the client host sends packets for an address to: the
// MAC in the client's neighbour table, looked up in the SpeakerStates.
func (s *Scenario) Owner(ctx context.Context, address string) (Owner, error) {
	out, err := s.Cluster.Exec(ctx, "client", "ip", "neighbour", "show", "to", address)
	if err != nil {
		return Owner{}, err
	}
	words := strings.Fields(string(out))
	var mac string
	for i, word := range words[:max(0, len(words)-1)] {
		if word == "lladdr" {
			mac = words[i+1]
		}
	}
	if mac == "" {
		return Owner{}, fmt.Errorf("the client does not know where %s is: %q", address, strings.TrimSpace(string(out)))
	}
	var states v1beta1.SpeakerStateList
	if err := s.Client.List(ctx, &states); err != nil {
		return Owner{}, fmt.Errorf("listing the SpeakerStates: %w", err)
	}
	for _, state := range states.Items {
		for _, i := range state.Status.Interfaces {
			if i.HardwareAddress == mac {
				return Owner{Node: state.Name, Interface: string(i.Name), MAC: mac}, nil
			}
		}
	}
	return Owner{}, fmt.Errorf("no SpeakerState has the MAC %s that the client found at %s", mac, address)
}
