package pki

import (
	"encoding/base64"
	"fmt"
	"strconv"
)

// kubeconfigFormat is block YAML: some programs mistake a file that begins with
// a brace for JSON.
const kubeconfigFormat = `apiVersion: v1
kind: Config
current-context: devcluster
clusters:
- name: devcluster
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: devcluster
  user:
    client-certificate-data: %s
    client-key-data: %s
contexts:
- name: devcluster
  context:
    cluster: devcluster
    user: devcluster
`

// Kubeconfig returns a kubeconfig file that contains the URL of the server, the
// authority that signed its certificate, and the pair of the client.
func Kubeconfig(server string, caPEM []byte, p Pair) []byte {
	data := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, kubeconfigFormat, strconv.Quote(server), data(caPEM), data(p.CertPEM), data(p.KeyPEM))
}
