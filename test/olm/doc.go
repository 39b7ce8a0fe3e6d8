// Package olm tests the bundle and the catalogue with the Operator Lifecycle Manager itself, on a real
// cluster: installation and removal as OLM does them, and the tests of scorecard.
// `make test-olm` brings the cluster up and runs it.
package olm
