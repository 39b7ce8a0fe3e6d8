// Command speaker announces the addresses that its node owns.
package main

import (
	"flag"
	"os"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/lbstack/lbstack/internal/termination"
	"github.com/lbstack/lbstack/speaker/app"
)

func main() {
	options, err := parse(flag.CommandLine, os.Args[1:])
	if err == nil {
		err = app.Run(ctrl.SetupSignalHandler(), options)
	}
	if err != nil {
		termination.Exit("speaker", err)
	}
}
