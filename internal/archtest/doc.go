// Package archtest has tests of the whole repository that keep it in line with
// its design.
//
// The rules are tables, in which each rule has its reason: which package may
// import which, what pure code must not call, how large files may grow, what
// must be documented. The tests check the source and the output of `go list`.
// Each kind of rule is also tested on small sources that break it.
//
// To change a rule, change its table entry and say why in its reason.
package archtest
