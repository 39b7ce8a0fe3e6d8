package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestDisplayName(t *testing.T) {
	tests := map[string]string{
		"addresses": "Addresses", "ipAddressPools": "IP Address Pools", "bgpPeers": "BGP Peers", "myASN": "My ASN", "asPathPrepend": "AS Path Prepend",
		"l2Advertisements": "L2 Advertisements", "avoidBuggyIPs": "Avoid Buggy IPs", "ebgpMultiHop": "eBGP Multi Hop", "peerIPAddress": "Peer IP Address",
		"holdTimeSeconds": "Hold Time Seconds", "ipv4": "IPv4", "routerID": "Router ID",
	}
	for name, want := range tests {
		if got := displayName(name); got != want {
			t.Errorf("title of %s: got %q, want %q", name, got, want)
		}
	}
}

func TestDescribe(t *testing.T) {
	object := func(fields map[string]any) map[string]any {
		return map[string]any{"type": "object", "properties": fields}
	}
	text := func(description string) map[string]any {
		return map[string]any{"type": "string", "description": description}
	}
	fields := object(map[string]any{
		"mode":     map[string]any{"type": "string", "enum": []any{"Open", "Closed"}, "description": "mode says\nwhat. At most 3."},
		"weight":   map[string]any{"type": "integer", "description": "weight of 1.5 kg."},
		"enabled":  map[string]any{"type": "boolean"},
		"inner":    object(map[string]any{"replicas": map[string]any{"type": "integer"}, "deep": object(map[string]any{"below": text("not opened")})}),
		"list":     map[string]any{"type": "array", "items": object(map[string]any{"name": text("name of it.")})},
		"selector": map[string]any{"type": "array", "items": object(map[string]any{"matchExpressions": text("not opened"), "matchLabels": text("not opened")})},
	})
	const input = "urn:alm:descriptor:com.tectonic.ui:"
	want := []descriptor{
		{Path: "weight", DisplayName: "Weight", Description: "weight of 1.5 kg.", XDescriptors: []string{input + "number"}},
		{Path: "enabled", DisplayName: "Enabled", XDescriptors: []string{input + "booleanSwitch"}},
		{Path: "inner", DisplayName: "Inner"},
		{Path: "inner.deep", DisplayName: "Deep"},
		{Path: "inner.replicas", DisplayName: "Replicas", XDescriptors: []string{input + "podCount"}},
		{Path: "list", DisplayName: "List"},
		{Path: "list[0].name", DisplayName: "Name", Description: "name of it.", XDescriptors: []string{input + "text"}},
		{Path: "mode", DisplayName: "Mode", Description: "mode says what.", XDescriptors: []string{input + "select:Open", input + "select:Closed"}},
		{Path: "selector", DisplayName: "Selector"},
	}
	if diff := cmp.Diff(want, describeFields(fields, spec, []string{"weight"})); diff != "" {
		t.Errorf("descriptors (-want +got):\n%s", diff)
	}
}

func TestComplete_Refuses(t *testing.T) {
	tests := []struct {
		name  string
		owned []any
		want  string
	}{
		{"a CRD that the ClusterServiceVersion does not own", nil, "CRD things.lbstack.io is missing in the owned CRDs"},
		{"an owned CRD that does not exist", []any{own("things", "thing"), own("others", "other")}, "owned CRD others.lbstack.io of the ClusterServiceVersion does not exist"},
		{"an owned CRD without a description", []any{own("things", "")}, "needs displayName, description and resources"},
		{"a path that is no field", []any{with(own("things", "thing"), "colour")}, "spec.colour: the CRD has no such field"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := completeCSV(manifestsWith(tt.owned), "image:1"); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestComplete(t *testing.T) {
	objects := manifestsWith([]any{with(own("things", "thing"), "size")})
	if err := completeCSV(objects, "registry.example/lbstack:v9"); err != nil {
		t.Fatal(err)
	}
	if got := objects[0].GetAnnotations()["containerImage"]; got != "registry.example/lbstack:v9" {
		t.Errorf("containerImage %q, want that of the bundle", got)
	}
	owned, _, _ := unstructured.NestedSlice(objects[0].Object, "spec", "customresourcedefinitions", "owned")
	var got []string
	for _, item := range owned[0].(map[string]any)["specDescriptors"].([]any) {
		got = append(got, item.(map[string]any)["path"].(string))
	}
	if want := []string{"size", "colours"}; !slices.Equal(got, want) {
		t.Errorf("described fields %v, want %v", got, want)
	}
}

// TestExpected has a line of operator-sdk for each warning that is let through, and others of the same kinds.
func TestExpected(t *testing.T) {
	const removed = `level=warning msg="Warning: Value lbstack.v0.1.0: this bundle is using APIs which were deprecated and removed in v1.25. More info: https://kubernetes.io/docs/ . Migrate the API(s) for `
	tests := []struct {
		name, line string
		want       bool
	}{
		{"no example of a kind that speakers write", `level=warning msg="Warning: Value lbstack.io/v1beta1, Kind=SpeakerState: provided API should have an example annotation"`, true},
		{"no example of another kind", `level=warning msg="Warning: Value lbstack.io/v1beta1, Kind=BGPPeer: provided API should have an example annotation"`, false},
		{"resource names in roles", removed + `endpointslices: ([\"Rules[10]\" \"Rules[2]\"]),events: ([\"Rules[13]\"]),"`, true},
		{"a resource name of another group among them", removed + `events: ([\"Rules[10]\"]),cronjobs: ([\"Rules[13]\"]),"`, false},
		{"another warning", `level=warning msg="Warning: Value lbstack.v0.1.0: channel(s) alpha are not following the recommended naming convention"`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := isHarmless(tt.line); got != tt.want {
				t.Errorf("harmless: %t, want %t: %s", got, tt.want, tt.line)
			}
		})
	}
}

func own(plural, description string) map[string]any {
	return map[string]any{
		"name": plural + ".lbstack.io", "kind": "Thing", "version": "v1", "displayName": "Thing", "description": description,
		"resources": []any{map[string]any{"kind": "Pod", "name": "", "version": "v1"}},
	}
}

func with(owned map[string]any, path string) map[string]any {
	owned["specDescriptors"] = []any{map[string]any{"path": path}}
	return owned
}

func manifestsWith(owned []any) []*unstructured.Unstructured {
	field := map[string]any{"type": "string"}
	spec := map[string]any{"properties": map[string]any{"spec": map[string]any{"properties": map[string]any{"colours": field, "size": field}}}}
	return []*unstructured.Unstructured{
		{Object: map[string]any{"kind": "ClusterServiceVersion", "metadata": map[string]any{"name": "x", "annotations": map[string]any{"categories": "Networking"}},
			"spec": map[string]any{"customresourcedefinitions": map[string]any{"owned": owned}}}},
		{Object: map[string]any{"kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "things.lbstack.io"}, "spec": map[string]any{"versions": []any{
			map[string]any{"name": "v0", "storage": false}, map[string]any{"name": "v1", "storage": true, "schema": map[string]any{"openAPIV3Schema": spec}}}}}},
	}
}
