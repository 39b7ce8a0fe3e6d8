// Package release tests what `make release` writes: that two runs in different places give the same
// bytes, and that the files agree with each other. `make test-release` runs it.
package release
