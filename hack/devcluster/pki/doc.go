// Package pki makes the certificates of a test cluster: one certificate
// authority of ECDSA P-256 keys and the pairs that it signs, kubeconfig files
// that hold them, and the key of service account tokens. All of it lives for
// days on one machine; nothing here is meant for a cluster that anybody uses.
package pki
