// Package version has the version of lbstack that was built.
package version

import (
	"flag"
	"fmt"
	"os"
)

// Version is the version of this build, such as "v1.2.3". The linker sets it with the flag
// -X github.com/lbstack/lbstack/internal/version.Version=VERSION.
var Version = "v0.0.0-dev"

// AddFlag adds the flag --version, which prints the version and ends the program.
func AddFlag(set *flag.FlagSet) {
	set.BoolFunc("version", "print the version, and exit", func(string) error {
		fmt.Println(Version)
		os.Exit(0)
		return nil
	})
}
