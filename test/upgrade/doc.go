// Package upgrade tests that a real cluster which runs an earlier version of lbstack is upgraded
// to this one without a lost connection. `make test-upgrade` brings the cluster up with the
// earlier version and runs it.
package upgrade
