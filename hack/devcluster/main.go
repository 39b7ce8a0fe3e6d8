// SPDX-License-Identifier: Apache-2.0

// Command devcluster runs the test bed of lbstack: a real Kubernetes cluster of
// several nodes on one Linux machine, in network namespaces.
package main

import (
	"context"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/lbstack/lbstack/hack/devcluster/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	code := cli.Run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}
