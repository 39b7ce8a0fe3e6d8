package apiconv

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lb"
)

// Limits of the fields of an IPAddressClaim for the terms of sharing.
const (
	maxSharingKeyBytes = 1024 // bytes
	maxPorts           = 1024 // ports of a holder
	maxTrafficBytes    = 1024 // bytes of the traffic policy
)

// sharingAnnotations are the annotations with a sharing key. The first one that is set is used.
var sharingAnnotations = []string{
	v1beta1.AnnotationAllowSharedIP,
	v1beta1.AnnotationAllowSharedIPMetalLB,
	v1beta1.AnnotationAllowSharedIPMetalLBOld,
}

// SharingTerms returns the terms on which a Service shares its addresses. It returns the zero value for a
// Service that does not share them.
func SharingTerms(svc *corev1.Service) (lb.Sharing, error) {
	annotation, key := firstAnnotation(svc, sharingAnnotations)
	if key == "" {
		return lb.Sharing{}, nil
	}
	if len(key) > maxSharingKeyBytes {
		return lb.Sharing{}, fmt.Errorf("annotation %s: the key has %d bytes, but at most %d bytes are allowed: use a shorter key", annotation, len(key), maxSharingKeyBytes)
	}
	terms := lb.Sharing{Key: key, Traffic: trafficKey(svc)}
	for _, port := range svc.Spec.Ports {
		protocol := port.Protocol
		if protocol == "" {
			protocol = corev1.ProtocolTCP
		}
		terms.Ports = append(terms.Ports, lb.Port{Protocol: lb.Protocol(protocol), Number: uint16(port.Port)})
	}
	slices.SortFunc(terms.Ports, lb.Port.Compare)
	terms.Ports = slices.Compact(terms.Ports)
	if len(terms.Ports) > maxPorts {
		return lb.Sharing{}, fmt.Errorf("annotation %s: a Service that shares its address can have at most %d ports, and this Service has %d: split the Service", annotation, maxPorts, len(terms.Ports))
	}
	return terms, nil
}

// trafficKey returns a text that is the same for two Services only if the same nodes serve both. It is empty
// for externalTrafficPolicy Cluster, and has the namespace and the selector for Local.
func trafficKey(svc *corev1.Service) string {
	if svc.Spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal {
		return ""
	}
	if len(svc.Spec.Selector) == 0 {
		// A person or another program writes the endpoints. It is not known whether another Service has the
		// same endpoints.
		return fmt.Sprintf("(no selector of %s/%s)", svc.Namespace, svc.Name)
	}
	// String sorts the selector by key.
	selector := svc.Namespace + ": " + labels.Set(svc.Spec.Selector).String()
	if len(selector) > maxTrafficBytes {
		return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(selector)))
	}
	return selector
}

func portStrings(ports []lb.Port) []string {
	var list []string
	for _, p := range ports {
		list = append(list, p.String())
	}
	return list
}

// parsePorts reads the ports of a holder of a claim.
func parsePorts(list []string) ([]lb.Port, error) {
	var ports []lb.Port
	for _, item := range list {
		number, protocol, _ := strings.Cut(item, "/")
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || !slices.Contains([]string{"TCP", "UDP", "SCTP"}, protocol) {
			return nil, fmt.Errorf("%q is not a port: write number/protocol, such as 443/TCP", item)
		}
		ports = append(ports, lb.Port{Protocol: lb.Protocol(protocol), Number: uint16(n)})
	}
	slices.SortFunc(ports, lb.Port.Compare)
	return slices.Compact(ports), nil
}
