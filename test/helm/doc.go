// Package helm tests installations on a real cluster that is empty before: as a remote base of kustomize, and the
// life of a release of the Helm chart: installation, test, upgrade, rollback, removal. `make test-helm` runs it.
package helm
