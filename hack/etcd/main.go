// Command etcd is the upstream etcd server, built from its published module:
// the test bed's storage, because distributions carry versions that are too old.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
