// Package version has the version of lbstack from which a program was built.
package version

import (
	"flag"
	"fmt"
	"os"
)

// Version of this build, such as "v1.2.3"; the linker sets it
// (-X github.com/lbstack/lbstack/internal/version.Version=...).
var Version = "v0.0.0-dev"

// AddFlag adds --version, which prints the version and ends the program.
func AddFlag(set *flag.FlagSet) {
	set.BoolFunc("version", "print the version, and exit", func(string) error {
		fmt.Println(Version)
		os.Exit(0)
		return nil
	})
}
