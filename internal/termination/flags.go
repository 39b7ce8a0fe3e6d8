package termination

import (
	"errors"
	"flag"
	"io"
	"os"
)

// ParseFlags parses flags. For an invalid flag it returns a short error and prints nothing. The default
// behaviour of package flag would print the list of all flags, and the kubelet would then report the end of
// that list as the reason why the container ended. The flag -help prints the list and ends the program.
func ParseFlags(set *flag.FlagSet, args []string) error {
	set.Init(set.Name(), flag.ContinueOnError)
	set.SetOutput(io.Discard)
	err := set.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		set.SetOutput(os.Stdout)
		set.PrintDefaults()
		os.Exit(0)
	}
	return err
}
