package wire

import "encoding/hex"

// Instance identifies one process of a speaker: 16 random bytes, drawn when it starts. Instances have
// no order. The handshake in package session determines which instance of a node runs now. It needs
// neither a clock nor a file for that.
type Instance [16]byte

// String returns the first four bytes in hexadecimal, for logs.
func (i Instance) String() string { return hex.EncodeToString(i[:4]) }
