package termination

import (
	"errors"
	"flag"
	"io"
	"os"
)

// ParseFlags parses flags. For an invalid flag it returns one sentence and prints nothing: the kubelet reports
// the last output of a container as the reason of its end, which would otherwise be the list of all flags. -help
// prints that list and ends the program.
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
