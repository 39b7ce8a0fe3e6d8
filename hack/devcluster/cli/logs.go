// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/lbstack/lbstack/hack/devcluster/cluster"
)

func logsCommand(o *commonFlags) *cobra.Command {
	lines := 10
	cmd := &cobra.Command{
		Use: "logs [HOST|PROGRAM]", Short: "Show where the logs are, and their ends", Args: cobra.MaximumNArgs(1),
		Example: "  devcluster logs                # paths\n  devcluster logs node1\n  devcluster logs kube-apiserver -n 50",
		RunE: o.withCluster(func(cmd *cobra.Command, c *cluster.Cluster, args []string) error {
			logs, err := c.Logs()
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
			if shown == 0 {
				return fmt.Errorf("no logs of %v", args)
			}
			return nil
		}),
	}
	cmd.Flags().IntVarP(&lines, "lines", "n", lines, "how many lines of each log")
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
