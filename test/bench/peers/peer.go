package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
	"github.com/lbstack/lbstack/test/metallb"
	"github.com/lbstack/lbstack/test/scenario"
)

// The configurations, with the same meaning.
var (
	//go:embed lbstack.yaml
	lbstackConfig []byte
	//go:embed metallb.yaml
	metallbConfig []byte
)

const (
	// label is on the Services that are made here.
	label = "lbstack.io/bench"
	// web is the Service that is lost and restarted, with an address of the pool "local".
	web = "web"
)

// peer is a load balancer that is measured.
type peer struct {
	name string
	// install brings it up with its configuration, remove removes all of it, whole waits until all of it works.
	install, remove, whole func(context.Context) error
	// program is what announces addresses on a node. restore starts it again after it was killed.
	program string
	restore func(ctx context.Context, node string) error
	// speaker is the DaemonSet of the program, and controller the Deployment that gives addresses; none of
	// keepalived. operators are the Deployments that would start the controller again.
	speaker, controller client.ObjectKey
	operators           []client.ObjectKey
}

// peers returns the load balancers of these names.
func (b *bench) peers(names []string) ([]*peer, error) {
	var list []*peer
	for _, name := range names {
		switch name {
		case "lbstack":
			list = append(list, b.lbstack())
		case "metallb":
			list = append(list, b.metallb())
		case "keepalived":
			list = append(list, b.keepalived())
		default:
			return nil, fmt.Errorf("-only: %q is none of lbstack, metallb and keepalived", name)
		}
	}
	return list, nil
}

func (b *bench) lbstack() *peer {
	key := func(name string) client.ObjectKey {
		return client.ObjectKey{Namespace: scenario.Namespace, Name: "lbstack-" + name}
	}
	whole := func(ctx context.Context) error {
		return errors.Join(b.StackReady(ctx), b.EveryoneSeesEveryone(ctx))
	}
	return &peer{
		name: reference, program: "speaker", speaker: key("speaker"), controller: key("controller"), operators: []client.ObjectKey{key("operator")},
		install: func(ctx context.Context) error { return errors.Join(b.apply(ctx, lbstackConfig), whole(ctx)) },
		whole:   whole,
		remove: func(ctx context.Context) error {
			return b.deleted(ctx, &v1beta1.LoadBalancerStack{ObjectMeta: metav1.ObjectMeta{Name: v1beta1.LoadBalancerStackName}})
		},
		restore: b.ReplaceSpeaker,
	}
}

func (b *bench) metallb() *peer {
	key := func(name string) client.ObjectKey {
		return client.ObjectKey{Namespace: metallb.Namespace, Name: name}
	}
	whole := func(ctx context.Context) error { return metallb.Ready(ctx, b.Scenario) }
	return &peer{
		name: "MetalLB", program: metallb.Speaker, speaker: key(metallb.Speaker), controller: key(metallb.Controller),
		install: func(ctx context.Context) error {
			if err := metallb.Install(ctx, b.Scenario); err != nil {
				return err
			}
			return b.apply(ctx, metallbConfig)
		},
		whole:   whole,
		remove:  func(ctx context.Context) error { return metallb.Remove(ctx, b.Scenario) },
		restore: func(ctx context.Context, node string) error { return b.replacePods(ctx, key(metallb.Speaker), node) },
	}
}

func (b *bench) apply(ctx context.Context, config []byte) error {
	objects, err := metallb.Parse(config)
	if err != nil {
		return err
	}
	return metallb.Apply(ctx, b.Scenario, objects)
}

// start brings a load balancer up, and returns the address of the Service "web" once a client reaches it.
func (b *bench) start(ctx context.Context, p *peer) (address string, err error) {
	if err := b.Apply(ctx, "web.yaml"); err != nil {
		return "", err
	}
	if err := p.install(ctx); err != nil {
		return "", fmt.Errorf("installing: %w", err)
	}
	if err := client.IgnoreAlreadyExists(b.Client.Create(ctx, b.service(p, web, "local"))); err != nil {
		return "", fmt.Errorf("making the Service %s: %w", web, err)
	}
	if p.speaker.Name == "" {
		if err := b.show(ctx, web, keepalivedAddress); err != nil {
			return "", err
		}
	}
	if address, err = b.Address(ctx, web); err != nil {
		return "", err
	}
	_, err = b.Page(ctx, address)
	return address, err
}

// service returns a Service with an address of a pool, in front of the sample backend. Both lbstack and MetalLB read
// this annotation. For keepalived, which does not read Services, the Service has a class that no other load balancer serves.
func (b *bench) service(p *peer, name, pool string) *corev1.Service {
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name, Labels: map[string]string{label: ""},
			Annotations: map[string]string{"metallb.io/address-pool": pool}},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, AllocateLoadBalancerNodePorts: new(false),
			Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}},
	}
	if p.speaker.Name == "" {
		svc.Spec.LoadBalancerClass = new("example.com/keepalived")
	}
	return svc
}

// remove removes the Services and then the load balancer, so that the next load balancer finds no objects of this one.
func (b *bench) remove(ctx context.Context, p *peer) error {
	ctx, cancel := context.WithTimeout(ctx, gracePeriod)
	defer cancel()
	if err := b.removeServices(ctx); err != nil {
		return err
	}
	if err := p.remove(ctx); err != nil {
		return fmt.Errorf("removing %s: %w", p.name, err)
	}
	return nil
}

// removeServices deletes the Services of this program, and waits until they are deleted.
func (b *bench) removeServices(ctx context.Context) error {
	return eventually.PollEvery(ctx, time.Second, func(ctx context.Context) error {
		if err := b.Client.DeleteAllOf(ctx, &corev1.Service{}, client.InNamespace(metav1.NamespaceDefault), client.HasLabels{label}); err != nil {
			return err
		}
		var left corev1.ServiceList
		if err := b.Client.List(ctx, &left, client.InNamespace(metav1.NamespaceDefault), client.HasLabels{label}); err != nil {
			return err
		}
		if len(left.Items) > 0 {
			return fmt.Errorf("%d Services are left", len(left.Items))
		}
		return nil
	})
}

// deleted deletes an object and waits until it does not exist.
func (b *bench) deleted(ctx context.Context, object client.Object) error {
	return eventually.Poll(ctx, func(ctx context.Context) error {
		err := b.Client.Delete(ctx, object)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("%s is not gone: %w", object.GetName(), err)
	})
}

// replacePods deletes the pods of a DaemonSet on a node, and waits until new ones are ready: a container that was killed
// often is not started again at once.
func (b *bench) replacePods(ctx context.Context, set client.ObjectKey, node string) error {
	former, err := b.pods(ctx, set, node)
	if err != nil {
		return err
	}
	for i := range former {
		if err := client.IgnoreNotFound(b.Client.Delete(ctx, &former[i])); err != nil {
			return fmt.Errorf("deleting the pod %s: %w", former[i].Name, err)
		}
	}
	return eventually.Poll(ctx, func(ctx context.Context) error {
		now, err := b.pods(ctx, set, node)
		if err != nil {
			return err
		}
		fresh := slices.ContainsFunc(now, func(p corev1.Pod) bool {
			return !slices.ContainsFunc(former, func(f corev1.Pod) bool { return f.UID == p.UID }) && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
				return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
			})
		})
		if !fresh {
			return fmt.Errorf("no new pod of %s is ready on %s", set, node)
		}
		return nil
	})
}

// pods returns the pods of a DaemonSet or a Deployment, by their names; of a node, or of all.
func (b *bench) pods(ctx context.Context, of client.ObjectKey, node string) ([]corev1.Pod, error) {
	var pods corev1.PodList
	if err := b.Client.List(ctx, &pods, client.InNamespace(of.Namespace)); err != nil {
		return nil, fmt.Errorf("listing the pods of %s: %w", of, err)
	}
	return slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool {
		return !strings.HasPrefix(p.Name, of.Name+"-") || node != "" && p.Spec.NodeName != node
	}), nil
}
