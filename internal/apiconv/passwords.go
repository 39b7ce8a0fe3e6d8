package apiconv

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bgp"
)

// PasswordsSecretName is the name of the Secret with BGP passwords that the speakers may
// read, in the namespace of the components. The controller copies the passwords of the
// Secrets that BGPPeers name into it: one entry for each Secret, under the name of that
// Secret.
const PasswordsSecretName = "lbstack-bgp-passwords"

// PasswordEntries returns the entries of the Secret PasswordsSecretName. secret returns a Secret
// of the namespace by its name, nil if there is none. A Secret that is missing or has no
// valid password gets no entry.
func PasswordEntries(peers []v1beta1.BGPPeer, secret func(name string) *corev1.Secret) map[string][]byte {
	entries := map[string][]byte{}
	for i := range peers {
		ref := peers[i].Spec.PasswordSecret
		if ref == nil {
			continue
		}
		name := ref.Name
		if s := secret(name); s != nil {
			if password, err := ParsePassword(s); err == nil {
				entries[name] = []byte(password)
			}
		}
	}
	return entries
}

// CopiedPassword returns the password of the Secret name from passwords, the Secret
// PasswordsSecretName, which may be nil; false: it has no valid password for that Secret.
func CopiedPassword(passwords *corev1.Secret, name string) (bgp.Password, bool) {
	if passwords == nil {
		return "", false
	}
	password := passwords.Data[name]
	if n := len(password); n == 0 || n > maxPassword {
		return "", false
	}
	return bgp.Password(password), true
}
