// Package migrate switches Services of a real MetalLB to lbstack on a test bed, as docs/migrate.md says.
package migrate
