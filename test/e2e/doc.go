// Package e2e tests lbstack on a real cluster of four nodes, with a client
// outside it: what a user sees, and what happens when things are broken on
// purpose. `make test-e2e` runs it.
package e2e
