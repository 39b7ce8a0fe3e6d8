// Package programs provides the Kubernetes programs and etcd for test clusters. It builds
// them from the modules hack/kubernetes and hack/etcd of the repository and stores them in
// a cache directory. The name of a program there contains a hash of its source, so the
// package builds a program only once.
package programs
