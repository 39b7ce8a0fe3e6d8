// Command release makes all files of a release from the source tree and from the programs and image archives
// that `make release` has built. The manifest, the chart, the OLM bundle and the OLM catalogue refer to
// images by digest. Further files are the archives of the kubectl plugin with a manifest for krew, the bills
// of materials, and the checksums. The same tree always gives the same bytes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
)

// options has the values of the flags.
type options struct {
	version, image, bundleImage, catalogImage string
	built, out                                string
	devcluster, sdk, opm                      string
	architectures, systems                    []string
}

func main() {
	var o options
	var architectures, systems string
	flag.StringVar(&o.version, "version", "", "version of the release, vMAJOR.MINOR.PATCH")
	flag.StringVar(&o.image, "image", "ghcr.io/lbstack/lbstack", "repository of the image")
	flag.StringVar(&o.bundleImage, "bundle-image", "ghcr.io/lbstack/lbstack-bundle", "repository of the image of the OLM bundle")
	flag.StringVar(&o.catalogImage, "catalog-image", "ghcr.io/lbstack/lbstack-catalog", "repository of the image of the OLM catalogue")
	flag.StringVar(&architectures, "architectures", "amd64 arm64", "architectures of the image and the plugin, in the spelling of Go")
	flag.StringVar(&systems, "systems", "linux darwin", "operating systems of the plugin, in the spelling of Go")
	flag.StringVar(&o.built, "built", "bin/release", "folder with the built files: ARCHITECTURE/image.tar, ARCHITECTURE/PROGRAM and SYSTEM-ARCHITECTURE/kubectl-lbstack")
	flag.StringVar(&o.out, "out", "dist/release", "folder to write; its present content is removed")
	flag.StringVar(&o.devcluster, "devcluster", "bin/devcluster", "path of devcluster, which packs images")
	flag.StringVar(&o.sdk, "operator-sdk", "bin/operator-sdk", "path of operator-sdk")
	flag.StringVar(&o.opm, "opm", "bin/opm", "path of opm")
	flag.Parse()
	o.architectures, o.systems = strings.Fields(architectures), strings.Fields(systems)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}
