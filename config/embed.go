// Package config embeds the manifests of the components, from which the operator
// renders them. They are kustomizations, so that everybody can also view them
// with `kubectl kustomize config/controller`.
package config

import "embed"

// Files are the kustomizations controller, speaker, removal and monitoring.
//
//go:embed controller/*.yaml speaker/*.yaml removal/*.yaml monitoring/*.yaml
var Files embed.FS

// CRDs are the CustomResourceDefinitions of this version.
//
//go:embed crd/bases/*.yaml
var CRDs embed.FS

// Rights are the ServiceAccounts of the programs, with their roles and bindings. The installation makes them, and not the operator.
//
//go:embed rbac/operator.yaml rbac/controller.yaml rbac/speaker.yaml
var Rights embed.FS
