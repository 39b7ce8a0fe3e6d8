package integration

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lbstack/lbstack/api/v1beta1"
)

func TestEverySampleIsAccepted(t *testing.T) {
	c := administrator(t)
	files, err := filepath.Glob(filepath.Join(server.Repo, "config", "samples", "*.yaml"))
	if err != nil || len(files) < 5 {
		t.Fatalf("finding the samples: %d files, %v", len(files), err)
	}
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			object := &unstructured.Unstructured{}
			if err := yaml.Unmarshal(text, &object.Object); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(object.GetAPIVersion(), v1beta1.GroupVersion.Group) {
				object.SetNamespace("default")
			}
			if err := c.Create(context.Background(), object, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict)); err != nil {
				t.Errorf("got %v, want it accepted", err)
			}
		})
	}
}

func TestSingleKindsAreRefusedWithASentence(t *testing.T) {
	c := administrator(t)
	claim := func(name, address string) client.Object {
		return &v1beta1.IPAddressClaim{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1beta1.IPAddressClaimSpec{Address: address, Pool: "p"}}
	}
	ranges := func(list ...v1beta1.AddressRange) client.Object {
		return &v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: v1beta1.IPAddressPoolSpec{Addresses: list}}
	}
	announce := func(spec v1beta1.L2AdvertisementSpec) client.Object {
		return &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: spec}
	}
	prefers := func(weight int32) client.Object {
		rack := metav1.LabelSelector{MatchLabels: map[string]string{"rack": "1"}}
		return announce(v1beta1.L2AdvertisementSpec{
			ServiceSelectors: []metav1.LabelSelector{rack}, RequireSubnet: true,
			PreferredNodeSelectors: []v1beta1.PreferredNodeSelector{{Weight: weight, Preference: rack}},
		})
	}
	const (
		canonical = "must be an IPv4 or IPv6 address in canonical form"
		named     = "the name of a claim is its address"
		full      = "2001-0db8-0000-0000-0000-0000-0000-0001"
	)
	tests := []struct {
		name   string
		object client.Object
		want   string // part of the refusal; empty: it is accepted
	}{
		{name: "a pool of all forms is accepted", object: ranges("10.0.0.0/28", "10.0.1.1-10.0.1.9", "10.0.2.1", "2001:db8::/120", "2001:db8:1::1-2001:db8:1::9")},
		{name: "a pool with a word for an address is refused", object: ranges("banana"), want: "must be a CIDR such as"},
		{name: "a pool with half a range is refused", object: ranges("10.0.0.1-"), want: "must be a CIDR such as"},
		{name: "a pool with a range of two families is refused", object: ranges("10.0.0.1-2001:db8::1"), want: "must be of the same family"},
		{name: "a pool with an address twice is refused", object: ranges("10.0.0.1", "10.0.0.1"), want: "Duplicate value"},
		{name: "a pool without addresses is refused", object: ranges(), want: "spec.addresses"},
		{name: "an IPv4 claim bears its address", object: claim("10.0.0.1", "10.0.0.1")},
		{name: "an IPv6 claim bears its address in full", object: claim(full, "2001:db8::1")},
		{name: "a claim with the name of another address is refused", object: claim("10.0.0.2", "10.0.0.1"), want: named},
		{name: "a claim with a word for a name is refused", object: claim("printer", "10.0.0.1"), want: named},
		{name: "an IPv6 claim with a short name is refused", object: claim("2001-db8--1", "2001:db8::1"), want: named},
		{name: "an IPv6 claim with the full name of another address is refused", object: claim(full, "2001:db8::2"), want: named},
		{name: "a claim of a word is refused", object: claim("printer", "printer"), want: canonical},
		{name: "a claim that is not in canonical form is refused", object: claim(full, "2001:DB8::1"), want: canonical},
		{name: "an advertisement of everything is accepted", object: announce(v1beta1.L2AdvertisementSpec{})},
		{name: "an advertisement that prefers nodes is accepted", object: prefers(100)},
		{name: "a preference without weight is refused", object: prefers(0), want: "should be greater than or equal to 1"},
		{name: "a preference of too much weight is refused", object: prefers(101), want: "should be less than or equal to 100"},
		{name: "more selectors than anybody can read are refused", object: announce(v1beta1.L2AdvertisementSpec{ServiceSelectors: make([]metav1.LabelSelector, 33)}), want: "must have at most 32 items"},
		{name: "an interface that cannot exist is refused", object: announce(v1beta1.L2AdvertisementSpec{Interfaces: []v1beta1.InterfaceName{"eth0/1"}}), want: "spec.interfaces[0]"},
		{name: "an interface named twice is refused", object: announce(v1beta1.L2AdvertisementSpec{Interfaces: []v1beta1.InterfaceName{"eth0", "eth0"}}), want: "Duplicate value"},
		{name: "a pool that cannot exist is refused", object: announce(v1beta1.L2AdvertisementSpec{IPAddressPools: []v1beta1.ObjectName{"No Pool"}}), want: "spec.ipAddressPools[0]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := c.Create(context.Background(), tt.object, client.DryRunAll)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %v, want it accepted", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want a refusal with %q", err, tt.want)
			}
		})
	}
}

func TestAddressOfAClaimCannotBeChanged(t *testing.T) {
	c := administrator(t)
	claim := claimOf("10.55.0.1", nil)
	create(t, c, claim)
	claim.Spec.Address = "10.55.0.2"
	want := "the address of a claim cannot be changed"
	if err := c.Update(context.Background(), claim); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want a refusal with %q", err, want)
	}
}
