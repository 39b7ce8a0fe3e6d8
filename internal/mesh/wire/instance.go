package wire

import "encoding/hex"

// Instance identifies one process of a speaker: 16 random bytes, drawn when it starts.
// Instances have no order. Which instance of a node counts is decided by a handshake
// (package session), so that no clock and no file has a part in it.
type Instance [16]byte

// String returns the first four bytes in hexadecimal, for logs.
func (i Instance) String() string { return hex.EncodeToString(i[:4]) }
