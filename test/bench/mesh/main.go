// Command mesh measures the mesh of the speakers, by the number of nodes: what they send
// in a quiet cluster, how long they take to agree that a node is dead while datagrams
// are lost, and what one real speaker costs among simulated ones. Machines and sessions
// are real, the network between them is simulated. The input are results of `go test -bench`,
// which fill the other columns of the table.
package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
)

func main() {
	nodes := flag.String("nodes", "24,100,300,1000", "how many nodes, with commas between several numbers")
	count := flag.Int("deaths", 40, "how many nodes die, one after the other; 0: none is measured")
	groups := flag.Int("groups", 5, "how often a tenth of the nodes dies at once; 0: not")
	seconds := flag.Int("seconds", 30, "how long the real speaker is measured; 0: not")
	speaker := flag.String("speaker", "", "for the program itself, which runs in a network namespace: the program of the real speaker")
	flag.Parse()
	if err := measureAll(context.Background(), *nodes, *count, *groups, time.Duration(*seconds)*time.Second, *speaker); err != nil {
		fmt.Fprintln(os.Stderr, "mesh:", err)
		os.Exit(1)
	}
}

func measureAll(ctx context.Context, nodes string, count, groups int, during time.Duration, speaker string) error {
	if count < 0 || groups < 0 || during < 0 {
		return errors.New("want no negative numbers")
	}
	if during > 0 && speaker == "" {
		return inNamespace(ctx)
	}
	if during > 0 {
		if err := makeLinks(); err != nil {
			return err
		}
	}
	ctrllog.SetLogger(logr.Discard()) // the clients log nothing
	return run(ctx, nodes, count, groups, during, speaker)
}

func run(ctx context.Context, nodes string, count, groups int, during time.Duration, speaker string) error {
	costs, err := readCosts()
	if err != nil {
		return err
	}
	fmt.Println("| nodes | heartbeat received, machine alone (µs) | whole (µs) | tick of the machine, all peers known (µs) | one suspected, one unknown (µs) | heartbeats sent, sealed (µs) | sent on loopback (µs) | packets/s | kbit/s |" +
		" death to agreement (ms): median | p99 | worst | a tenth dies at once (ms): best | worst | found dead while alive | idle speaker, of a processor | resident (MiB) |\n" + strings.Repeat("|---", 17) + "|")
	for item := range strings.SplitSeq(nodes, ",") {
		size, err := strconv.Atoi(item)
		if err != nil || size < 3 || size > 1<<16 {
			return fmt.Errorf("-nodes: %q is not a number of nodes from 3 to 65536", item)
		}
		if err := measure(ctx, size, count, groups, during, speaker, costs); err != nil {
			return fmt.Errorf("with %d nodes: %w", size, err)
		}
	}
	return nil
}

// measure prints the row of a number of nodes.
func measure(ctx context.Context, size, count, groups int, during time.Duration, speaker string, costs map[string][]float64) error {
	fmt.Fprintf(os.Stderr, "%d nodes meet\n", size)
	n, err := newNetwork(size)
	if err != nil {
		return err
	}
	r := n.atRest(9 * time.Second)
	fmt.Fprintf(os.Stderr, "%d nodes, of which %d die\n", size, count)
	d, err := n.agreement(count, 1)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d nodes, of which %d die at once\n", size, size/10)
	many, err := n.agreement(groups, max(1, size/10))
	if err != nil {
		return err
	}
	var real string
	if during > 0 {
		fmt.Fprintf(os.Stderr, "%d nodes, of which one has a real speaker\n", size)
		i, err := n.idleAmong(ctx, speaker, during)
		if err != nil {
			return err
		}
		real = fmt.Sprintf("%.2f %% | %.1f", 100*i.share, float64(i.resident)/(1<<20))
	}
	cost := func(format string) string { return microseconds(costs[fmt.Sprintf(format, size)]) }
	fmt.Printf("| %d | %s | %s | %s | %s | %s | %s | %.0f | %.0f | %s | %s | %s | %s | %s | %d | %s |\n", size,
		cost("BenchmarkReceiveHeartbeat/%d-speakers"), cost("BenchmarkHeartbeatReceived/%d-nodes"), cost("BenchmarkTick/steady/%d-speakers"), cost("BenchmarkTick/unknown/%d-speakers"),
		cost("BenchmarkHeartbeatsSent/sealed/%d-nodes"), cost("BenchmarkHeartbeatsSent/sent/%d-nodes"),
		r.packets, r.bytes*8/1000, d.at(0.5), d.at(0.99), d.at(1), many.at(0), many.at(1), d.wrong+many.wrong, cmp.Or(real, "|"))
	return nil
}

// readCosts returns the nanoseconds of each benchmark, unless the input is a terminal.
func readCosts() (map[string][]float64, error) {
	costs := map[string][]float64{}
	if info, err := os.Stdin.Stat(); err != nil || info.Mode()&os.ModeCharDevice != 0 {
		return costs, err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Fprintln(os.Stderr, lines.Text())
		if strings.HasPrefix(lines.Text(), "FAIL") {
			return nil, errors.New("a benchmark failed")
		}
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || fields[3] != "ns/op" {
			continue
		}
		ns, err := strconv.ParseFloat(fields[2], 64)
		if err != nil {
			return nil, fmt.Errorf("reading the result %q: %w", lines.Text(), err)
		}
		costs[fields[0]] = append(costs[fields[0]], ns)
	}
	return costs, lines.Err()
}

// microseconds writes the median of nanoseconds.
func microseconds(ns []float64) string {
	if len(ns) == 0 {
		return ""
	}
	slices.Sort(ns)
	return strconv.FormatFloat(ns[len(ns)/2]/1000, 'g', 3, 64)
}
