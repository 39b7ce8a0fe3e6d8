// Package version tells which version of lbstack a program is.
package version

// Version of this build, such as "v0.1.0"; the linker sets it
// (-X github.com/lbstack/lbstack/internal/version.Version=...).
var Version = "v0.0.0-dev"
