// Package programs provides the Kubernetes programs and etcd that a test
// cluster runs. They are built from the modules hack/kubernetes and hack/etcd
// of the repository, once, and kept in a cache directory under a name that
// changes with their source.
package programs
