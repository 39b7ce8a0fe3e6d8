package apiconv

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/bgp"
)

// PasswordsSecretName is the name of the one Secret that the speakers may read, in the
// namespace of the components. The controller copies into it the passwords of the Secrets
// that BGPPeers name: one entry each, under the name of the Secret.
const PasswordsSecretName = "lbstack-bgp-passwords"

// Passwords returns the entries of the Secret with that name, given the BGPPeers and the
// Secrets of the namespace by name. A Secret that is missing or holds no valid password has
// no entry.
func Passwords(peers []v1beta1.BGPPeer, secret func(name string) *corev1.Secret) map[string][]byte {
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

// CopiedPassword returns the password of the Secret with that name from the Secret into which
// the controller copies; false: it has no valid one. The copy may be nil.
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
