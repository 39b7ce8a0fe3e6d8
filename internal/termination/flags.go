package termination

import (
	"errors"
	"flag"
	"io"
	"os"
)

// ParseFlags parses flags. About a wrong one it returns one sentence and prints nothing: the kubelet takes
// what a container wrote last for the reason of its end, which is the list of all flags otherwise. -help prints
// that list and ends the program.
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
