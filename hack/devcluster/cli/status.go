// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/lbstack/lbstack/hack/devcluster/cluster"
)

func statusCommand(o *commonFlags) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show hosts, addresses, power, links and programs", Args: cobra.NoArgs, Example: "  devcluster status",
		RunE: o.withCluster(func(cmd *cobra.Command, c *cluster.Cluster, _ []string) error {
			return writeStatus(cmd.OutOrStdout(), c.Status(cmd.Context()))
		}),
	}
}

func writeStatus(out io.Writer, statuses []cluster.HostStatus) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(t, "HOST\tIPV4\tIPV6\tSTATE\tLINK\tREADY\tPROGRAMS"); err != nil {
		return fmt.Errorf("writing the status: %w", err)
	}
	for _, s := range statuses {
		_, err := fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Name, s.V4, s.V6, s.Power, linkText(s.Link), readyText(s.Ready), programsText(s))
		if err != nil {
			return fmt.Errorf("writing the status: %w", err)
		}
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("writing the status: %w", err)
	}
	return nil
}

func linkText(up bool) string {
	if up {
		return "up"
	}
	return "down"
}

func readyText(r *bool) string {
	switch {
	case r == nil:
		return "-"
	case *r:
		return "yes"
	default:
		return "no"
	}
}

// programsText describes the programs of the host that do not run or were restarted. It
// returns "all running" if there is no such program, and "-" if the host has no programs.
func programsText(s cluster.HostStatus) string {
	var notes []string
	for _, p := range s.Programs {
		switch {
		case p.Stopped:
			notes = append(notes, p.Name+" stopped")
		case p.PID == 0:
			notes = append(notes, p.Name+" not running")
		case p.Restarts > 0:
			notes = append(notes, fmt.Sprintf("%s restarted %dx", p.Name, p.Restarts))
		}
	}
	if len(notes) > 0 {
		return strings.Join(notes, ", ")
	}
	if len(s.Programs) > 0 {
		return "all running"
	}
	return "-"
}
