package pki

import (
	"encoding/base64"
	"fmt"
	"strconv"
)

// kubeconfigFormat is YAML in block style, since some programs mistake a file that begins
// with a brace for JSON.
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

// Kubeconfig returns a kubeconfig file. server is the URL of the API server, caPEM the
// authority that signed the server's certificate, and p the client's certificate and key.
func Kubeconfig(server string, caPEM []byte, p KeyPair) []byte {
	data := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, kubeconfigFormat, strconv.Quote(server), data(caPEM), data(p.CertPEM), data(p.KeyPEM))
}
