// Package controlplane runs etcd and the Kubernetes API server as child
// processes for integration tests: on 127.0.0.1, with free ports, without root,
// ready in a few seconds. A test may stop the API server and start it again to
// see what a client does in an outage.
package controlplane
