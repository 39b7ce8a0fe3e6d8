// Command mesh measures the mesh of the speakers, by the number of nodes: what they send
// in a quiet cluster, how long they take to agree that a node is dead while datagrams
// are lost, and what one real process costs among simulated ones. Machines and sessions
// are real, the network between them is simulated. The input are results of `go test -bench`,
// which fill the other columns of the table.
package main

import (
	"bufio"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	nodes := flag.String("nodes", "24,100,300,1000", "how many nodes, with commas between several numbers")
	count := flag.Int("deaths", 40, "how many nodes die, one after the other; 0: none is measured")
	groups := flag.Int("groups", 5, "how often a tenth of the nodes dies at once; 0: not")
	seconds := flag.Int("seconds", 30, "how long the real process is measured; 0: not")
	only := flag.Int("serve", 0, "for the program itself: be the real process among so many nodes until the input ends")
	flag.Parse()
	var err error
	if *only > 0 {
		err = serve(*only)
	} else {
		err = run(*nodes, *count, *groups, time.Duration(*seconds)*time.Second)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mesh:", err)
		os.Exit(1)
	}
}

func run(nodes string, count, groups int, during time.Duration) error {
	if count < 0 || groups < 0 || during < 0 {
		return errors.New("want no negative numbers")
	}
	costs, err := readCosts()
	if err != nil {
		return err
	}
	fmt.Println("| nodes | heartbeat received, machine alone (µs) | whole (µs) | tick of the machine (µs) | heartbeats sent, sealed (µs) | sent on loopback (µs) | packets/s | kbit/s |" +
		" death to agreement (ms): median | p99 | worst | a tenth dies at once (ms): best | worst | found dead while alive | idle, of a processor | resident (MiB) |\n" + strings.Repeat("|---", 16) + "|")
	for item := range strings.SplitSeq(nodes, ",") {
		size, err := strconv.Atoi(item)
		if err != nil || size < 3 || size > 1<<16 {
			return fmt.Errorf("-nodes: %q is not a number of nodes from 3 to 65536", item)
		}
		if err := measure(size, count, groups, during, costs); err != nil {
			return fmt.Errorf("with %d nodes: %w", size, err)
		}
	}
	return nil
}

// measure prints the row of a number of nodes.
func measure(size, count, groups int, during time.Duration, costs map[string][]float64) error {
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
		fmt.Fprintf(os.Stderr, "%d nodes, of which one is a real process\n", size)
		i, err := n.idleAmong(during)
		if err != nil {
			return err
		}
		real = fmt.Sprintf("%.2f %% | %.1f", 100*i.share, float64(i.resident)/(1<<20))
	}
	cost := func(format string) string { return microseconds(costs[fmt.Sprintf(format, size)]) }
	fmt.Printf("| %d | %s | %s | %s | %s | %s | %.0f | %.0f | %s | %s | %s | %s | %s | %d | %s |\n", size,
		cost("BenchmarkReceiveHeartbeat/%d-speakers"), cost("BenchmarkHeartbeatReceived/%d-nodes"), cost("BenchmarkTick/%d-speakers"),
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
