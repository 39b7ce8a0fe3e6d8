// Command speaker announces addresses from its node: on the local network those that the node owns, and
// by BGP all that the node may announce. "speaker probe" only sends requests for one address on the
// local network and returns the answers, for kubectl lbstack who --probe.
package main

import (
	"context"
	"flag"
	"os"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/lbstack/lbstack/internal/lanprobe"
	"github.com/lbstack/lbstack/internal/termination"
	"github.com/lbstack/lbstack/speaker/app"
	"github.com/lbstack/lbstack/speaker/probe"
)

func main() {
	if err := run(ctrl.SetupSignalHandler(), os.Args[1:]); err != nil {
		termination.Exit("speaker", err)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == lanprobe.ProbeCommand {
		result, err := probe.Run(ctx, args[1:])
		if err != nil {
			return err
		}
		return termination.WriteResult(result)
	}
	options, err := parseFlags(flag.CommandLine, args)
	if err != nil {
		return err
	}
	return app.Run(ctx, options)
}
