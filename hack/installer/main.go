// Command installer writes the objects of a kustomization in the repository as one file. By default that is the
// installation of the operator, with a given image.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/lbstack/lbstack/hack/manifests"
)

func main() {
	image := flag.String("image", "", "image of the operator and the components; empty: the image in the manifests")
	out := flag.String("out", "", "file to write; empty: standard output")
	dir := flag.String("dir", "config/default", "kustomization to render")
	flag.Parse()
	if err := run(*dir, *image, *out); err != nil {
		fmt.Fprintln(os.Stderr, "installer:", err)
		os.Exit(1)
	}
}

func run(dir, image, out string) error {
	objects, err := manifests.Render(dir, image)
	if err != nil {
		return err
	}
	text, err := manifests.Encode(objects)
	if err != nil {
		return err
	}
	if out == "" {
		_, err = os.Stdout.Write(text)
		return err
	}
	return os.WriteFile(out, text, 0o644)
}
