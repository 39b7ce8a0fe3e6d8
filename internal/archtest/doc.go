// Package archtest keeps the repository in the shape that its design asks for.
//
// It holds the rules of the house as tables, each with its reason, and their
// tests run them over the whole tree: which package may import which, what pure
// code must not call, how large files may grow, what must be documented. The
// rules look at source and at `go list` only; packages that do not exist yet
// break none of them. A rule itself is tested on small sources that break it.
//
// To change a rule, change its table entry and say why in its reason.
package archtest
