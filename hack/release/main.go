// Command release makes all files of a release from the source tree and from the image archives that `make
// release` has built: manifest, chart, OLM bundle and catalogue, which refer to images by digest, archives
// of the kubectl plugin with a manifest for krew, bills of materials and checksums. The same tree always
// gives the same bytes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
)

// options are the flags.
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
	flag.StringVar(&architectures, "architectures", "amd64 arm64", "architectures that the image and the plugin are for, as Go names them")
	flag.StringVar(&systems, "systems", "linux darwin", "operating systems that the plugin is for, as Go names them")
	flag.StringVar(&o.built, "built", "bin/release", "folder with what was built: ARCHITECTURE/image.tar and the programs beside it, SYSTEM-ARCHITECTURE/kubectl-lbstack")
	flag.StringVar(&o.out, "out", "dist/release", "folder to write, which is emptied before")
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
