// Package pki makes the certificates of a test cluster: a certificate
// authority with ECDSA P-256 keys and the pairs that it signs, kubeconfig
// files with them, and the signing key of service account tokens. It is meant
// only for test clusters that exist for days on one machine.
package pki
