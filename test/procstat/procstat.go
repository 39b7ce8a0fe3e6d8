// Package procstat reads what a process has used, for benchmarks. It reads /proc/PID/stat (proc(5)).
package procstat

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// hertz is how many clock ticks a second has in /proc (USER_HZ).
const hertz = 100

// Usage has the resources that a process has used so far.
type Usage struct {
	// Started is when the process was started, to 10 ms.
	Started time.Time
	// Processor is the time that its threads ran, in programs and in the kernel, to 10 ms.
	Processor time.Duration
	// Resident is the memory that it has in RAM now, in bytes.
	Resident int64
}

// Read returns the usage of a process of this machine.
func Read(pid int) (Usage, error) {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, fmt.Errorf("reading what a process uses: %w", err)
	}
	_, u, err := Parse(string(line))
	return u, err
}

// Parse reads a line of /proc/PID/stat. The process must be one of this machine, or of a container on it.
func Parse(line string) (pid int, u Usage, err error) {
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
	return pid, Usage{
		Processor: time.Duration(numbers[0]+numbers[1]) * time.Second / hertz,
		Started:   booted.Add(time.Duration(numbers[2]) * time.Second / hertz),
		Resident:  numbers[3] * int64(os.Getpagesize()),
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
