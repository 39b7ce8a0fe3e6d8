// Command etcd is the upstream etcd server, for the test bed. It is built from the published module, because
// the versions in Linux distributions are too old.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
