// Package helm tests the life of a release of the Helm chart on a real cluster: installation, test,
// upgrade, rollback, removal. `make test-helm` runs it.
package helm
