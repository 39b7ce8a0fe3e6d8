package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/test/eventually"
)

func external(addresses ...string) func(*corev1.Service) {
	return func(svc *corev1.Service) { svc.Spec.ExternalIPs = addresses }
}

func ofType(kind corev1.ServiceType) func(*corev1.Service) {
	return func(svc *corev1.Service) { svc.Spec.Type = kind }
}

// conflicts waits until the condition lbstack.io/ExternalIPConflict of a Service has the
// reason and a message with all of these parts; an empty reason: until there is none.
func (b *bed) conflicts(name, reason string, parts ...string) {
	b.Helper()
	eventually.Succeed(b.T, within, fmt.Sprintf("the Service %s has %q and %q", name, reason, parts), func(ctx context.Context) error {
		svc, err := b.get(ctx, name)
		if err != nil {
			return err
		}
		c := meta.FindStatusCondition(svc.Status.Conditions, v1beta1.ServiceExternalIPConflict)
		if reason == "" && c == nil {
			return nil
		}
		if c == nil || c.Status != metav1.ConditionTrue || c.Reason != reason || !containsAll(c.Message, parts) || c.ObservedGeneration != svc.Generation {
			return fmt.Errorf("condition %+v", c)
		}
		return nil
	})
}

func TestExternalIPs_AddressOfAPoolIsReportedOnBothServices(t *testing.T) {
	b := newBed(t)
	other := b.elsewhere(nil)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	controller := b.controller()
	b.service("web")
	b.has("web", "10.9.0.1")

	plain := b.service("plain", ofType(corev1.ServiceTypeClusterIP), external("192.0.2.1"))
	old := b.service("old", ofType(corev1.ServiceTypeClusterIP), external("192.0.2.1", "10.9.0.1"))
	b.conflicts("old", v1beta1.ReasonAddressOfPool, "spec.externalIPs: 10.9.0.1", `the pool "pool"`, fmt.Sprintf("the Service %s/web", b.namespace))
	b.conflicts("web", v1beta1.ReasonAddressInExternalIPs, "10.9.0.1", fmt.Sprintf("the Service %s/old", b.namespace))
	b.event("old", v1beta1.ReasonAddressOfPool)
	b.event("web", v1beta1.ReasonAddressInExternalIPs)
	other.service("foreign", ofType(corev1.ServiceTypeNodePort), external("10.9.0.1"))
	other.conflicts("foreign", v1beta1.ReasonAddressOfPool, "in use by a Service of another namespace")
	b.conflicts("web", v1beta1.ReasonAddressInExternalIPs, fmt.Sprintf("the Service %s/old and a Service of another namespace", b.namespace))

	// It takes nothing and refuses nothing.
	free := b.service("free", ofType(corev1.ServiceTypeClusterIP), external("10.9.0.2", "10.9.0.3"))
	b.conflicts("free", v1beta1.ReasonAddressOfPool, "10.9.0.2 is an address of the pool", "10.9.0.3 is an address of the pool")
	b.service("next")
	b.has("next", "10.9.0.2")
	b.keeps("web", "10.9.0.1")
	b.conflicts("free", v1beta1.ReasonAddressOfPool, fmt.Sprintf("10.9.0.2 is an address of the pool \"pool\" and in use by the Service %s/next", b.namespace))
	b.conflicts("next", v1beta1.ReasonAddressInExternalIPs, fmt.Sprintf("the Service %s/free", b.namespace))
	b.conflicts("plain", "")
	b.nothingIsWritten()
	crash(controller)
	controller = b.controller()
	b.nothingIsWritten()

	// It ends with the conflict: while the controller runs, and while it does not.
	b.edit(free, external("10.9.0.3"))
	b.conflicts("next", "")
	b.remove("next")
	other.remove("foreign")
	b.conflicts("web", v1beta1.ReasonAddressInExternalIPs)
	crash(controller)
	b.edit(old, external())
	b.edit(plain, external("10.9.0.1"))
	b.controller()
	b.conflicts("old", "")
	b.conflicts("plain", v1beta1.ReasonAddressOfPool)
	b.conflicts("web", v1beta1.ReasonAddressInExternalIPs, fmt.Sprintf("the Service %s/plain:", b.namespace))
	b.remove("plain")
	b.conflicts("web", "")
	b.editPool("pool", func(spec *v1beta1.IPAddressPoolSpec) { spec.Addresses = []v1beta1.AddressRange{"10.9.0.1-10.9.0.2"} })
	b.conflicts("free", "")
	b.editPool("pool", func(spec *v1beta1.IPAddressPoolSpec) { spec.Addresses = []v1beta1.AddressRange{"10.9.0.1-10.9.0.9"} })
	b.conflicts("free", v1beta1.ReasonAddressOfPool)
}

func TestExternalIPs_ServicesOfTypeLoadBalancer(t *testing.T) {
	b := newBed(t)
	b.poolWith("pool", "10.9.0.1-10.9.0.9")
	b.controller()
	b.service("web", external("10.9.0.1"))
	b.has("web", "10.9.0.1")
	b.service("next", external("10.9.0.1"))
	b.has("next", "10.9.0.2")
	b.conflicts("next", v1beta1.ReasonAddressOfPool, "10.9.0.1", fmt.Sprintf("the Service %s/web", b.namespace))
	b.conflicts("web", v1beta1.ReasonAddressInExternalIPs, fmt.Sprintf("the Service %s/next", b.namespace)) // its own list is no fault
	next, err := b.get(context.Background(), "next")
	if err != nil {
		t.Fatal(err)
	}
	b.edit(next, ofType(corev1.ServiceTypeClusterIP)) // and its address goes
	b.free("10.9.0.2")
	b.conflicts("next", v1beta1.ReasonAddressOfPool, "10.9.0.1")
	b.conflicts("web", v1beta1.ReasonAddressInExternalIPs, fmt.Sprintf("the Service %s/next", b.namespace))
	b.edit(next, func(svc *corev1.Service) { svc.Spec.Type, svc.Spec.ExternalIPs = corev1.ServiceTypeLoadBalancer, nil })
	b.has("next", "10.9.0.2")
	b.conflicts("next", "")
	b.conflicts("web", "")
}

// The policy that docs/security.md recommends, as it is printed there.
func TestExternalIPs_PolicyOfTheDocumentation(t *testing.T) {
	b := newBed(t)
	for _, object := range documented(t, "../../docs/security.md", "no-external-ips-of-pools") {
		create(t, b.Client, object)
	}
	kept := b.service("kept", ofType(corev1.ServiceTypeClusterIP), external("192.0.2.1"))
	tests := []struct {
		name      string
		addresses []string
		refused   bool
	}{
		{"address of the pool", []string{"192.168.1.241"}, true},
		{"address of the pool behind another one", []string{"192.0.2.1", "192.168.1.241"}, true},
		{"address of the pool with leading zeros", []string{"192.168.001.241"}, true},
		{"address of the pool as IPv6", []string{"::ffff:192.168.1.241"}, true},
		{"address beside the pool", []string{"192.168.1.239"}, false},
		{"IPv6 address", []string{"2001:db8::1"}, false},
		{"none", nil, false},
	}
	for _, tt := range tests {
		// The API server reads policies a moment after they were written.
		eventually.Succeed(t, within, tt.name, func(ctx context.Context) error {
			svc := kept.DeepCopy()
			svc.ObjectMeta, svc.Spec.ClusterIP, svc.Spec.ClusterIPs = metav1.ObjectMeta{Namespace: b.namespace, Name: "new"}, "", nil
			svc.Spec.ExternalIPs = tt.addresses
			updated := kept.DeepCopy()
			updated.Spec.ExternalIPs = tt.addresses
			if len(tt.addresses) == 0 { // which is not of a Service that nobody reaches from outside
				svc.Spec.ExternalTrafficPolicy, updated.Spec.ExternalTrafficPolicy = "", ""
			}
			for what, err := range map[string]error{"create": b.Create(ctx, svc, client.DryRunAll), "update": b.Update(ctx, updated, client.DryRunAll)} {
				// The API server itself may refuse some of these texts.
				refused := apierrors.IsInvalid(err) || err != nil && strings.Contains(err.Error(), "no-external-ips-of-pools")
				if refused != tt.refused || err != nil && !refused {
					return fmt.Errorf("%s: got %v, want a refusal: %v", what, err, tt.refused)
				}
			}
			return nil
		})
	}
}

// documented returns the objects of a name in the YAML blocks of a document, ready to create.
func documented(t *testing.T, path, name string) (objects []client.Object) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, block := range strings.Split(string(text), "```") {
		if i%2 == 0 || !strings.HasPrefix(block, "yaml\n") || !strings.Contains(block, "name: "+name) {
			continue
		}
		for _, document := range bytes.Split([]byte(strings.TrimPrefix(block, "yaml\n")), []byte("\n---\n")) {
			object := &unstructured.Unstructured{}
			if err := yaml.Unmarshal(document, &object.Object); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			objects = append(objects, object)
		}
	}
	if len(objects) == 0 {
		t.Fatalf("%s has no YAML of %s", path, name)
	}
	return objects
}
