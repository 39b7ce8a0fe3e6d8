// Package controlplane runs etcd and the Kubernetes API server as child
// processes, for integration tests. They need no root privileges, use a free port of
// 127.0.0.1, and are ready in a few seconds. A test may stop the API server and start it
// again to test a client in an outage.
package controlplane
