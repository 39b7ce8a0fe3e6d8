package apiconv

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestKubelet(t *testing.T) {
	internal := func(address string) corev1.NodeAddress {
		return corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: address}
	}
	for name, tt := range map[string]struct {
		addresses []corev1.NodeAddress
		port      int32
		want      string
	}{
		"its port":                {[]corev1.NodeAddress{internal("192.168.1.11")}, 12250, "192.168.1.11:12250"},
		"no port":                 {[]corev1.NodeAddress{internal("192.168.1.11")}, 0, "192.168.1.11:10250"},
		"a port that is none":     {[]corev1.NodeAddress{internal("192.168.1.11")}, 70000, "192.168.1.11:10250"},
		"the first of two":        {[]corev1.NodeAddress{internal("fd00::11"), internal("192.168.1.11")}, 0, "[fd00::11]:10250"},
		"an external address":     {[]corev1.NodeAddress{{Type: corev1.NodeExternalIP, Address: "203.0.113.1"}, internal("192.168.1.11")}, 0, "192.168.1.11:10250"},
		"a text that is none":     {[]corev1.NodeAddress{internal("node1"), internal("192.168.1.11")}, 0, "192.168.1.11:10250"},
		"no address of that type": {[]corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "192.168.1.11"}}, 0, ""},
	} {
		node := &corev1.Node{}
		node.Status.Addresses, node.Status.DaemonEndpoints.KubeletEndpoint.Port = tt.addresses, tt.port
		got, has := KubeletAddress(node)
		if has != (tt.want != "") || has && got.String() != tt.want {
			t.Errorf("%s: got %s, %v, want %q", name, got, has, tt.want)
		}
	}
}
