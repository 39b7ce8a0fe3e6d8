// Package krew writes the manifest with which krew, the plugin manager of kubectl, installs kubectl lbstack.
// The manifest is an object of the kind Plugin of krew.googlecontainertools.github.com/v1alpha2
// (https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest).
package krew

import (
	"fmt"

	"sigs.k8s.io/yaml"
)

// Archive is an archive with the program for one platform.
type Archive struct {
	// OS and Architecture are in the spelling of Go.
	OS, Architecture string
	// Location is the URL from which krew downloads the archive.
	Location string
	// SHA256 is the checksum of the archive, in hexadecimal digits.
	SHA256 string
}

// ProgramName is the path of the program in each archive.
const ProgramName = "kubectl-lbstack"

const (
	// shortDescription is the description of the plugin in lists of krew.
	shortDescription = "Inspect and configure lbstack load balancers"
	// longDescription is the description that krew shows for the plugin alone.
	longDescription = `See the state of lbstack, load balancers for Kubernetes on bare metal. Find out why a
Service is announced or not, which Service and node have an address, and what a change would
do. Check the cluster, empty a node, and reserve addresses. Turn the configuration of MetalLB,
kube-vip or Cilium into a LoadBalancerStack. The plugin has your rights in the cluster.
`
)

type plugin struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   metadata `json:"metadata"`
	Spec       spec     `json:"spec"`
}

type metadata struct {
	Name string `json:"name"`
}

type spec struct {
	Version          string     `json:"version"`
	Homepage         string     `json:"homepage"`
	ShortDescription string     `json:"shortDescription"`
	Description      string     `json:"description"`
	Platforms        []platform `json:"platforms"`
}

type platform struct {
	Selector selector `json:"selector"`
	URI      string   `json:"uri"`
	SHA256   string   `json:"sha256"`
	Bin      string   `json:"bin"`
}

type selector struct {
	MatchLabels map[string]string `json:"matchLabels"`
}

// Manifest returns the manifest for a version, such as v1.2.3, and its archives.
func Manifest(version string, archives []Archive) ([]byte, error) {
	p := plugin{
		APIVersion: "krew.googlecontainertools.github.com/v1alpha2", Kind: "Plugin", Metadata: metadata{Name: "lbstack"},
		Spec: spec{Version: version, Homepage: "https://github.com/lbstack/lbstack", ShortDescription: shortDescription, Description: longDescription},
	}
	for _, a := range archives {
		p.Spec.Platforms = append(p.Spec.Platforms, platform{
			Selector: selector{MatchLabels: map[string]string{"os": a.OS, "arch": a.Architecture}},
			URI:      a.Location, SHA256: a.SHA256, Bin: ProgramName,
		})
	}
	text, err := yaml.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encoding the manifest for krew: %w", err)
	}
	return text, nil
}
