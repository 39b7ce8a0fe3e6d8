// Command table reads what `go test -bench` prints and writes a Markdown table:
// of each figure the best, the median and the worst of the repetitions. Lines that
// are no results go to the error output, so that the progress is visible.
package main

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// figure is what one benchmark measures in one unit.
type figure struct {
	name, unit string
	values     []float64
}

func main() {
	var figures []*figure
	lines := bufio.NewScanner(os.Stdin)
	failed := false
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			fmt.Fprintln(os.Stderr, lines.Text())
			failed = failed || strings.HasPrefix(lines.Text(), "FAIL")
			continue
		}
		fmt.Fprintln(os.Stderr, fields[0])
		figures = collect(figures, strings.TrimPrefix(fields[0], "Benchmark"), fields[2:])
	}
	fmt.Println("| benchmark | unit | runs | best | median | worst |\n|---|---|---|---|---|---|")
	for _, f := range figures {
		fmt.Println(f.row())
	}
	if failed || lines.Err() != nil || len(figures) == 0 {
		os.Exit(1)
	}
}

// collect adds pairs of a value and its unit to the figures of a benchmark.
func collect(figures []*figure, name string, pairs []string) []*figure {
	for i := 0; i+1 < len(pairs); i += 2 {
		value, err := strconv.ParseFloat(pairs[i], 64)
		unit := pairs[i+1]
		if err != nil || (unit == "ns/op" && value == 0) {
			continue // a benchmark that measures something else
		}
		at := slices.IndexFunc(figures, func(f *figure) bool { return f.name == name && f.unit == unit })
		if at < 0 {
			figures = append(figures, &figure{name: name, unit: unit})
			at = len(figures) - 1
		}
		figures[at].values = append(figures[at].values, value)
	}
	return figures
}

func (f *figure) row() string {
	slices.Sort(f.values)
	best, worst := f.values[0], f.values[len(f.values)-1]
	if strings.HasSuffix(f.unit, "/s") {
		best, worst = worst, best
	}
	return fmt.Sprintf("| %s | %s | %d | %s | %s | %s |", f.name, f.unit, len(f.values), number(best), number(f.values[len(f.values)/2]), number(worst))
}

// number returns three significant digits, and no fraction above a hundred.
func number(v float64) string {
	if v >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
