// Package programs provides the Kubernetes programs and etcd that a test
// cluster runs. They are built once, from the modules hack/kubernetes and
// hack/etcd of the repository, and stored in a cache directory under a name
// that contains a hash of their source.
package programs
