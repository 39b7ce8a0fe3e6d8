// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/lbstack/lbstack/hack/devcluster/cluster"
)

func logsCommand(o *commonFlags) *cobra.Command {
	lines := 10
	cmd := &cobra.Command{
		Use: "logs [HOST|PROGRAM]", Short: "List the log files, or show the last lines of some", Args: cobra.MaximumNArgs(1),
		Example: "  devcluster logs                # paths\n  devcluster logs node1\n  devcluster logs kube-apiserver -n 50",
		RunE: o.withCluster(func(cmd *cobra.Command, c *cluster.Cluster, args []string) error {
			logs, err := c.LogFiles()
			if err != nil {
				return err
			}
			shown := 0
			for _, l := range logs {
				if len(args) == 1 && l.Host != args[0] && l.Program != args[0] {
					continue
				}
				shown++
				if err := writeLog(cmd.OutOrStdout(), l.Path, lines, len(args) == 1); err != nil {
					return err
				}
			}
			switch {
			case shown > 0:
				return nil
			case len(args) == 0:
				return errors.New("the cluster has no logs yet: run devcluster up")
			}
			return fmt.Errorf("no logs of a host or program %q: run devcluster logs for the list of log files", args[0])
		}),
	}
	cmd.Flags().IntVarP(&lines, "lines", "n", lines, "number of lines to show of each log")
	return cmd
}

func writeLog(out io.Writer, path string, lines int, tail bool) error {
	if !tail {
		_, err := fmt.Fprintln(out, path)
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading a log: %w", err)
	}
	_, err = fmt.Fprintf(out, "==> %s\n%s\n", path, lastLines(data, lines))
	return err
}

func lastLines(data []byte, n int) []byte {
	all := bytes.Split(bytes.TrimRight(data, "\n"), []byte("\n"))
	return bytes.Join(all[max(0, len(all)-n):], []byte("\n"))
}
