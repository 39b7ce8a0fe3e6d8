// Package integration tests the API and the programs against a real
// kube-apiserver and etcd: validation, the controller and the operator, each
// run as the binary that is shipped, and killed like one.
package integration
