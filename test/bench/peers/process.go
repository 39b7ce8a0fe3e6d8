package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/lbstack/lbstack/test/metallb"
	"github.com/lbstack/lbstack/test/procstat"
)

// identity of a process of a load balancer.
type identity struct {
	node, program string
	pid           int
}

// usages returns what the controllers and the speakers of a load balancer use; their programs have the same names in
// lbstack and MetalLB.
func (b *bench) usages(ctx context.Context, p *peer) (map[identity]procstat.Usage, error) {
	all := map[identity]procstat.Usage{}
	for _, node := range b.Cluster.Nodes() {
		for _, program := range []string{metallb.Controller, p.program} {
			// Without any, pgrep fails: the controller is on some nodes only.
			out, err := b.Cluster.Exec(ctx, node, "sh", "-c", "for pid in $(pgrep -x "+program+"); do cat /proc/$pid/stat; done")
			if err != nil {
				return nil, err
			}
			for line := range strings.Lines(string(out)) {
				pid, u, err := procstat.Parse(line)
				if err != nil {
					return nil, fmt.Errorf("the %s on %s: %w", program, node, err)
				}
				all[identity{node, program, pid}] = u
			}
		}
	}
	return all, nil
}
