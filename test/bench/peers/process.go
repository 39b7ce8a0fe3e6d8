package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/lbstack/lbstack/test/metallb"
)

// hertz is how many clock ticks a second has in /proc (USER_HZ).
const hertz = 100

// identity of a process of a load balancer.
type identity struct {
	node, program string
	pid           int
}

// usage has the resources that a process has used so far.
type usage struct {
	started   time.Time // to 10 ms
	processor time.Duration
	resident  int64 // bytes
}

// usages returns what the controllers and the speakers of a load balancer use; their programs have the same names in
// lbstack and MetalLB.
func (b *bench) usages(ctx context.Context, p *peer) (map[identity]usage, error) {
	all := map[identity]usage{}
	for _, node := range b.Cluster.Nodes() {
		for _, program := range []string{metallb.Controller, p.program} {
			// Without any, pgrep fails: the controller is on some nodes only.
			out, err := b.Cluster.Exec(ctx, node, "sh", "-c", "for pid in $(pgrep -x "+program+"); do cat /proc/$pid/stat; done")
			if err != nil {
				return nil, err
			}
			for line := range strings.Lines(string(out)) {
				pid, u, err := parseStat(line)
				if err != nil {
					return nil, fmt.Errorf("the %s on %s: %w", program, node, err)
				}
				all[identity{node, program, pid}] = u
			}
		}
	}
	return all, nil
}

// parseStat reads a line of /proc/PID/stat (proc(5)).
func parseStat(line string) (pid int, u usage, err error) {
	head, rest, ok := strings.Cut(line, ") ")
	fields := strings.Fields(rest) // from the third on
	if !ok || len(fields) < 22 {
		return 0, u, fmt.Errorf("reading a line of /proc: %q", line)
	}
	if _, err := fmt.Sscanf(head, "%d ", &pid); err != nil {
		return 0, u, fmt.Errorf("reading the number of a process: %w", err)
	}
	var numbers [4]int64
	for i, at := range []int{11, 12, 19, 21} { // utime, stime, starttime, rss
		if numbers[i], err = strconv.ParseInt(fields[at], 10, 64); err != nil {
			return 0, u, fmt.Errorf("reading a line of /proc: %w", err)
		}
	}
	booted, err := booted()
	if err != nil {
		return 0, u, err
	}
	return pid, usage{
		processor: time.Duration(numbers[0]+numbers[1]) * time.Second / hertz,
		started:   booted.Add(time.Duration(numbers[2]) * time.Second / hertz),
		resident:  numbers[3] * int64(os.Getpagesize()),
	}, nil
}

// booted returns when the machine was booted. The start times of processes count from then.
func booted() (time.Time, error) {
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return time.Time{}, fmt.Errorf("reading how long the machine has been up: %w", err)
	}
	var seconds float64
	if _, err := fmt.Sscan(string(text), &seconds); err != nil {
		return time.Time{}, fmt.Errorf("reading how long the machine has been up: %w", err)
	}
	return time.Now().Add(-time.Duration(seconds * float64(time.Second))), nil
}
