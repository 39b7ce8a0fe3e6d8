// Command etcd is the upstream etcd server for the test bed, built from its
// published module, because distributions have versions that are too old.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
