// Package archtest has tests that check the whole repository against the rules of its design.
//
// The rules are in tables, each with its reason. They define which packages a package may import, what pure
// code must not call, how large files may become, and what must be documented. The tests check the source and
// the output of `go list`. Each kind of rule is also tested on small sources that break it.
//
// To change a rule, change its entry in the table, and give the reason there.
package archtest
