// Package pki makes the credentials of a test cluster: a certificate authority,
// certificates with ECDSA P-256 keys, kubeconfig files with these certificates, and the
// signing key of service account tokens. The package is only for test clusters, which
// exist for days on one machine.
package pki
