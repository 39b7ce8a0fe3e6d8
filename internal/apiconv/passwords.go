package apiconv

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bgp"
)

// PasswordsSecretName is the name of the Secret with BGP passwords, in the namespace of the components. It is
// the only Secret with passwords that the speakers may read. The controller copies into it the passwords of
// the Secrets that BGPPeers name. The key of an entry is the name of the Secret from which the password
// comes.
const PasswordsSecretName = "lbstack-bgp-passwords"

// PasswordEntries returns the entries of the Secret PasswordsSecretName. The parameter secret is a
// function that returns the Secret with the given name, or nil if there is none. A Secret that does not
// exist or has no valid password gets no entry.
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

// CopiedPassword returns the password that the controller copied from the Secret with the given name;
// false: there is no valid one. The parameter passwords is the Secret PasswordsSecretName, or nil if it
// does not exist.
func CopiedPassword(passwords *corev1.Secret, name string) (bgp.Password, bool) {
	if passwords == nil {
		return "", false
	}
	password := passwords.Data[name]
	if n := len(password); n == 0 || n > maxPasswordBytes {
		return "", false
	}
	return bgp.Password(password), true
}
